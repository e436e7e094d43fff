/*
** Random histories of three nodes: SQL on the leader, batches into a log, replicas that apply, read,
** checkpoint, crash and take over. Nodes at the same place of the log must hold the same pages.
**
**     soak_test [seconds] [seed]
*/
#include "harness.h"

#define NODES   3
#define READERS 3
#define MAX_LOG 20000

typedef struct Batch Batch;
struct Batch {
  int nChunk;
  u8 **apChunk;
  i64 *aSize;
};

typedef struct Reader Reader;
struct Reader {
  sqlite3 *db;
  int isOpen;
  i64 sum;                   /* What the snapshot holds */
};

typedef struct Replica Replica;
struct Replica {
  Node node;
  int iApplied;              /* Batches of the log in the database, the leader's own included */
  int iDurable;              /* Batches in the database file, by its last complete checkpoint */
  Reader aReader[READERS];
};

static Replica aReplica[NODES];
static Batch aLog[MAX_LOG];
static i64 aSeq[MAX_LOG];    /* The leader's sequence number at the end of a batch */
static int nLog, nCommit, iLeader, szPage;
static i64 iStartSeq;        /* The leader's sequence number when it began to lead */
static unsigned long long random64;
static long nTxn, nRewind, nCrash, nBusy, nCompare, nFull;

static u32 rnd(u32 n){
  random64 = random64*6364136223846793005ull + 1442695040888963407ull;
  return (u32)(random64>>33) % n;
}

/* --- readers --- */

static i64 sumOf(sqlite3 *db){
  return queryInt(db, "SELECT count(*)*1000003 + coalesce(sum(length(b)*id), 0) FROM t");
}

static void endRead(Reader *r){
  if( !r->isOpen ) return;
  CHECK( sumOf(r->db)==r->sum );
  EXEC(r->db, "COMMIT");
  r->isOpen = 0;
}

static void endReads(Replica *p){
  for(int i=0; i<READERS; i++) endRead(&p->aReader[i]);
}

static void stepReader(Replica *p){
  Reader *r = &p->aReader[rnd(READERS)];
  if( r->isOpen ){
    endRead(r);
  }else{
    EXEC(r->db, "BEGIN");
    r->sum = sumOf(r->db);
    r->isOpen = 1;
  }
}

/* --- replicas --- */

static void openSessions(Replica *p){
  p->node.s = openDb(p->node.zPath);
  OK(sqlite3_wal_replication_session(p->node.s));
  EXEC(p->node.s, "PRAGMA cache_size=%d", 5 + rnd(200));
  for(int i=0; i<READERS; i++){
    p->aReader[i].db = openDb(p->node.zPath);
    OK(sqlite3_wal_replication_session(p->aReader[i].db));
    p->aReader[i].isOpen = 0;
  }
}

static void closeSessions(Replica *p){
  endReads(p);
  OK(sqlite3_close(p->node.s));
  for(int i=0; i<READERS; i++) OK(sqlite3_close(p->aReader[i].db));
}

static void applyNext(Replica *p){
  Batch *b = &aLog[p->iApplied];
  int iAbort = rnd(4) ? -1 : (int)rnd((u32)b->nChunk);
  for(int i=0; i<b->nChunk; i++){
    if( i==iAbort ){
      OK(sqlite3_wal_replication_abort(p->node.h, 0));
      iAbort = -1;
      i = 0;
    }
    OK(sqlite3_wal_replication_apply(p->node.h, 0, b->apChunk[i], b->aSize[i]));
  }
  p->iApplied++;
}

static void checkpoint(Replica *p){
  i64 a[5];
  int isLeader = p==&aReplica[iLeader];
  OK(sqlite3_wal_replication_checkpoint(rnd(2) ? p->node.h : p->node.s, 0, a));
  CHECK( a[1]<=a[0] );
  if( a[2]==0 ) return;
  CHECK( a[0]==a[1] );
  nFull++;
  /* All of the WAL was copied: it held nothing that was not committed. */
  p->iDurable = isLeader ? nCommit : p->iApplied;
}

