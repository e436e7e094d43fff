/*
** Capture, apply, rewind and checkpoint, one connection after the other on one thread.
*/
#include "harness.h"

static Node A, B;

static void start(int szPage, const char *zAutoVacuum){
  makeSeed(szPage, zAutoVacuum);
  openNode(&A, "a");
  openNode(&B, "b");
  lead(&A);
}

static void startDefault(void){ start(4096, "NONE"); }

static void finish(void){
  checkIdentical(&A, &B);
  closeNode(&A);
  closeNode(&B);
}

static void insert(Node *p, int n, int szBlob){
  EXEC(p->s,
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<%d)"
    "INSERT INTO t(a,b) SELECT random(), randomblob(%d) FROM c", n, szBlob);
}

static i64 countRows(Node *p){ return queryInt(p->s, "SELECT count(*) FROM t"); }

/* --- apply --- */

static void testApply(void){
  startDefault();
  for(int i=0; i<20; i++){
    insert(&A, 10, 100);
    if( i%3==0 ) CHECK( ship(&A, &B)==seqOf(&A) );
  }
  CHECK( seqOf(&A)==20 );
  finish();
}

static void testPageSizes(void){
  char zRoot[32];
  CHECK( strlen(zFolder)<sizeof(zRoot) );
  strcpy(zRoot, zFolder);
  for(int szPage=512; szPage<=65536; szPage*=2){
    sprintf(zFolder, "%s/%d", zRoot, szPage);
    CHECK( mkdir(zFolder, 0700)==0 );
    start(szPage, "NONE");
    CHECK( statusOf(&A, 7)==szPage );
    insert(&A, 200, 700);
    ship(&A, &B);
    EXEC(A.s, "UPDATE t SET b=randomblob(900) WHERE id%%3=0");
    ship(&A, &B);
    CHECK( countRows(&B)==200 );
    /* Rewind, then go on. */
    OK(sqlite3_wal_replication_release(A.h, 0, 1));
    insert(&A, 50, 700);
    follow(&A);
    OK(sqlite3_wal_replication_rewind(A.h, 0, 2));
    OK(sqlite3_wal_replication_release(A.h, 0, 2));
    lead(&A);
    CHECK( countRows(&A)==200 );
    insert(&A, 5, 10);
    finish();
  }
}

static void testMerge(void){
  i64 a[6];
  u8 *aBuf = malloc(1<<20);
  startDefault();
  for(int i=0; i<100; i++) EXEC(A.s, "INSERT INTO t(a,b) VALUES(%d,'x')", i);
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 1<<20, a));
  /* Two leaf pages were written a hundred times. */
  CHECK( a[1]==2 && a[2]==1 && a[3]==100 && a[5]==0 && a[0]==16+2*4100 );
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  CHECK( countRows(&B)==100 );
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 1<<20, a));
  CHECK( a[0]==0 );
  free(aBuf);
  finish();
}

static void testSmallBuffer(void){
  i64 a[6];
  u8 *aBuf = malloc(1<<20);
  Node *ap[2] = { &B, 0 };
  startDefault();
  insert(&A, 300, 1000);
  CODE(SQLITE_TOOBIG, sqlite3_wal_replication_drain(A.h, 0, aBuf, 16+4+4096-1, a));
  CHECK( shipTo(&A, 16+4+4096, ap)==1 );
  CHECK( countRows(&B)==300 );
  insert(&A, 300, 1000);
  CHECK( shipTo(&A, 16+3*4100+17, ap)==2 );
  /* A commit between two chunks belongs to the next batch. */
  insert(&A, 20, 1000);
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 16+4100, a));
  CHECK( a[2]==0 && a[3]==3 );
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  CHECK( countRows(&B)==600 );
  insert(&A, 20, 1000);
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 1<<20, a));
  CHECK( a[2]==1 && a[3]==3 );
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  CHECK( countRows(&B)==620 );
  free(aBuf);
  finish();
}

static void testUnalignedBuffer(void){
  i64 a[6];
  u8 *aBuf = malloc(1<<20);
  startDefault();
  insert(&A, 100, 100);
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf+1, 1<<19, a));
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf+1, a[0]));
  free(aBuf);
  finish();
}

static void testMalformedChunks(void){
  i64 a[6];
  i64 n;
  u8 *aBuf = malloc(1<<20);
  static const int aField[][2] = { {0,1}, {4,1}, {4,0}, {8,1}, {8,0}, {12,4}, {12,0}, {16,0} };
  startDefault();
  insert(&A, 100, 100);
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 1<<20, a));
  n = a[0];
  for(i64 i=0; i<n; i+=(i<40 ? 1 : 997)){
    CODE(SQLITE_CORRUPT, sqlite3_wal_replication_apply(B.h, 0, aBuf, i) & 0xff);
  }
  CODE(SQLITE_CORRUPT, sqlite3_wal_replication_apply(B.h, 0, aBuf, n+4) & 0xff);
  for(size_t i=0; i<sizeof(aField)/sizeof(aField[0]); i++){
    u8 save[4];
    memcpy(save, &aBuf[aField[i][0]], 4);
    memset(&aBuf[aField[i][0]], 0, 4);
    aBuf[aField[i][0]] = (u8)aField[i][1];
    CODE(SQLITE_CORRUPT, sqlite3_wal_replication_apply(B.h, 0, aBuf, n) & 0xff);
    memcpy(&aBuf[aField[i][0]], save, 4);
  }
  CHECK( countRows(&B)==0 );
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, n));
  CHECK( countRows(&B)==100 );
  free(aBuf);
  finish();
}

