/*
** Page hashes: digests, pages verified as they are read and copied, scrubs and repairs.
*/
#include "harness.h"

static Node A, B;

typedef struct Digest Digest;
struct Digest { i64 low, high, nPage, nUnknown, nDamaged; };

static Digest digestOf(Node *p){
  i64 a[5];
  Digest d;
  OK(sqlite3_wal_replication_digest(p->h, 0, 0, a));
  d.low = a[0]; d.high = a[1]; d.nPage = a[2]; d.nUnknown = a[3]; d.nDamaged = a[4];
  return d;
}

/* Reads the whole file and adds up what the scrub counts. */
static void scrub(Node *p, i64 *aSum){
  i64 a[5];
  i64 pgno = 1;
  memset(aSum, 0, 5*sizeof(i64));
  while( pgno ){
    OK_SOON(sqlite3_wal_replication_scrub(p->s, 0, pgno, 7, a));
    for(int i=1; i<5; i++) aSum[i] += a[i];
    pgno = a[0];
  }
}

static int isSameDigest(Digest a, Digest b){
  return a.low==b.low && a.high==b.high && a.nPage==b.nPage;
}

static void start(int szPage, const char *zAutoVacuum){
  i64 a[5];
  makeSeed(szPage, zAutoVacuum);
  openNode(&A, "a");
  openNode(&B, "b");
  CHECK( digestOf(&A).nUnknown==digestOf(&A).nPage );
  scrub(&A, a);
  CHECK( a[2]==digestOf(&A).nPage && a[1]+a[3]+a[4]==0 );
  scrub(&B, a);
  CHECK( digestOf(&A).nUnknown==0 );
  CHECK( isSameDigest(digestOf(&A), digestOf(&B)) );
  lead(&A);
}

static void insert(Node *p, int n, int szBlob){
  EXEC(p->s,
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<%d)"
    "INSERT INTO t(a,b) SELECT random(), randomblob(%d) FROM c", n, szBlob);
}

static void shipAll(void){
  while( ship(&A, &B) ){}
  OK(sqlite3_wal_replication_release(A.h, 0, seqOf(&A)));
}

/* Both digests are those of a node that learns everything from the file. */
static void checkDigests(void){
  Node C;
  char zPath[128];
  i64 a[5];
  shipAll();
  CHECK( digestOf(&A).nUnknown==0 && digestOf(&B).nUnknown==0 );
  CHECK( isSameDigest(digestOf(&A), digestOf(&B)) );
  checkpointAll(&A);
  checkpointAll(&B);
  copyFile(B.zPath, pathOf(zPath, "c", ""));
  attachNode(&C, "c");
  scrub(&C, a);
  CHECK( digestOf(&C).nUnknown==0 );
  CHECK( isSameDigest(digestOf(&B), digestOf(&C)) );
  closeNode(&C);
  scrub(&B, a);
  CHECK( a[1]+(digestOf(&B).nPage>262144)==digestOf(&B).nPage && a[2]+a[3]+a[4]==0 );
}

static void finish(void){
  checkDigests();
  checkIdentical(&A, &B);
  closeNode(&A);
  closeNode(&B);
}

/* Opens the sessions anew, with nothing in their page caches. */
static void forgetCaches(Node *p){
  OK(sqlite3_close(p->s));
  p->s = openDb(p->zPath);
  OK(sqlite3_wal_replication_session(p->s));
}

static void damage(Node *p, i64 pgno, int szPage, int iByte){
  FILE *f = fopen(p->zPath, "r+b");
  long iOffset = (long)((pgno-1)*szPage + iByte);
  int c;
  CHECK( f!=0 );
  fseek(f, iOffset, SEEK_SET);
  c = fgetc(f);
  fseek(f, iOffset, SEEK_SET);
  CHECK( fputc(c^0x10, f)!=EOF );
  CHECK( fclose(f)==0 );
}