/* The process dies: the WAL is lost, the database file is whatever checkpoints made of it. */
static void crash(Replica *p){
  char zPath[140];
  nCrash++;
  if( p!=&aReplica[iLeader] && p->iApplied<nCommit && aLog[p->iApplied].nChunk>1 ){
    OK(sqlite3_wal_replication_apply(p->node.h, 0, aLog[p->iApplied].apChunk[0],
                                     aLog[p->iApplied].aSize[0]));
  }
  if( rnd(2) ){
    OK(sqlite3_close(p->node.h));
    closeSessions(p);
  }else{
    closeSessions(p);
    OK(sqlite3_close(p->node.h));
  }
  sprintf(zPath, "%s-wal", p->node.zPath);
  unlink(zPath);
  sprintf(zPath, "%s-shm", p->node.zPath);
  unlink(zPath);
  p->node.h = openDb(p->node.zPath);
  OK(sqlite3_wal_replication_open(p->node.h, 0));
  p->iApplied = p->iDurable;
  /* What the last checkpoint had begun to copy is applied before anybody reads. */
  while( p->iApplied<nCommit ) applyNext(p);
  openSessions(p);
}

static u8 *pagesOf(Replica *p, i64 *pnByte){
  sqlite3_stmt *q = 0;
  i64 n = queryInt(p->node.s, "SELECT page_count FROM pragma_page_count");
  u8 *a = malloc((size_t)(n*szPage));
  OK(sqlite3_prepare_v2(p->node.s, "SELECT pgno, data FROM sqlite_dbpage", -1, &q, 0));
  *pnByte = n*szPage;
  for(i64 i=0; i<n; i++){
    CODE(SQLITE_ROW, sqlite3_step(q));
    CHECK( sqlite3_column_int64(q, 0)==i+1 && sqlite3_column_bytes(q, 1)==szPage );
    memcpy(&a[i*szPage], sqlite3_column_blob(q, 1), (size_t)szPage);
  }
  CODE(SQLITE_DONE, sqlite3_step(q));
  OK(sqlite3_finalize(q));
  return a;
}

static void compare(Replica *p, Replica *q){
  i64 np, nq;
  u8 *ap, *aq;
  CHECK( p->iApplied==q->iApplied );
  ap = pagesOf(p, &np);
  aq = pagesOf(q, &nq);
  CHECK( np==nq );
  for(i64 i=0; i<np; i+=szPage){
    if( memcmp(&ap[i], &aq[i], (size_t)szPage)!=0 ){
      fprintf(stderr, "page %lld differs at %d of %d\n", i/szPage+1, p->iApplied, nLog);
      exit(1);
    }
  }
  free(ap);
  free(aq);
  nCompare++;
}

/* --- the leader --- */

static void randomSql(sqlite3 *db){
  switch( rnd(16) ){
    case 0: EXEC(db, "DELETE FROM t WHERE id%%%d=0", 2+rnd(5)); break;
    case 1: EXEC(db, "UPDATE t SET b=randomblob(%d) WHERE id%%7=%d", rnd(2000), rnd(7)); break;
    case 2: EXEC(db, "CREATE TABLE IF NOT EXISTS x%d(a,b); INSERT INTO x%d VALUES(1,randomblob(50))",
                 rnd(1)+5, 5); break;
    case 3: EXEC(db, "DROP TABLE IF EXISTS x5"); break;
    case 4: tryExec(db, "INSERT INTO t(id,b) VALUES(NULL,1),((SELECT min(id) FROM t),2)"); break;
    case 5: EXEC(db, "PRAGMA incremental_vacuum(%d)", rnd(30)); break;
    default:
      EXEC(db,
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<%d)"
        "INSERT INTO t(a,b) SELECT random(), randomblob(%d) FROM c", 1+rnd(30), rnd(rnd(4) ? 200 : 1500));
      break;
  }
}