/* Chunks out of order undo the batch; abort and closing the handle do as well. */
static void testUnfinishedBatch(void){
  i64 a[6], b[6];
  u8 *aBuf = malloc(1<<20);
  u8 *aBuf2 = malloc(1<<20);
  i64 aStatus[12];
  startDefault();
  insert(&A, 300, 1000);
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 16+20*4100, a));
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf2, 1<<20, b));
  CHECK( a[2]==0 && b[2]==1 );

  CODE(SQLITE_MISUSE, sqlite3_wal_replication_apply(B.h, 0, aBuf2, b[0]));
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_apply(B.h, 0, aBuf2, b[0]));

  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  OK(sqlite3_wal_replication_status(B.h, 0, aStatus));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_leader(B.h, 0));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_rewind(B.h, 0, 0));
  CODE(SQLITE_IOERR_NOT_LEADER, tryExec(B.s, "INSERT INTO t(a) VALUES(1)"));
  CHECK( countRows(&B)==0 );
  OK(sqlite3_wal_replication_abort(B.h, 0));
  OK(sqlite3_wal_replication_abort(B.h, 0));

  /* SQL on the handle ends its transaction, which must be noticed. A debug build asserts. */
  if( !sqlite3_compileoption_used("DEBUG") ){
    OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
    CHECK( queryInt(B.h, "SELECT count(*) FROM t")==0 );
    CODE(SQLITE_MISUSE, sqlite3_wal_replication_apply(B.h, 0, aBuf2, b[0]));
  }

  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  OK(sqlite3_close(B.h));
  B.h = openDb(B.zPath);
  OK(sqlite3_wal_replication_open(B.h, 0));
  CHECK( countRows(&B)==0 );

  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf2, b[0]));
  CHECK( countRows(&B)==300 );
  free(aBuf);
  free(aBuf2);
  finish();
}

static void testFollowerReaders(void){
  sqlite3 *r;
  startDefault();
  insert(&A, 100, 100);
  ship(&A, &B);
  r = openDb(B.zPath);
  EXEC(r, "BEGIN; SELECT count(*) FROM t");
  insert(&A, 100, 100);
  ship(&A, &B);
  CHECK( queryInt(r, "SELECT count(*) FROM t")==100 );
  CHECK( countRows(&B)==200 );
  EXEC(r, "COMMIT");
  CHECK( queryInt(r, "SELECT count(*) FROM t")==200 );
  OK(sqlite3_close(r));
  finish();
}

/* --- what transactions do --- */

static void testRollback(void){
  startDefault();
  insert(&A, 100, 500);
  EXEC(A.s, "PRAGMA cache_size=5");
  EXEC(A.s, "BEGIN");
  insert(&A, 500, 1000);
  EXEC(A.s, "ROLLBACK");
  CHECK( seqOf(&A)==1 );
  EXEC(A.s, "BEGIN");
  insert(&A, 200, 1000);
  EXEC(A.s, "SAVEPOINT one");
  insert(&A, 500, 1000);
  EXEC(A.s, "UPDATE t SET b=zeroblob(2000) WHERE id%%2");
  EXEC(A.s, "ROLLBACK TO one");
  insert(&A, 50, 1000);
  EXEC(A.s, "SAVEPOINT two; DELETE FROM t WHERE id%%3=0; RELEASE two");
  EXEC(A.s, "COMMIT");
  CHECK( seqOf(&A)==2 );
  CHECK( ship(&A, &B)==2 );
  CHECK( countRows(&A)==countRows(&B) && countRows(&A)==234 );
  finish();
}

static void testFailingStatement(void){
  startDefault();
  EXEC(A.s, "CREATE UNIQUE INDEX tu ON t(b)");
  EXEC(A.s, "PRAGMA cache_size=5");
  EXEC(A.s, "BEGIN");
  insert(&A, 300, 1000);
  EXEC(A.s, "INSERT INTO t(a,b) VALUES(1,'same')");
  CODE(SQLITE_CONSTRAINT_UNIQUE, tryExec(A.s,
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<400)"
    "INSERT INTO t(a,b) SELECT x, CASE x WHEN 399 THEN 'same' ELSE randomblob(1000) END FROM c"));
  EXEC(A.s, "INSERT INTO t(a,b) VALUES(1,'other'); COMMIT");
  ship(&A, &B);
  CHECK( countRows(&B)==302 );
  CODE(SQLITE_CONSTRAINT_UNIQUE, tryExec(A.s, "INSERT INTO t(a,b) VALUES(2,'x'),(3,'same')"));
  CHECK( seqOf(&A)==2 );
  finish();
}

static void testSchema(void){
  startDefault();
  insert(&A, 100, 100);
  ship(&A, &B);
  CHECK( countRows(&B)==100 );
  EXEC(A.s, "ALTER TABLE t ADD COLUMN c DEFAULT 7");
  EXEC(A.s, "CREATE TABLE u(x); INSERT INTO u SELECT id FROM t; DROP INDEX ta");
  EXEC(A.s, "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f SELECT 'word '||id FROM t");
  EXEC(A.s, "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO u VALUES(new.id); END");
  insert(&A, 10, 10);
  ship(&A, &B);
  CHECK( queryInt(B.s, "SELECT sum(c) FROM t")==770 );
  CHECK( queryInt(B.s, "SELECT count(*) FROM f WHERE f MATCH 'word'")==100 );
  CHECK( queryInt(B.s, "SELECT count(*) FROM u")==110 );
  EXEC(A.s, "DROP TABLE u; DROP TRIGGER IF EXISTS tr; DROP TABLE f");
  finish();
}