static void put32(u8 *a, u32 v){ for(int i=0; i<4; i++) a[i] = (u8)(v>>(8*i)); }

/* Repairs one page of p with what the file of pFrom holds. */
static void repairFrom(Node *p, Node *pFrom, i64 pgno, int szPage, i64 *aOut){
  i64 nByte;
  u8 *aFile = readFile(pFrom->zPath, &nByte);
  u8 *a = malloc((size_t)szPage+20);
  put32(a, (u32)szPage);
  put32(a+4, 0);
  put32(a+8, 1);
  put32(a+12, 0);
  put32(a+16, (u32)pgno);
  memcpy(a+20, aFile+(pgno-1)*szPage, (size_t)szPage);
  OK_SOON(sqlite3_wal_replication_repair(p->s, 0, a, szPage+20, aOut));
  free(a);
  free(aFile);
}

static i64 damagedPages(Node *p, u8 *aList, i64 nByte){
  i64 n = 0;
  OK(sqlite3_wal_replication_damaged(p->s, 0, aList, nByte, &n));
  return n;
}

/* --- digests --- */

static void testDigest(void){
  start(4096, "NONE");
  for(int i=0; i<30; i++){
    insert(&A, 1+7*i, 300);
    if( i%3==0 ) EXEC(A.s, "DELETE FROM t WHERE id%%5=%d", i%5);
    if( i%4==0 ) shipAll();
    if( i%7==0 ) checkDigests();
  }
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
    insert(&A, 200, 700);
    checkDigests();
    EXEC(A.s, "UPDATE t SET b=randomblob(900) WHERE id%%3=0");
    finish();
  }
}

static void testVacuum(void){
  start(1024, "INCREMENTAL");
  insert(&A, 2000, 500);
  checkDigests();
  EXEC(A.s, "DELETE FROM t WHERE id>100");
  EXEC(A.s, "PRAGMA incremental_vacuum(200)");
  checkDigests();
  EXEC(A.s, "VACUUM");
  checkDigests();
  insert(&A, 3000, 500);
  finish();
}

/* A transaction that spills, in many chunks, with savepoints that are taken back. */
static void testSpill(void){
  Node *ap[2] = { &B, 0 };
  start(4096, "NONE");
  EXEC(A.s, "PRAGMA cache_size=10; BEGIN");
  insert(&A, 500, 2000);
  EXEC(A.s, "SAVEPOINT s");
  insert(&A, 500, 2000);
  EXEC(A.s, "ROLLBACK TO s");
  insert(&A, 100, 2000);
  EXEC(A.s, "COMMIT");
  CHECK( shipTo(&A, 16+3*4100, ap)==1 );
  finish();
}

/* What is taken back leaves no trace; an unfinished batch neither. */
static void testRewind(void){
  Digest before;
  u8 *a = malloc(1<<20);
  i64 aOut[6];
  i64 iSeq;
  start(4096, "NONE");
  insert(&A, 200, 500);
  shipAll();
  iSeq = seqOf(&A);
  before = digestOf(&A);
  insert(&A, 500, 900);
  CHECK( isSameDigest(before, digestOf(&A)) );
  OK(sqlite3_wal_replication_drain(A.h, 0, a, 1<<20, aOut));
  CHECK( isSameDigest(before, digestOf(&A)) );
  EXEC(A.s, "DELETE FROM t");
  follow(&A);
  OK_SOON(sqlite3_wal_replication_rewind(A.h, 0, iSeq));
  CHECK( isSameDigest(before, digestOf(&A)) );
  lead(&A);
  iSeq = seqOf(&A);
  insert(&A, 300, 900);
  OK(sqlite3_wal_replication_drain(A.h, 0, a, 16+3*4100, aOut));
  CHECK( aOut[2]==0 );
  OK_SOON(sqlite3_wal_replication_apply(B.h, 0, a, aOut[0]));
  OK(sqlite3_wal_replication_abort(B.h, 0));
  CHECK( isSameDigest(before, digestOf(&B)) );
  follow(&A);
  OK_SOON(sqlite3_wal_replication_rewind(A.h, 0, iSeq));
  lead(&A);
  insert(&A, 3, 10);
  free(a);
  finish();
}

