/*
** Threads: two write and two read on the leader, one reads on the follower, one checkpoints both, while
** the main thread drains, applies, releases and now and then takes the leadership away and rewinds.
**
**     threads_test [seconds]
*/
#include "harness.h"

#include <pthread.h>

#define ACCOUNTS 50
#define TOTAL    (ACCOUNTS*1000)

static Node A, B;
static int isStopped;        /* Atomic */
static long nCommit, nRefused, nRead, nCheckpoint;  /* Atomic */

static int stopped(void){ return __atomic_load_n(&isStopped, __ATOMIC_SEQ_CST); }
static void count(long *p){ __atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST); }

static sqlite3 *openSession(Node *p){
  sqlite3 *db = openDb(p->zPath);
  OK(sqlite3_wal_replication_session(db));
  sqlite3_busy_timeout(db, 5000);
  return db;
}

/* Moves money between accounts, and appends a row that makes the database grow. */
static void *runWriter(void *pArg){
  sqlite3 *db = openSession(&A);
  u32 seed = (u32)(intptr_t)pArg;
  while( !stopped() ){
    i64 iBefore;
    int rc;
    seed = seed*1664525u + 1013904223u;
    rc = tryExec(db,
      "BEGIN IMMEDIATE; UPDATE account SET v=v-%d WHERE id=%d; UPDATE account SET v=v+%d WHERE id=%d;"
      "INSERT INTO t(b) VALUES(randomblob(%d))",
      seed>>25, 1+(seed>>8)%ACCOUNTS, seed>>25, 1+(seed>>16)%ACCOUNTS, (seed>>20)%300);
    iBefore = sqlite3_wal_replication_seq(db, 0);
    if( rc==SQLITE_OK ) rc = tryExec(db, "COMMIT");
    if( rc==SQLITE_OK ){
      CHECK( sqlite3_wal_replication_seq(db, 0)>iBefore );
      count(&nCommit);
    }else{
      CHECK( rc==SQLITE_IOERR_NOT_LEADER || rc==SQLITE_BUSY );
      count(&nRefused);
      tryExec(db, "ROLLBACK");
      usleep(200);
    }
  }
  OK(sqlite3_close(db));
  return 0;
}

/* Every snapshot is consistent, stays the same while it is read, and has its sequence number. */
static void *runReader(void *pArg){
  sqlite3 *db = openSession((Node*)pArg);
  while( !stopped() ){
    i64 nRow;
    EXEC(db, "BEGIN");
    CHECK( queryInt(db, "SELECT sum(v) FROM account")==TOTAL );
    nRow = queryInt(db, "SELECT count(*) FROM t");
    CHECK( sqlite3_wal_replication_seq(db, 0)>=0 );
    CHECK( queryInt(db, "SELECT count(*) FROM t")==nRow );
    CHECK( queryInt(db, "SELECT sum(v) FROM account")==TOTAL );
    EXEC(db, "COMMIT");
    count(&nRead);
  }
  OK(sqlite3_close(db));
  return 0;
}

static void *runCheckpoints(void *pArg){
  sqlite3 *aDb[2] = { openSession(&A), openSession(&B) };
  (void)pArg;
  while( !stopped() ){
    for(int i=0; i<2; i++){
      i64 a[5];
      int rc = sqlite3_wal_replication_checkpoint(aDb[i], 0, a);
      CHECK( rc==SQLITE_OK || rc==SQLITE_BUSY );
      if( rc==SQLITE_OK ) CHECK( a[1]<=a[0] );
      count(&nCheckpoint);
    }
    usleep(3000);
  }
  OK(sqlite3_close(aDb[0]));
  OK(sqlite3_close(aDb[1]));
  return 0;
}

static double seconds = 3;

/* Takes the leadership away for a moment. What was not shipped is lost, readers go on. */
static void fall(i64 iShipped){
  int rc;
  follow(&A);
  while( (rc = sqlite3_wal_replication_rewind(A.h, 0, iShipped))==SQLITE_BUSY ) usleep(100);
  OK(rc);
  lead(&A);
}

static void testThreads(void){
  pthread_t aThread[6];
  i64 iShipped = 0;
  long nFall = 0;
  double until;
  makeSeed(4096, "NONE");
  openNode(&A, "a");
  openNode(&B, "b");
  lead(&A);
  EXEC(A.s, "CREATE TABLE account(id INTEGER PRIMARY KEY, v)");
  EXEC(A.s,
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<%d)"
    "INSERT INTO account SELECT x, 1000 FROM c", ACCOUNTS);
  iShipped = ship(&A, &B);
  CHECK( pthread_create(&aThread[0], 0, runWriter, (void*)1)==0 );
  CHECK( pthread_create(&aThread[1], 0, runWriter, (void*)2)==0 );
  CHECK( pthread_create(&aThread[2], 0, runReader, &A)==0 );
  CHECK( pthread_create(&aThread[3], 0, runReader, &A)==0 );
  CHECK( pthread_create(&aThread[4], 0, runReader, &B)==0 );
  CHECK( pthread_create(&aThread[5], 0, runCheckpoints, 0)==0 );
  until = now()+seconds;
  for(long n=0; now()<until; n++){
    i64 iSeq = ship(&A, &B);
    if( iSeq ) iShipped = iSeq;
    if( n%3==0 ) OK(sqlite3_wal_replication_release(A.h, 0, iShipped));
    if( n%200==199 ){
      nFall++;
      fall(iShipped);
    }
    usleep(200);
  }
  __atomic_store_n(&isStopped, 1, __ATOMIC_SEQ_CST);
  for(int i=0; i<6; i++) CHECK( pthread_join(aThread[i], 0)==0 );
  printf("%ld commits, %ld refused, %ld reads, %ld checkpoints, %ld falls\n",
         nCommit, nRefused, nRead, nCheckpoint, nFall);
  CHECK( nCommit>0 && nRead>0 && nCheckpoint>0 && nFall>0 );
  checkIdentical(&A, &B);
  CHECK( queryInt(B.s, "SELECT sum(v) FROM account")==TOTAL );
  closeNode(&A);
  closeNode(&B);
}

int main(int argc, char **argv){
  static const Case aCase[] = { { "threads", testThreads }, { 0, 0 } };
  if( argc>1 ) seconds = atof(argv[1]);
  runCases(0, 0, aCase);
  return 0;
}