static void testVacuum(void){
  startDefault();
  insert(&A, 500, 1000);
  ship(&A, &B);
  EXEC(A.s, "DELETE FROM t WHERE id>50");
  EXEC(A.s, "VACUUM");
  CHECK( !sqlite3_wal_replication_tainted(A.s) );
  ship(&A, &B);
  CHECK( statusOf(&A, 6)<30 && statusOf(&A, 6)==statusOf(&B, 6) );
  insert(&A, 100, 1000);
  checkIdentical(&A, &B);
  EXEC(A.s, "DELETE FROM t WHERE id>50; VACUUM");
  insert(&A, 500, 1000);
  EXEC(A.s, "DELETE FROM t; VACUUM");
  insert(&A, 60, 1000);
  finish();
}

static void testAutoVacuum(const char *zMode){
  start(1024, zMode);
  for(int i=0; i<6; i++){
    insert(&A, 300, 900);
    if( i%2 ) ship(&A, &B);
    EXEC(A.s, "DELETE FROM t WHERE id%%7!=%d", i);
    EXEC(A.s, "PRAGMA incremental_vacuum(50)");
    if( i==3 ) checkIdentical(&A, &B);
  }
  EXEC(A.s, "DELETE FROM t; PRAGMA incremental_vacuum");
  finish();
}
static void testAutoVacuumFull(void){ testAutoVacuum("FULL"); }
static void testAutoVacuumIncremental(void){ testAutoVacuum("INCREMENTAL"); }

/* A page beyond the end of the shrunk database is no part of the batch. */
static void testShrinkWithinBatch(void){
  u8 *aBuf = malloc(8<<20);
  i64 a[6];
  startDefault();
  insert(&A, 1000, 1000);
  ship(&A, &B);
  EXEC(A.s, "UPDATE t SET b=randomblob(1000)");
  EXEC(A.s, "DELETE FROM t WHERE id>10; VACUUM");
  OK(sqlite3_wal_replication_drain(A.h, 0, aBuf, 8<<20, a));
  CHECK( a[2]==1 && a[1]<=a[4] );
  OK(sqlite3_wal_replication_apply(B.h, 0, aBuf, a[0]));
  free(aBuf);
  finish();
}

/* --- rewind --- */

static void rewindTo(Node *p, i64 iSeq){ OK(sqlite3_wal_replication_rewind(p->h, 0, iSeq)); }

static void testRewindOne(void){
  startDefault();
  insert(&A, 10, 100);
  CHECK( ship(&A, &B)==1 );
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  insert(&A, 10, 100);
  CHECK( countRows(&A)==20 );
  follow(&A);
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_leader(A.h, 0));
  rewindTo(&A, 1);
  CHECK( countRows(&A)==10 );
  CHECK( statusOf(&A, 11)==1 );
  lead(&A);
  insert(&A, 5, 100);
  CHECK( seqOf(&A)==3 );
  CHECK( countRows(&A)==15 );
  finish();
}

static void testRewindMany(void){
  i64 iSeq;
  startDefault();
  for(int i=0; i<10; i++){
    insert(&A, 10, 300);
    iSeq = ship(&A, &B);
    CHECK( iSeq==i+1 );
  }
  OK(sqlite3_wal_replication_release(A.h, 0, 5));
  for(int i=0; i<200; i++) insert(&A, 10, 300);
  /* Drained but not acknowledged: B does not get it. */
  CHECK( shipTo(&A, 1<<20, (Node*[]){ 0 })==210 );
  EXEC(A.s, "CREATE TABLE gone(x); INSERT INTO gone VALUES(1)");
  follow(&A);
  CODE(SQLITE_NOTFOUND, sqlite3_wal_replication_rewind(A.h, 0, 4));
  CODE(SQLITE_NOTFOUND, sqlite3_wal_replication_rewind(A.h, 0, 211));
  rewindTo(&A, 210);
  CHECK( countRows(&A)==2100 );
  CODE(SQLITE_ERROR, tryExec(A.s, "SELECT * FROM gone"));
  rewindTo(&A, 10);
  CHECK( countRows(&A)==100 );
  CODE(SQLITE_NOTFOUND, sqlite3_wal_replication_rewind(A.h, 0, 210));
  /* It goes on as a follower of B. */
  lead(&B);
  insert(&B, 7, 300);
  CHECK( ship(&B, &A)==1 );
  CHECK( countRows(&A)==107 );
  checkIdentical(&B, &A);
  closeNode(&A);
  closeNode(&B);
}

static void testRewindSpilled(void){
  startDefault();
  insert(&A, 100, 1000);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  EXEC(A.s, "PRAGMA cache_size=5; BEGIN");
  insert(&A, 4600, 3000);
  EXEC(A.s, "UPDATE t SET b=1 WHERE id>100");
  EXEC(A.s, "COMMIT");
  /* More than one page of the wal-index. */
  CHECK( statusOf(&A, 4)>4500 );
  follow(&A);
  rewindTo(&A, 1);
  lead(&A);
  CHECK( countRows(&A)==100 );
  insert(&A, 2000, 3000);
  ship(&A, &B);
  follow(&A);
  OK(sqlite3_wal_replication_release(A.h, 0, seqOf(&A)));
  lead(&A);
  finish();
}