/* The digests after the latest batches are kept. */
static void testHistory(void){
  enum { N = 1100 };
  static Digest aWant[N+1];
  i64 a[5];
  start(512, "NONE");
  CODE(SQLITE_NOTFOUND, sqlite3_wal_replication_digest(B.h, 0, 1, a));
  for(int i=1; i<=N; i++){
    insert(&A, 1, 20);
    shipAll();
    aWant[i] = digestOf(&A);
  }
  for(int i=1; i<=N; i++){
    int rc = sqlite3_wal_replication_digest(B.h, 0, i, a);
    CHECK( rc==(i+1024<=N ? SQLITE_NOTFOUND : SQLITE_OK) );
    if( rc==SQLITE_OK ) CHECK( a[0]==aWant[i].low && a[1]==aWant[i].high && a[2]==aWant[i].nPage );
  }
  CODE(SQLITE_NOTFOUND, sqlite3_wal_replication_digest(B.h, 0, N+1, a));
  CODE(SQLITE_NOTFOUND, sqlite3_wal_replication_digest(B.h, 0, -1, a));
  finish();
}

/* A follower that holds another byte has another digest. */
static void testDivergence(void){
  makeSeed(4096, "NONE");
  openNode(&A, "a");
  openNode(&B, "b");
  damage(&B, 1, 4096, 70);
  i64 a[5];
  scrub(&A, a);
  scrub(&B, a);
  CHECK( !isSameDigest(digestOf(&A), digestOf(&B)) );
  closeNode(&A);
  closeNode(&B);
}

/* --- damage --- */

static void fill(void){
  start(4096, "NONE");
  insert(&A, 3000, 500);
  EXEC(A.s, "INSERT INTO t(id,a,b) VALUES(1000000, 1, randomblob(200000))");
  shipAll();
  checkpointAll(&A);
  checkpointAll(&B);
}

static void testRead(void){
  u8 aList[4*8];
  i64 a[5];
  Digest before;
  fill();
  before = digestOf(&B);
  forgetCaches(&B);
  CHECK( queryInt(B.s, "SELECT count(*) FROM t NOT INDEXED")==3001 );
  forgetCaches(&B);
  damage(&B, 100, 4096, 4000);
  CHECK( tryExec(B.s, "SELECT sum(length(b)), max(b) FROM t NOT INDEXED")==SQLITE_IOERR_DATA );
  CHECK( damagedPages(&B, aList, sizeof(aList))==1 && aList[0]==100 );
  CHECK( digestOf(&B).nDamaged==1 && isSameDigest(before, digestOf(&B)) );
  /* Other pages are read as ever, also in the same connection. */
  CHECK( queryInt(B.s, "SELECT count(*) FROM t WHERE id=1")==1 );
  /* Neither what is there, nor what stands elsewhere, is taken. */
  repairFrom(&B, &B, 100, 4096, a);
  CHECK( a[0]==0 && a[1]==1 );
  CHECK( digestOf(&B).nDamaged==1 );
  repairFrom(&B, &A, 100, 4096, a);
  CHECK( a[0]==1 && a[1]==0 );
  CHECK( digestOf(&B).nDamaged==0 && isSameFile(A.zPath, B.zPath) );
  CHECK( queryInt(B.s, "SELECT count(*) FROM t NOT INDEXED")==3001 );
  finish();
}

