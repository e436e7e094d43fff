/*
** What the test programs share: checks, SQL helpers, and a "node", which is a database file with its
** replication handle and one session. A program runs every case in a fresh folder and stops at the
** first failed check with a non-zero exit status.
*/
#ifndef DQLITE_TEST_HARNESS_H
#define DQLITE_TEST_HARNESS_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "replication.h"

typedef sqlite3_int64 i64;
typedef unsigned char u8;
typedef unsigned int u32;

typedef struct Node Node;
struct Node {
  char zPath[128];
  sqlite3 *h;                /* Replication handle */
  sqlite3 *s;                /* Session */
};

typedef struct Case Case;
struct Case {
  const char *zName;
  void (*xRun)(void);
};

/* The folder of the running case. */
static char zFolder[64];
static const char *zCase = "";

#define CHECK(X) ((X) ? (void)0 : failed(__FILE__, __LINE__, #X))
#define CODE(RC, X) checkCode(__FILE__, __LINE__, #X, (RC), (X))
#define OK(X) CODE(SQLITE_OK, X)

static void failed(const char *zFile, int iLine, const char *zWhat){
  fprintf(stderr, "%s:%d: %s: failed: %s\n", zFile, iLine, zCase, zWhat);
  exit(1);
}

static void checkCode(const char *zFile, int iLine, const char *zWhat, int want, int have){
  if( want==have ) return;
  fprintf(stderr, "%s:%d: %s: %s returned %d (%s), not %d\n",
          zFile, iLine, zCase, zWhat, have, sqlite3_errstr(have), want);
  exit(1);
}

static double now(void){
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec/1e9;
}

/* --- SQL --- */

/* Runs formatted SQL (as sqlite3_mprintf) and returns the extended result code. */
static int tryExec(sqlite3 *db, const char *zFormat, ...){
  va_list ap;
  char *zSql;
  int rc;
  va_start(ap, zFormat);
  zSql = sqlite3_vmprintf(zFormat, ap);
  va_end(ap);
  rc = sqlite3_exec(db, zSql, 0, 0, 0);
  sqlite3_free(zSql);
  return rc==SQLITE_OK ? rc : sqlite3_extended_errcode(db);
}

#define EXEC(...) OK(tryExec(__VA_ARGS__))

/* The integer a query returns; fails unless there is exactly one row. */
static i64 queryInt(sqlite3 *db, const char *zSql){
  sqlite3_stmt *p = 0;
  i64 n;
  int rc = sqlite3_prepare_v2(db, zSql, -1, &p, 0);
  if( rc!=SQLITE_OK ){
    fprintf(stderr, "%s: %s: %s\n", zCase, zSql, sqlite3_errmsg(db));
    exit(1);
  }
  CODE(SQLITE_ROW, sqlite3_step(p));
  n = sqlite3_column_int64(p, 0);
  CODE(SQLITE_DONE, sqlite3_step(p));
  sqlite3_finalize(p);
  return n;
}

static sqlite3 *openDb(const char *zPath){
  sqlite3 *db = 0;
  OK(sqlite3_open_v2(zPath, &db, SQLITE_OPEN_READWRITE, 0));
  sqlite3_extended_result_codes(db, 1);
  return db;
}

/* --- files --- */

static u8 *readFile(const char *zPath, i64 *pnByte){
  FILE *f = fopen(zPath, "rb");
  u8 *a;
  CHECK( f!=0 );
  fseek(f, 0, SEEK_END);
  *pnByte = ftell(f);
  rewind(f);
  a = malloc((size_t)*pnByte+1);
  CHECK( fread(a, 1, (size_t)*pnByte, f)==(size_t)*pnByte );
  fclose(f);
  return a;
}

static void writeFile(const char *zPath, const u8 *a, i64 nByte){
  FILE *f = fopen(zPath, "wb");
  CHECK( f!=0 );
  CHECK( fwrite(a, 1, (size_t)nByte, f)==(size_t)nByte );
  CHECK( fclose(f)==0 );
}

static void copyFile(const char *zFrom, const char *zTo){
  i64 nByte;
  u8 *a = readFile(zFrom, &nByte);
  writeFile(zTo, a, nByte);
  free(a);
}

static int isSameFile(const char *zA, const char *zB){
  i64 nA, nB;
  u8 *a = readFile(zA, &nA);
  u8 *b = readFile(zB, &nB);
  int isSame = nA==nB && memcmp(a, b, (size_t)nA)==0;
  free(a);
  free(b);
  return isSame;
}

static const char *pathOf(char *zBuf, const char *zName, const char *zSuffix){
  sprintf(zBuf, "%s/%s.db%s", zFolder, zName, zSuffix);
  return zBuf;
}

/* --- nodes --- */