static void testRewindReaders(void){
  sqlite3 *aR[6];
  startDefault();
  for(int i=0; i<6; i++) aR[i] = openDb(A.zPath);
  insert(&A, 10, 100);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  EXEC(aR[0], "BEGIN; SELECT * FROM t");
  insert(&A, 10, 100);
  ship(&A, &B);
  EXEC(aR[1], "BEGIN; SELECT * FROM t");
  insert(&A, 10, 100);
  EXEC(aR[2], "BEGIN; SELECT * FROM t");
  follow(&A);
  CODE(SQLITE_BUSY, sqlite3_wal_replication_rewind(A.h, 0, 2));
  CHECK( queryInt(aR[2], "SELECT count(*) FROM t")==30 );
  EXEC(aR[2], "COMMIT");
  rewindTo(&A, 2);
  CHECK( queryInt(aR[0], "SELECT count(*) FROM t")==10 );
  CHECK( queryInt(aR[1], "SELECT count(*) FROM t")==20 );
  CHECK( queryInt(aR[2], "SELECT count(*) FROM t")==20 );
  CODE(SQLITE_BUSY, sqlite3_wal_replication_rewind(A.h, 0, 1));
  lead(&A);
  insert(&A, 500, 1000);
  CHECK( queryInt(aR[0], "SELECT sum(length(b)) FROM t")==1000 );
  CHECK( queryInt(aR[1], "SELECT sum(length(b)) FROM t")==2000 );
  CHECK( queryInt(aR[2], "SELECT count(*) FROM t")==520 );
  for(int i=0; i<6; i++) OK(sqlite3_close(aR[i]));
  finish();
}

/*
** With all read-marks in use, a reader shares a mark that lies before its snapshot. It still keeps the
** rewind from taking its frames.
*/
static void testRewindSharedReadMark(void){
  sqlite3 *aR[7];
  startDefault();
  for(int i=0; i<7; i++){
    aR[i] = openDb(A.zPath);
    insert(&A, 10, 100);
    if( i==4 ) CHECK( ship(&A, &B)==5 );
    if( i!=5 ) EXEC(aR[i], "BEGIN; SELECT * FROM t");
  }
  follow(&A);
  for(int i=0; i<5; i++) EXEC(aR[i], "COMMIT");
  CODE(SQLITE_BUSY, sqlite3_wal_replication_rewind(A.h, 0, 5));
  CHECK( queryInt(aR[6], "SELECT count(*) FROM t")==70 );
  EXEC(aR[6], "COMMIT");
  rewindTo(&A, 5);
  CHECK( countRows(&A)==50 );
  OK(sqlite3_wal_replication_release(A.h, 0, 5));
  lead(&A);
  for(int i=0; i<7; i++) OK(sqlite3_close(aR[i]));
  finish();
}

/* A connection that goes on reading after its own commit reads what it committed. */
static void testRewindReaderAfterCommit(void){
  sqlite3_stmt *p = 0;
  startDefault();
  insert(&A, 10, 100);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  OK(sqlite3_prepare_v2(A.s, "SELECT id FROM t", -1, &p, 0));
  CODE(SQLITE_ROW, sqlite3_step(p));
  insert(&A, 10, 100);
  follow(&A);
  CODE(SQLITE_BUSY, sqlite3_wal_replication_rewind(A.h, 0, 1));
  OK(sqlite3_finalize(p));
  rewindTo(&A, 1);
  CHECK( countRows(&A)==10 );
  lead(&A);
  finish();
}

/* Page caches of every connection are dropped, whatever it has seen. */
static void testRewindDropsCaches(void){
  sqlite3 *r;
  startDefault();
  r = openDb(A.zPath);
  EXEC(A.s, "INSERT INTO t VALUES(1,'old',0)");
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  for(int i=0; i<5; i++){
    EXEC(A.s, "UPDATE t SET a='new%d'", i);
    CHECK( queryInt(r, "SELECT a LIKE 'new%' FROM t") );
    CHECK( queryInt(A.h, "SELECT a LIKE 'new%' FROM t") );
    follow(&A);
    rewindTo(&A, statusOf(&A, 2));
    CHECK( queryInt(r, "SELECT a='old' FROM t") );
    CHECK( queryInt(A.h, "SELECT a='old' FROM t") );
    CHECK( queryInt(A.s, "SELECT a='old' FROM t") );
    lead(&A);
  }
  OK(sqlite3_close(r));
  finish();
}