/* Overflow pages are read past the page cache in SQLite as released. */
static void testOverflow(void){
  i64 nPage;
  fill();
  nPage = digestOf(&B).nPage;
  forgetCaches(&B);
  CHECK( queryInt(B.s, "SELECT length(b) FROM t WHERE id=1000000")==200000 );
  forgetCaches(&B);
  damage(&B, nPage-10, 4096, 2000);
  CHECK( tryExec(B.s, "SELECT max(b) FROM t WHERE id=1000000")==SQLITE_IOERR_DATA );
  CHECK( digestOf(&B).nDamaged==1 );
  i64 a[5];
  repairFrom(&B, &A, nPage-10, 4096, a);
  CHECK( queryInt(B.s, "SELECT b IS NOT NULL FROM t WHERE id=1000000")==1 );
  finish();
}

static void testScrub(void){
  u8 aList[4*300];
  u8 *aFile;
  i64 a[5];
  i64 n, nByte;
  fill();
  for(i64 pgno=1; pgno<=digestOf(&B).nPage; pgno+=3) damage(&B, pgno, 4096, (int)(pgno*37%4096));
  scrub(&B, a);
  CHECK( a[1]==digestOf(&B).nPage && a[3]==(a[1]+2)/3 && digestOf(&B).nDamaged==a[3] );
  /* What is written again by a checkpoint is whole again: page 1, for one. */
  EXEC(A.s, "CREATE TABLE other(a)");
  shipAll();
  checkpointAll(&B);
  checkpointAll(&A);
  CHECK( digestOf(&B).nDamaged<a[3] );
  while( (n = damagedPages(&B, aList, sizeof(aList)))>0 ){
    for(i64 i=0; i<n; i++){
      repairFrom(&B, &A, aList[4*i] | aList[4*i+1]<<8, 4096, a);
      CHECK( a[0]==1 );
    }
  }
  CHECK( digestOf(&B).nDamaged==0 && isSameFile(A.zPath, B.zPath) );
  /* What was read beside SQLite is held against the hashes as well. */
  aFile = readFile(B.zPath, &nByte);
  OK(sqlite3_wal_replication_check(B.h, 0, 1, aFile, nByte, 1, &n));
  CHECK( n==0 );
  aFile[70*4096+5] ^= 1;
  OK(sqlite3_wal_replication_check(B.h, 0, 1, aFile, nByte, 0, &n));
  CHECK( n==71 && digestOf(&B).nDamaged==0 );
  OK(sqlite3_wal_replication_check(B.h, 0, 71, aFile+70*4096, 4096, 1, &n));
  CHECK( n==71 && digestOf(&B).nDamaged==1 );
  CHECK( sqlite3_wal_replication_check(B.h, 0, 1, aFile, 4095, 0, &n)==SQLITE_MISUSE );
  free(aFile);
  scrub(&B, a);
  /* A scrub clears what was damaged and is not any more. */
  damage(&B, 50, 4096, 1);
  scrub(&B, a);
  damage(&B, 50, 4096, 1);
  CHECK( digestOf(&B).nDamaged==1 );
  scrub(&B, a);
  CHECK( digestOf(&B).nDamaged==0 );
  finish();
}

/* Every page is swapped with another one: each is a good page, in the wrong place. */
static void testSwapped(void){
  i64 nByte;
  i64 a[5];
  u8 *aFile;
  u8 aSwap[4096];
  fill();
  aFile = readFile(B.zPath, &nByte);
  memcpy(aSwap, aFile+60*4096, 4096);
  memcpy(aFile+60*4096, aFile+61*4096, 4096);
  memcpy(aFile+61*4096, aSwap, 4096);
  FILE *f = fopen(B.zPath, "r+b");
  CHECK( fwrite(aFile, 1, (size_t)nByte, f)==(size_t)nByte && fclose(f)==0 );
  free(aFile);
  scrub(&B, a);
  CHECK( a[3]==2 );
  repairFrom(&B, &A, 61, 4096, a);
  repairFrom(&B, &A, 62, 4096, a);
  finish();
}