static void randomTransaction(sqlite3 *db){
  int bSavepoint = 0;
  nTxn++;
  if( rnd(60)==0 ){
    EXEC(db, "VACUUM");
    return;
  }
  /* Small databases make more histories. */
  if( queryInt(db, "SELECT page_count FROM pragma_page_count")*szPage>400000 || rnd(40)==0 ){
    EXEC(db, "DELETE FROM t WHERE id%%10");
  }
  EXEC(db, "BEGIN");
  for(int n=1+rnd(rnd(10)==0 ? 30 : 3); n>0; n--){
    randomSql(db);
    if( !bSavepoint && rnd(4)==0 ){
      EXEC(db, "SAVEPOINT s");
      bSavepoint = 1;
    }else if( bSavepoint && rnd(3)==0 ){
      EXEC(db, rnd(2) ? "ROLLBACK TO s; RELEASE s" : "RELEASE s");
      bSavepoint = 0;
    }
  }
  EXEC(db, rnd(5) ? "COMMIT" : "ROLLBACK");
}

/* Drains one batch into the log. */
static int drainBatch(void){
  Replica *p = &aReplica[iLeader];
  i64 nBuf = 16 + (i64)(4+szPage)*(1+rnd(rnd(2) ? 4 : 200));
  Batch b = { 0, 0, 0 };
  i64 a[6];
  do{
    u8 *aChunk = malloc((size_t)nBuf);
    OK(sqlite3_wal_replication_drain(p->node.h, 0, aChunk, nBuf, a));
    if( a[0]==0 ){
      free(aChunk);
      return 0;
    }
    b.apChunk = realloc(b.apChunk, sizeof(u8*)*(size_t)(b.nChunk+1));
    b.aSize = realloc(b.aSize, sizeof(i64)*(size_t)(b.nChunk+1));
    b.apChunk[b.nChunk] = realloc(aChunk, (size_t)a[0]);
    b.aSize[b.nChunk++] = a[0];
    if( a[2]==0 && rnd(10)==0 ) randomTransaction(p->node.s);
  }while( a[2]==0 );
  CHECK( nLog<MAX_LOG );
  aSeq[nLog] = a[3];
  aLog[nLog++] = b;
  p->iApplied = nLog;
  return 1;
}

static void advanceCommit(void){
  if( nCommit==nLog ) return;
  nCommit += 1 + (int)rnd((u32)(nLog-nCommit));
  OK(sqlite3_wal_replication_release(aReplica[iLeader].node.h, 0, aSeq[nCommit-1]));
}

static void truncateLog(void){
  while( nLog>nCommit ){
    Batch *b = &aLog[--nLog];
    for(int i=0; i<b->nChunk; i++) free(b->apChunk[i]);
    free(b->apChunk);
    free(b->aSize);
  }
}

/* The leader falls and is rewound, another node takes over. */
static void changeLeader(void){
  Replica *p = &aReplica[iLeader];
  i64 iSeq;
  int rc;
  if( rnd(3)==0 ) EXEC(p->node.s, "BEGIN; INSERT INTO t(b) VALUES(zeroblob(%d))", rnd(20000));
  follow(&p->node);
  if( rnd(4)==0 && nCommit<nLog ){
    nCommit++;
    if( rnd(2) ) OK(sqlite3_wal_replication_release(p->node.h, 0, aSeq[nCommit-1]));
  }
  iSeq = nCommit>0 && aSeq[nCommit-1]>iStartSeq ? aSeq[nCommit-1] : iStartSeq;
  if( !sqlite3_get_autocommit(p->node.s) ){
    CODE(SQLITE_BUSY, sqlite3_wal_replication_rewind(p->node.h, 0, iSeq));
    CODE(SQLITE_IOERR_NOT_LEADER, tryExec(p->node.s, "COMMIT"));
  }
  rc = sqlite3_wal_replication_rewind(p->node.h, 0, iSeq);
  if( rc==SQLITE_BUSY ){
    nBusy++;
    endReads(p);
    rc = sqlite3_wal_replication_rewind(p->node.h, 0, iSeq);
  }
  OK(rc);
  nRewind++;
  truncateLog();
  p->iApplied = nCommit;
  /* Connections of before may hold a schema that was taken back. */
  closeSessions(p);
  openSessions(p);
  iLeader = (int)rnd(NODES);
  p = &aReplica[iLeader];
  while( p->iApplied<nCommit ) applyNext(p);
  lead(&p->node);
  iStartSeq = seqOf(&p->node);
  for(int i=0; i<nCommit; i++) aSeq[i] = 0;
}