/* The base's frames were copied and the WAL began anew with a transaction that is taken back. */
static void testRewindAcrossRestart(void){
  startDefault();
  insert(&A, 300, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  checkpointAll(&A);
  insert(&A, 10, 500);
  CHECK( statusOf(&A, 4)<10 );
  insert(&A, 10, 500);
  follow(&A);
  rewindTo(&A, 1);
  CHECK( countRows(&A)==300 );
  CHECK( statusOf(&A, 4)==0 );
  lead(&A);
  insert(&A, 50, 500);
  CHECK( ship(&A, &B)==4 );
  CHECK( countRows(&A)==350 && countRows(&B)==350 );
  finish();
}

/* The same, but the writer that began the WAL anew rolled back. */
static void testRestartRolledBack(void){
  startDefault();
  insert(&A, 300, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  checkpointAll(&A);
  EXEC(A.s, "PRAGMA cache_size=5; BEGIN");
  insert(&A, 300, 500);
  EXEC(A.s, "ROLLBACK");
  follow(&A);
  lead(&A);
  follow(&A);
  rewindTo(&A, 1);
  lead(&A);
  insert(&A, 20, 500);
  CHECK( ship(&A, &B)==2 );
  finish();
}

/* The apply side begins the WAL anew as well, and holds for a leader that was a follower before. */
static void testRestartOnFollower(void){
  startDefault();
  for(int i=0; i<5; i++){
    insert(&A, 100, 500);
    ship(&A, &B);
    checkpointAll(&B);
  }
  CHECK( statusOf(&B, 4)<=40 );
  OK(sqlite3_wal_replication_release(A.h, 0, seqOf(&A)));
  follow(&A);
  lead(&B);
  insert(&B, 10, 10);
  follow(&B);
  rewindTo(&B, 0);
  lead(&B);
  insert(&B, 20, 20);
  CHECK( ship(&B, &A)==2 );
  CHECK( countRows(&A)==520 );
  checkIdentical(&B, &A);
  closeNode(&A);
  closeNode(&B);
}

/*
** A checkpoint limited by the base must copy the newest version up to the base of a page that has a
** newer version beyond: after the rewind there is no other.
*/
static void testCheckpointBeforeRewind(void){
  i64 a[5];
  startDefault();
  EXEC(A.s, "INSERT INTO t VALUES(1,'one',0)");
  EXEC(A.s, "UPDATE t SET a='two'");
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 2));
  EXEC(A.s, "UPDATE t SET a='three'");
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[1]>0 && a[1]<a[0] && a[2]==0 );
  CHECK( queryInt(A.s, "SELECT a='three' FROM t") );
  follow(&A);
  rewindTo(&A, 2);
  CHECK( queryInt(A.s, "SELECT a='two' FROM t") );
  lead(&A);
  finish();
}

/*
** The base has fewer pages than the database file. Its checkpoint leaves the file long because a later
** transaction is there; once that is rewound, the next checkpoint cuts the file.
*/
static void testCutAfterRewind(void){
  i64 a[5];
  startDefault();
  insert(&A, 300, 1000);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  checkpointAll(&A);
  EXEC(A.s, "DELETE FROM t WHERE id>10; VACUUM");
  CHECK( ship(&A, &B)==3 );
  OK(sqlite3_wal_replication_release(A.h, 0, 3));
  insert(&A, 1, 10);
  OK(sqlite3_wal_replication_checkpoint(A.h, 0, a));
  CHECK( a[1]>0 && a[1]<a[0] && a[2]==0 );
  follow(&A);
  rewindTo(&A, 3);
  lead(&A);
  finish();
}

/* What was taken back does not return when the WAL is recovered after a crash. */
static void testRewindSurvivesRecovery(void){
  char zFrom[128], zTo[128];
  sqlite3 *db;
  for(int bRestart=0; bRestart<2; bRestart++){
    if( bRestart ){
      strcat(zFolder, "-restart");
      CHECK( mkdir(zFolder, 0700)==0 );
    }
    startDefault();
    insert(&A, 10, 100);
    ship(&A, &B);
    OK(sqlite3_wal_replication_release(A.h, 0, 1));
    if( bRestart ) checkpointAll(&A);
    insert(&A, 10, 100);
    follow(&A);
    rewindTo(&A, 1);
    copyFile(pathOf(zFrom, "a", ""), pathOf(zTo, "crashed", ""));
    copyFile(pathOf(zFrom, "a", "-wal"), pathOf(zTo, "crashed", "-wal"));
    db = openDb(pathOf(zTo, "crashed", ""));
    CHECK( queryInt(db, "SELECT count(*) FROM t")==10 );
    OK(sqlite3_close(db));
    lead(&A);
    finish();
  }
}

/* --- modes --- */

static void testFlipDuringTransaction(void){
  sqlite3 *w;
  startDefault();
  w = openDb(A.zPath);
  EXEC(w, "BEGIN IMMEDIATE; PRAGMA cache_size=5");
  EXEC(w, "INSERT INTO t(a,b) SELECT 1, randomblob(3000) FROM pragma_function_list LIMIT 100");
  follow(&A);
  CODE(SQLITE_BUSY, sqlite3_wal_replication_leader(A.h, 0));
  CODE(SQLITE_IOERR_NOT_LEADER, tryExec(w, "COMMIT"));
  CHECK( strstr(sqlite3_errmsg(w), "not leader")!=0 );
  CHECK( sqlite3_get_autocommit(w) );
  CHECK( seqOf(&A)==0 && countRows(&A)==0 );
  CODE(SQLITE_IOERR_NOT_LEADER, tryExec(w, "BEGIN IMMEDIATE"));
  CODE(SQLITE_IOERR_NOT_LEADER, tryExec(w, "INSERT INTO t(a) VALUES(1)"));
  CHECK( queryInt(w, "SELECT count(*) FROM t")==0 );
  lead(&A);
  insert(&A, 3, 10);
  OK(sqlite3_close(w));
  finish();
}