/* A frame that has changed in the WAL does not get into the file. */
static void testDamagedFrame(void){
  char zWal[160];
  i64 a[3];
  i64 nByte, nAfter;
  u8 *aBefore, *aAfter;
  fill();
  insert(&A, 1, 10);
  shipAll();
  aBefore = readFile(B.zPath, &nByte);
  sprintf(zWal, "%s-wal", B.zPath);
  FILE *f = fopen(zWal, "r+b");
  CHECK( f!=0 );
  fseek(f, 32+24+2000, SEEK_SET);
  for(int i=0; i<4; i++) fputc(0x5a, f);
  CHECK( fclose(f)==0 );
  CHECK( sqlite3_wal_replication_checkpoint(B.h, 0, a)==SQLITE_IOERR_DATA );
  aAfter = readFile(B.zPath, &nAfter);
  CHECK( nByte==nAfter && memcmp(aBefore, aAfter, (size_t)nByte)==0 );
  free(aBefore);
  free(aAfter);
  closeNode(&A);
  closeNode(&B);
}

/* --- saving and loading --- */

static void save(Node *p, int bAll, u8 *aTable, i64 nPage){
  u8 aBuf[12*50];
  i64 a[2] = { 0, 1 };
  while( a[1] ){
    OK(sqlite3_wal_replication_save_hashes(p->h, 0, bAll, a[1], aBuf, sizeof(aBuf), a));
    for(i64 i=0; i<a[0]; i+=12){
      i64 pgno = aBuf[i] | aBuf[i+1]<<8 | aBuf[i+2]<<16;
      CHECK( pgno>=1 && pgno<=nPage );
      memcpy(&aTable[8*(pgno-1)], &aBuf[i+4], 8);
    }
  }
}

static void testLoad(void){
  static u8 aTable[8*4096];
  static u8 aFull[8*4096];
  char zPath[128];
  Digest before;
  i64 a[5];
  fill();
  save(&B, 1, aTable, 4096);
  for(int i=0; i<5; i++){
    insert(&A, 100, 100);
    EXEC(A.s, "DELETE FROM t WHERE id%%11=%d", i);
    shipAll();
    checkpointAll(&B);
    save(&B, 0, aTable, 4096);
  }
  save(&B, 0, aFull, 4096);
  CHECK( aFull[0]==0 && memcmp(aFull, aFull+1, sizeof(aFull)-1)==0 );
  save(&B, 1, aFull, 4096);
  before = digestOf(&B);
  CHECK( memcmp(aTable, aFull, (size_t)(8*before.nPage))==0 );
  closeNode(&B);
  CHECK( remove(pathOf(zPath, "b", "-wal"))==0 && remove(pathOf(zPath, "b", "-shm"))==0 );
  attachNode(&B, "b");
  OK(sqlite3_wal_replication_load_hashes(B.h, 0, aTable, before.nPage));
  CHECK( isSameDigest(before, digestOf(&B)) && digestOf(&B).nUnknown==0 );
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_load_hashes(B.h, 0, aTable, before.nPage));
  damage(&B, 77, 4096, 9);
  scrub(&B, a);
  CHECK( a[3]==1 && a[2]==0 );
  checkpointAll(&A);
  repairFrom(&B, &A, 77, 4096, a);
  CHECK( a[0]==1 );
  finish();
}

int main(int argc, char **argv){
  static const Case aCase[] = {
    { "digest", testDigest },
    { "page sizes", testPageSizes },
    { "vacuum", testVacuum },
    { "spill", testSpill },
    { "rewind", testRewind },
    { "history", testHistory },
    { "divergence", testDivergence },
    { "read", testRead },
    { "overflow", testOverflow },
    { "scrub", testScrub },
    { "swapped", testSwapped },
    { "damaged frame", testDamagedFrame },
    { "load", testLoad },
    { 0, 0 }
  };
  runCases(argc, argv, aCase);
  return 0;
}