static void step(void){
  Replica *p = &aReplica[rnd(NODES)];
  u32 n = rnd(100);
  if( n<45 ){
    randomTransaction(aReplica[iLeader].node.s);
  }else if( n<65 ){
    drainBatch();
  }else if( n<75 ){
    advanceCommit();
  }else if( n<85 ){
    if( p->iApplied<nCommit ) applyNext(p);
  }else if( n<92 ){
    stepReader(p);
  }else if( n<97 ){
    checkpoint(p);
  }else if( n<98 && p!=&aReplica[iLeader] ){
    crash(p);
  }else if( n==98 ){
    changeLeader();
  }else if( n==99 && rnd(3)==0 ){
    Replica *q = &aReplica[rnd(NODES)];
    while( q->iApplied<nCommit ) applyNext(q);
    while( p->iApplied<nCommit ) applyNext(p);
    if( q->iApplied==p->iApplied && q!=&aReplica[iLeader] && p!=&aReplica[iLeader] ) compare(p, q);
  }
}

static void history(double until){
  static const char *const azVacuum[] = { "NONE", "FULL", "INCREMENTAL" };
  szPage = 512 << rnd(rnd(3) ? 4 : 8);
  nLog = nCommit = 0;
  iStartSeq = 0;
  iLeader = 0;
  makeSeed(szPage, azVacuum[rnd(3)]);
  for(int i=0; i<NODES; i++){
    char zName[2] = { (char)('a'+i), 0 };
    char zSeed[128];
    Replica *p = &aReplica[i];
    memset(p, 0, sizeof(*p));
    copyFile(pathOf(zSeed, "seed", ""), pathOf(p->node.zPath, zName, ""));
    p->node.h = openDb(p->node.zPath);
    OK(sqlite3_wal_replication_open(p->node.h, 0));
    openSessions(p);
  }
  lead(&aReplica[0].node);
  for(int n=0; n<2000 && now()<until; n++) step();
  while( drainBatch() ){}
  while( nCommit<nLog ) advanceCommit();
  for(int i=0; i<NODES; i++){
    Replica *p = &aReplica[i];
    endReads(p);
    while( p->iApplied<nLog ) applyNext(p);
    compare(p, &aReplica[iLeader]);
    checkpointAll(&p->node);
    CHECK( isSameFile(p->node.zPath, aReplica[0].node.zPath) );
    CHECK( queryInt(p->node.s, "SELECT integrity_check='ok' FROM pragma_integrity_check") );
  }
  for(int i=0; i<NODES; i++){
    closeSessions(&aReplica[i]);
    OK(sqlite3_close(aReplica[i].node.h));
  }
  nCommit = 0;
  truncateLog();
}

static double seconds = 3;
static unsigned long long firstSeed;

static void testSoak(void){
  char zRoot[64];
  double until = now()+seconds;
  int n = 0;
  strcpy(zRoot, zFolder);
  for(unsigned long long seed=firstSeed; now()<until; seed++, n++){
    random64 = seed*0x9e3779b97f4a7c15ull + 1;
    printf("seed %llu\n", seed);
    fflush(stdout);
    sprintf(zFolder, "%.40s/%d", zRoot, n);
    CHECK( mkdir(zFolder, 0700)==0 );
    history(until);
  }
  printf("%d histories, %ld transactions, %ld leaders fallen, %ld crashes, %ld rewinds busy, "
         "%ld full checkpoints, %ld comparisons\n",
         n, nTxn, nRewind, nCrash, nBusy, nFull, nCompare);
}

int main(int argc, char **argv){
  static const Case aCase[] = { { "soak", testSoak }, { 0, 0 } };
  if( argc>1 ) seconds = atof(argv[1]);
  firstSeed = argc>2 ? strtoull(argv[2], 0, 10) : 1;
  runCases(0, 0, aCase);
  return 0;
}