/*
** A transaction that has not written yet may write in the next leadership: its snapshot still is the
** newest. One that was told of the end may not go on.
*/
static void testFlipTwice(void){
  startDefault();
  insert(&A, 1, 10);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  EXEC(A.s, "BEGIN");
  CHECK( countRows(&A)==1 );
  follow(&A);
  lead(&A);
  EXEC(A.s, "INSERT INTO t(a) VALUES(1); COMMIT");
  EXEC(A.s, "BEGIN; INSERT INTO t(a) VALUES(2)");
  follow(&A);
  CODE(SQLITE_BUSY, sqlite3_wal_replication_rewind(A.h, 0, 1));
  CODE(SQLITE_BUSY, sqlite3_wal_replication_leader(A.h, 0));
  CODE(SQLITE_IOERR_NOT_LEADER, tryExec(A.s, "INSERT INTO t(a) VALUES(3); COMMIT"));
  rewindTo(&A, 1);
  lead(&A);
  CHECK( countRows(&A)==1 );
  finish();
}

static void testCaptureForgotten(void){
  startDefault();
  insert(&A, 5, 10);
  CHECK( seqOf(&A)==1 );
  follow(&A);
  CHECK( ship(&A, &B)==0 );
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_leader(A.h, 0));
  rewindTo(&A, 0);
  lead(&A);
  CHECK( countRows(&A)==0 );
  insert(&A, 5, 10);
  CHECK( ship(&A, &B)==2 );
  finish();
}

/* Apply and leader refuse a state that holds captured, unreleased transactions. */
static void testUnsettled(void){
  i64 a[6];
  u8 *aBuf = malloc(1<<20);
  startDefault();
  insert(&A, 5, 10);
  CHECK( ship(&A, &B)==1 );
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  lead(&B);
  insert(&B, 5, 10);
  OK(sqlite3_wal_replication_drain(B.h, 0, aBuf, 1<<20, a));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_apply(A.h, 0, aBuf, a[0]));
  insert(&A, 3, 10);
  CHECK( shipTo(&A, 1<<20, (Node*[]){ 0 })==2 );
  follow(&A);
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_apply(A.h, 0, aBuf, a[0]));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_leader(A.h, 0));
  rewindTo(&A, 1);
  OK(sqlite3_wal_replication_apply(A.h, 0, aBuf, a[0]));
  CHECK( countRows(&A)==10 );
  checkIdentical(&B, &A);
  free(aBuf);
  closeNode(&A);
  closeNode(&B);
}

static void testRelease(void){
  startDefault();
  insert(&A, 1, 10);
  insert(&A, 1, 10);
  CHECK( ship(&A, &B)==2 );
  insert(&A, 1, 10);
  CHECK( ship(&A, &B)==3 );
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  CHECK( statusOf(&A, 2)==0 );
  OK(sqlite3_wal_replication_release(A.h, 0, 2));
  CHECK( statusOf(&A, 2)==2 );
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_release(A.h, 0, 4));
  OK(sqlite3_wal_replication_release(A.h, 0, 0));
  CHECK( statusOf(&A, 2)==2 && statusOf(&A, 3)==3 );
  /* After the end of the leadership what turns out to be committed can still be released. */
  follow(&A);
  OK(sqlite3_wal_replication_release(A.h, 0, 3));
  lead(&A);
  CHECK( statusOf(&A, 2)==3 );
  finish();
}

static void testHandleRules(void){
  sqlite3 *db;
  char zPath[128];
  i64 a[12];
  startDefault();
  db = openDb(A.zPath);
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_open(db, 0));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_open(A.h, 0));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_leader(db, 0));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_drain(A.s, 0, a, sizeof(a), a));
  CODE(SQLITE_ERROR, sqlite3_wal_replication_leader(A.h, "none"));
  OK(sqlite3_wal_replication_status(db, 0, a));
  CHECK( a[0]==SQLITE_WAL_REPLICATION_LEADER );
  OK(sqlite3_close(db));
  OK(sqlite3_open(pathOf(zPath, "empty", ""), &db));
  CODE(SQLITE_NOTADB, sqlite3_wal_replication_open(db, 0));
  EXEC(db, "CREATE TABLE x(y)");
  CODE(SQLITE_NOTADB, sqlite3_wal_replication_open(db, 0));
  CHECK( sqlite3_wal_replication_seq(db, 0)==0 );
  CODE(SQLITE_NOTADB, sqlite3_wal_replication_status(db, 0, a));
  EXEC(db, "PRAGMA journal_mode=WAL");
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_status(db, 0, a));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_checkpoint(db, 0, a));
  OK(sqlite3_close(db));
  OK(sqlite3_open(":memory:", &db));
  CODE(SQLITE_NOTADB, sqlite3_wal_replication_open(db, 0));
  CODE(SQLITE_NOTADB, sqlite3_wal_replication_session(db));
  OK(sqlite3_close(db));
  /* After close another connection may become the handle. */
  OK(sqlite3_wal_replication_close(A.h, 0));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_leader(A.h, 0));
  EXEC(A.s, "INSERT INTO t(a) VALUES('not captured')");
  OK(sqlite3_wal_replication_open(A.h, 0));
  CODE(SQLITE_IOERR_NOT_LEADER, tryExec(A.s, "DELETE FROM t"));
  closeNode(&A);
  closeNode(&B);
}

/* --- checkpoint --- */