/* Creates the file all nodes of the case start from. */
static void makeSeed(int szPage, const char *zAutoVacuum){
  char zPath[128];
  sqlite3 *db = 0;
  OK(sqlite3_open(pathOf(zPath, "seed", ""), &db));
  EXEC(db, "PRAGMA page_size=%d; PRAGMA auto_vacuum=%s; PRAGMA journal_mode=WAL;", szPage, zAutoVacuum);
  EXEC(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t(a);");
  OK(sqlite3_close(db));
}

/* Opens handle and session over the file that is there. */
static void attachNode(Node *p, const char *zName){
  pathOf(p->zPath, zName, "");
  p->h = openDb(p->zPath);
  OK(sqlite3_wal_replication_open(p->h, "main"));
  p->s = openDb(p->zPath);
  OK(sqlite3_wal_replication_session(p->s));
}

static void openNode(Node *p, const char *zName){
  char zSeed[128];
  copyFile(pathOf(zSeed, "seed", ""), pathOf(p->zPath, zName, ""));
  attachNode(p, zName);
}

static void closeNode(Node *p){
  OK(sqlite3_close(p->s));
  OK(sqlite3_close(p->h));
}

/*
** Calls again while the result is SQLITE_BUSY, for a second at most: a reader of another thread may be
** suspended while it holds a lock that it takes for a moment.
*/
#define OK_SOON(X) do{ \
  int rc_ = SQLITE_BUSY; \
  for(int n_=0; n_<1000 && (rc_ = (X))==SQLITE_BUSY; n_++) usleep(1000); \
  checkCode(__FILE__, __LINE__, #X, SQLITE_OK, rc_); \
}while(0)

static void lead(Node *p){ OK_SOON(sqlite3_wal_replication_leader(p->h, 0)); }
static void follow(Node *p){ OK(sqlite3_wal_replication_follower(p->h, 0)); }

static i64 seqOf(Node *p){ return sqlite3_wal_replication_seq(p->s, 0); }

static i64 statusOf(Node *p, int i){
  i64 a[12];
  OK(sqlite3_wal_replication_status(p->h, 0, a));
  return a[i];
}

/*
** Drains one batch through a buffer of nBuf bytes and applies it to the nodes listed (NULL at the
** end). Returns its sequence number, 0 when nothing was captured.
*/
static i64 shipTo(Node *pLeader, i64 nBuf, Node **apTo){
  u8 *a = malloc((size_t)nBuf);
  i64 aOut[6];
  i64 nLeft = -1;
  int n = 0;
  do{
    OK(sqlite3_wal_replication_drain(pLeader->h, 0, a, nBuf, aOut));
    if( aOut[0]==0 ) break;
    CHECK( nLeft<0 || aOut[1]+aOut[5]==nLeft );
    CHECK( aOut[2]==(aOut[5]==0) );
    nLeft = aOut[5];
    n++;
    for(Node **pp=apTo; *pp; pp++){
      OK_SOON(sqlite3_wal_replication_apply((*pp)->h, 0, a, aOut[0]));
    }
  }while( aOut[2]==0 );
  free(a);
  return n ? aOut[3] : 0;
}

static i64 ship(Node *pLeader, Node *pFollower){
  Node *ap[2] = { pFollower, 0 };
  return shipTo(pLeader, 1<<20, ap);
}

/* Copies the whole WAL into the database file. */
static void checkpointAll(Node *p){
  i64 a[5];
  OK(sqlite3_wal_replication_checkpoint(p->h, 0, a));
  CHECK( a[2]==1 && a[0]==a[1] );
}

/* Ships the rest, then compares the database files byte by byte. */
static void checkIdentical(Node *pLeader, Node *pFollower){
  while( ship(pLeader, pFollower) ){}
  OK(sqlite3_wal_replication_release(pLeader->h, 0, seqOf(pLeader)));
  checkpointAll(pLeader);
  checkpointAll(pFollower);
  CHECK( isSameFile(pLeader->zPath, pFollower->zPath) );
  CHECK( queryInt(pFollower->s, "SELECT integrity_check='ok' FROM pragma_integrity_check") );
}

/* --- the run --- */

static void runCases(int argc, char **argv, const Case *aCase){
  char zRoot[] = "/tmp/dqlite-c-XXXXXX";
  char zRemove[128];
  int n = 0;
  CHECK( mkdtemp(zRoot)!=0 );
  for(const Case *p=aCase; p->zName; p++){
    double start = now();
    if( argc>1 && strstr(p->zName, argv[1])==0 ) continue;
    zCase = p->zName;
    sprintf(zFolder, "%s/%d", zRoot, ++n);
    CHECK( mkdir(zFolder, 0700)==0 );
    p->xRun();
    printf("ok %s (%.0f ms)\n", p->zName, (now()-start)*1e3);
    fflush(stdout);
  }
  sprintf(zRemove, "rm -rf '%s'", zRoot);
  CHECK( system(zRemove)==0 );
  CHECK( sqlite3_memory_used()==0 );
  printf("%d cases passed\n", n);
}

#endif