static void testCheckpoint(void){
  i64 a[5];
  sqlite3 *r;
  int n1, n2;
  startDefault();
  r = openDb(A.zPath);
  insert(&A, 100, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[1]==0 && a[2]==0 );
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  EXEC(r, "BEGIN; SELECT * FROM t");
  insert(&A, 100, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 2));
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[1]>0 && a[1]<a[0] && a[2]==0 );
  CHECK( queryInt(r, "SELECT count(*) FROM t")==100 );
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_checkpoint(r, 0, a));
  EXEC(r, "COMMIT");
  sqlite3_interrupt(r);
  OK(sqlite3_wal_replication_checkpoint(r, 0, a));
  CHECK( a[2]==1 );
  /* Everybody else's checkpoints are refused, in both modes. */
  CODE(SQLITE_LOCKED, sqlite3_wal_checkpoint_v2(r, 0, SQLITE_CHECKPOINT_PASSIVE, &n1, &n2));
  CODE(SQLITE_LOCKED, sqlite3_wal_checkpoint_v2(r, 0, SQLITE_CHECKPOINT_TRUNCATE, &n1, &n2));
  CODE(SQLITE_LOCKED, sqlite3_wal_checkpoint_v2(A.h, 0, SQLITE_CHECKPOINT_FULL, &n1, &n2));
  follow(&A);
  CODE(SQLITE_LOCKED, sqlite3_wal_checkpoint_v2(r, 0, SQLITE_CHECKPOINT_RESTART, &n1, &n2));
  OK(sqlite3_wal_checkpoint_v2(r, 0, SQLITE_CHECKPOINT_NOOP, &n1, &n2));
  CHECK( n1==(int)a[0] && n2==n1 );
  lead(&A);
  /* An automatic checkpoint is skipped in silence. */
  for(int i=0; i<1200; i++) EXEC(r, "INSERT INTO t(a) VALUES(%d)", i);
  CHECK( statusOf(&A, 5)==0 && statusOf(&A, 4)>1000 );
  OK(sqlite3_close(r));
  finish();
}

/*
** A checkpoint copies what was released when its limit was set, although more is by now; also once the
** WAL began anew since then.
*/
static void testLimit(void){
  i64 a[5];
  i64 nByte, nByteAfter;
  u8 *aFile, *aAfter;
  startDefault();
  insert(&A, 100, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_limit(A.s, 0));
  OK(sqlite3_wal_replication_limit(A.h, 0));
  insert(&A, 100, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 2));
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[1]>0 && a[1]<a[0] && a[2]==0 && a[3]==1 && a[4]==0 );
  aFile = readFile(A.zPath, &nByte);
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  aAfter = readFile(A.zPath, &nByteAfter);
  CHECK( nByte==nByteAfter && memcmp(aFile, aAfter, (size_t)nByte)==0 );
  free(aFile);
  free(aAfter);
  OK(sqlite3_wal_replication_limit(A.h, 0));
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[0]==a[1] && a[2]==1 && a[3]==1 && a[4]==1 );
  /* The WAL begins anew, and nothing of it may be copied. */
  insert(&A, 1, 10);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 3));
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[0]>0 && a[1]==0 && a[2]==0 && a[3]==1 && a[4]==0 );
  /* On the follower, too. */
  OK(sqlite3_wal_replication_limit(B.h, 0));
  insert(&A, 10, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 4));
  OK(sqlite3_wal_replication_checkpoint(B.s, 0, a));
  CHECK( a[1]>0 && a[1]<a[0] && a[2]==0 && a[3]==1 );
  OK(sqlite3_wal_replication_limit(A.h, 0));
  OK(sqlite3_wal_replication_limit(B.h, 0));
  finish();
}

/* A checkpoint that copied everything tells whether somebody still reads the WAL. */
static void testReaderKeepsWal(void){
  i64 a[5];
  i64 nFrame;
  sqlite3 *r;
  startDefault();
  r = openDb(A.zPath);
  insert(&A, 100, 500);
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 1));
  EXEC(r, "BEGIN; SELECT * FROM t");
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[2]==1 && a[3]==1 && a[4]==0 );
  nFrame = a[0];
  EXEC(r, "COMMIT; BEGIN; SELECT * FROM t");
  /* It reads the file alone now. */
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[2]==1 && a[4]==1 );
  insert(&A, 1, 10);
  CHECK( statusOf(&A, 4)<nFrame );
  ship(&A, &B);
  OK(sqlite3_wal_replication_release(A.h, 0, 2));
  /* Its file must not change. */
  OK(sqlite3_wal_replication_checkpoint(A.s, 0, a));
  CHECK( a[1]==0 && a[2]==0 && a[3]==0 );
  OK(sqlite3_close(r));
  finish();
}

/* Nothing reaches the database file when connections close, in whatever order. */
static void testCloseLeavesWal(void){
  i64 n0, n1;
  u8 *a0, *a1;
  char zWal[128];
  sqlite3 *r;
  startDefault();
  a0 = readFile(A.zPath, &n0);
  r = openDb(A.zPath);
  insert(&A, 100, 500);
  CHECK( queryInt(r, "SELECT count(*) FROM t")==100 );
  OK(sqlite3_close(A.h));
  OK(sqlite3_close(A.s));
  OK(sqlite3_close(r));
  a1 = readFile(A.zPath, &n1);
  CHECK( n0==n1 && memcmp(a0, a1, (size_t)n0)==0 );
  CHECK( access(pathOf(zWal, "a", "-wal"), F_OK)==0 );
  free(a0);
  free(a1);
  closeNode(&B);
}

/*
** A checkpoint was cut short: some pages in the database file are newer than others, page 1 among
** them, and the file is shorter than page 1 says. Replay from before the checkpoint heals it.
*/
static void testHeal(void){
  char zPath[128];
  i64 nSeed, n, nNew;
  u8 *aSeed, *aNew;
  u8 *aChunk[40];
  i64 nChunk[40];
  Node C;
  u32 seed = 7;
  start(1024, "FULL");
  for(int i=0; i<40; i++){
    i64 a[6];
    if( i==20 ) EXEC(A.s, "DELETE FROM t WHERE id%%5");
    insert(&A, 20, 700);
    aChunk[i] = malloc(1<<20);
    OK(sqlite3_wal_replication_drain(A.h, 0, aChunk[i], 1<<20, a));
    CHECK( a[2]==1 );
    nChunk[i] = a[0];
    OK(sqlite3_wal_replication_apply(B.h, 0, aChunk[i], a[0]));
    if( i==9 ){
      checkpointAll(&B);
      copyFile(B.zPath, pathOf(zPath, "old", ""));
    }
  }
  checkIdentical(&A, &B);
  aSeed = readFile(pathOf(zPath, "old", ""), &nSeed);
  aNew = readFile(B.zPath, &nNew);
  for(int iRound=0; iRound<6; iRound++){
    /* A random choice of pages got through, the last one in half. */
    u8 *a = calloc(1, (size_t)(nSeed>nNew ? nSeed : nNew));
    memcpy(a, aSeed, (size_t)nSeed);
    n = iRound%2 ? nSeed : nNew;
    for(i64 i=0; i<nNew/1024 && i*1024<n; i++){
      seed = seed*1664525u + 1013904223u;
      if( i==0 || seed>>31 ) memcpy(&a[i*1024], &aNew[i*1024], i%5==4 ? 512 : 1024);
    }
    if( iRound>=4 ) n = nNew/2/1024*1024;
    writeFile(pathOf(zPath, "c", ""), a, n);
    unlink(pathOf(zPath, "c", "-wal"));
    unlink(pathOf(zPath, "c", "-shm"));
    free(a);
    C.h = openDb(pathOf(C.zPath, "c", ""));
    OK(sqlite3_wal_replication_open(C.h, 0));
    for(int i=10; i<40; i++){
      OK(sqlite3_wal_replication_apply(C.h, 0, aChunk[i], nChunk[i]));
      if( i%10==3 && iRound%3 ) checkpointAll(&C);
    }
    checkpointAll(&C);
    CHECK( isSameFile(B.zPath, C.zPath) );
    C.s = openDb(C.zPath);
    CHECK( queryInt(C.s, "SELECT integrity_check='ok' FROM pragma_integrity_check") );
    closeNode(&C);
  }
  for(int i=0; i<40; i++) free(aChunk[i]);
  free(aSeed);
  free(aNew);
  closeNode(&A);
  closeNode(&B);
}

int main(int argc, char **argv){
  static const Case aCase[] = {
    { "apply gives identical files", testApply },
    { "every page size", testPageSizes },
    { "a batch holds each page once", testMerge },
    { "small buffers split a batch", testSmallBuffer },
    { "an unaligned buffer", testUnalignedBuffer },
    { "malformed chunks are refused", testMalformedChunks },
    { "an unfinished batch is undone", testUnfinishedBatch },
    { "readers on a follower", testFollowerReaders },
    { "rollback and rollback to", testRollback },
    { "a failing statement in a transaction", testFailingStatement },
    { "schema changes", testSchema },
    { "vacuum", testVacuum },
    { "auto_vacuum full", testAutoVacuumFull },
    { "auto_vacuum incremental", testAutoVacuumIncremental },
    { "a database that shrinks within a batch", testShrinkWithinBatch },
    { "rewind one transaction", testRewindOne },
    { "rewind many transactions", testRewindMany },
    { "rewind a spilled transaction", testRewindSpilled },
    { "rewind with readers", testRewindReaders },
    { "rewind with all read-marks in use", testRewindSharedReadMark },
    { "rewind with a reader after its own commit", testRewindReaderAfterCommit },
    { "rewind drops page caches", testRewindDropsCaches },
    { "rewind across a restart of the WAL", testRewindAcrossRestart },
    { "a restart of the WAL that rolled back", testRestartRolledBack },
    { "a restart of the WAL on a follower", testRestartOnFollower },
    { "checkpoint, then rewind", testCheckpointBeforeRewind },
    { "checkpoint cuts the file after a rewind", testCutAfterRewind },
    { "recovery does not bring back what was rewound", testRewindSurvivesRecovery },
    { "leadership lost during a transaction", testFlipDuringTransaction },
    { "leadership lost and won during a transaction", testFlipTwice },
    { "captured but not drained is forgotten", testCaptureForgotten },
    { "an unsettled state is refused", testUnsettled },
    { "release", testRelease },
    { "rules of the handle", testHandleRules },
    { "checkpoint", testCheckpoint },
    { "limit of a checkpoint", testLimit },
    { "reader keeps the WAL", testReaderKeepsWal },
    { "closing leaves the WAL alone", testCloseLeavesWal },
    { "a torn database file is healed", testHeal },
    { 0, 0 }
  };
  runCases(argc, argv, aCase);
  return 0;
}
