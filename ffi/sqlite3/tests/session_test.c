/*
** What a session may do, what marks it as tainted, and how it is interrupted.
*/
#include "harness.h"

#include <pthread.h>

static Node A;

static void start(void){
  makeSeed(4096, "NONE");
  openNode(&A, "a");
  lead(&A);
}

/* The statement is refused with SQLITE_AUTH, and the message contains zMessage. */
static void checkDenied(const char *zSql, const char *zMessage){
  int rc = tryExec(A.s, "%s", zSql);
  if( rc==SQLITE_AUTH && strstr(sqlite3_errmsg(A.s), zMessage)!=0 ) return;
  fprintf(stderr, "%s: %s returned %d: %s\n", zCase, zSql, rc, sqlite3_errmsg(A.s));
  exit(1);
}

static void testDenied(void){
  static const char *const azFixed[] = {
    "journal_mode=DELETE", "journal_mode=OFF", "journal_mode(memory)", "locking_mode=EXCLUSIVE",
    "page_size=8192", "wal_autocheckpoint=1", "synchronous=FULL", "journal_size_limit=1",
    "mmap_size=1000000", "writable_schema=ON", "schema_version=9", "temp_store_directory='/tmp'",
    "main.journal_mode=DELETE", "JOURNAL_MODE='delete'", "soft_heap_limit=1", "hard_heap_limit=1", 0
  };
  char zSql[128];
  start();
  for(int i=0; azFixed[i]; i++){
    sprintf(zSql, "PRAGMA %s", azFixed[i]);
    checkDenied(zSql, "cannot be set: the database is replicated");
  }
  checkDenied("PRAGMA wal_checkpoint", "not allowed");
  checkDenied("PRAGMA wal_checkpoint(TRUNCATE)", "not allowed");
  checkDenied("ATTACH 'other.db' AS o", "ATTACH is allowed");
  checkDenied("ATTACH 'file:x?mode=memory' AS o", "ATTACH is allowed");
  checkDenied("ATTACH '' || 'x' AS o", "ATTACH is allowed");
  checkDenied("VACUUM INTO 'copy.db'", "authorization denied");
  CODE(SQLITE_ERROR, tryExec(A.s, "SELECT load_extension('x')"));
  CHECK( strstr(sqlite3_errmsg(A.s), "load_extension")!=0 );
  /* Defensive mode. */
  CHECK( tryExec(A.s, "UPDATE sqlite_schema SET sql='x'")!=SQLITE_OK );
  EXEC(A.s, "UPDATE sqlite_dbpage SET data=data WHERE 0");
  CHECK( !sqlite3_wal_replication_tainted(A.s) );
  CHECK( queryInt(A.s, "SELECT page_size=4096 FROM pragma_page_size") );
  /* A message does not stick to the next refusal, and ordinary errors keep theirs. */
  CODE(SQLITE_ERROR, tryExec(A.s, "SELECT missing"));
  CHECK( strcmp(sqlite3_errmsg(A.s), "no such column: missing")==0 );
  closeNode(&A);
}

static void testAllowed(void){
  static const char *const azSql[] = {
    "PRAGMA journal_mode", "PRAGMA journal_mode=wal", "PRAGMA locking_mode", "PRAGMA page_size",
    "PRAGMA synchronous", "PRAGMA wal_autocheckpoint", "PRAGMA mmap_size", "PRAGMA schema_version",
    "PRAGMA data_version", "PRAGMA table_info(t)", "PRAGMA index_list('t')", "PRAGMA user_version=7",
    "PRAGMA application_id=8", "PRAGMA integrity_check(5)", "PRAGMA quick_check(t)",
    "PRAGMA foreign_key_check(t)", "PRAGMA incremental_vacuum(3)", "PRAGMA optimize",
    "SELECT * FROM pragma_table_info('t')", "SELECT * FROM pragma_index_xinfo('ta')",
    "CREATE TABLE x(y)", "ALTER TABLE x RENAME TO z", "DROP TABLE z", "VACUUM", "REINDEX", "ANALYZE",
    "BEGIN; SAVEPOINT a; RELEASE a; COMMIT", "EXPLAIN QUERY PLAN SELECT * FROM t",
    "CREATE VIRTUAL TABLE v USING fts5(x)", "INSERT INTO v VALUES('y')", "DROP TABLE v", 0
  };
  start();
  for(int i=0; azSql[i]; i++){
    EXEC(A.s, "%s", azSql[i]);
    CHECK( !sqlite3_wal_replication_tainted(A.s) );
  }
  closeNode(&A);
}

static void testTainted(void){
  static const char *const azSql[] = {
    "PRAGMA foreign_keys=ON", "PRAGMA cache_size=10", "PRAGMA temp_store=2", "PRAGMA query_only=1",
    "PRAGMA case_sensitive_like=1", "PRAGMA busy_timeout=5", "PRAGMA auto_vacuum=FULL",
    "CREATE TEMP TABLE x(y)", "CREATE TEMP VIEW w AS SELECT 1",
    "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE temp.v USING fts5(x)", "ATTACH ':memory:' AS m", "ATTACH '' AS m", 0
  };
  start();
  CHECK( !sqlite3_wal_replication_tainted(A.h) );
  for(int i=0; azSql[i]; i++){
    EXEC(A.s, "%s", azSql[i]);
    CHECK( sqlite3_wal_replication_tainted(A.s) );
    OK(sqlite3_close(A.s));
    A.s = openDb(A.zPath);
    OK(sqlite3_wal_replication_session(A.s));
    OK(sqlite3_wal_replication_session(A.s));
    CHECK( !sqlite3_wal_replication_tainted(A.s) );
  }
  CHECK( seqOf(&A)==0 );
  closeNode(&A);
}

/* --- brief statements --- */

static int isBrief(const char *zSql){
  sqlite3_stmt *pStmt = 0;
  int isBrief;
  OK(sqlite3_prepare_v2(A.s, zSql, -1, &pStmt, 0));
  isBrief = sqlite3_wal_replication_brief(pStmt);
  sqlite3_finalize(pStmt);
  return isBrief;
}

static void testBrief(void){
  static const char *const azBrief[] = {
    "SELECT 1", "SELECT a FROM t WHERE rowid=?", "SELECT * FROM t ORDER BY a DESC LIMIT 3",
    "INSERT INTO t(a) VALUES(1)", "INSERT INTO t(a) VALUES(1) ON CONFLICT DO NOTHING",
    "UPDATE t SET a=a+1 WHERE rowid=4", "DELETE FROM t WHERE rowid=4", "SELECT sum(a) FROM t",
    "SELECT upper(a)||lower(a), abs(a), datetime('now') FROM t", 0
  };
  static const char *const azLong[] = {
    "SELECT count(*) FROM t", "DELETE FROM t", "SELECT randomblob(9)", "SELECT a FROM t WHERE a LIKE 'x'",
    "INSERT INTO r VALUES(1)", "SELECT * FROM v", "CREATE TABLE x(y)", "VACUUM", "BEGIN",
    "SELECT * FROM pragma_table_info('t')", "EXPLAIN SELECT 1", "ANALYZE", "SAVEPOINT a", 0
  };
  start();
  EXEC(A.s, "CREATE TABLE r(a); CREATE VIRTUAL TABLE v USING fts5(x);"
            "CREATE TRIGGER g AFTER INSERT ON r BEGIN SELECT 1; END");
  for(int i=0; azBrief[i]; i++) CHECK( isBrief(azBrief[i]) );
  for(int i=0; azLong[i]; i++) CHECK( !isBrief(azLong[i]) );
  closeNode(&A);
}

static void testBudget(void){
  const char *zInsert = "WITH c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<1000) "
                        "INSERT INTO t(a) SELECT x FROM c";
  sqlite3_stmt *pStmt = 0;
  sqlite3_int64 nBefore;
  start();
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_budget(A.h, 10));
  nBefore = queryInt(A.s, "SELECT count(*) FROM t");
  OK(sqlite3_prepare_v2(A.s, zInsert, -1, &pStmt, 0));
  OK(sqlite3_wal_replication_budget(A.s, 500));
  CODE(SQLITE_INTERRUPT, sqlite3_step(pStmt));
  sqlite3_reset(pStmt);
  OK(sqlite3_wal_replication_budget(A.s, 0));
  CHECK( queryInt(A.s, "SELECT count(*) FROM t")==nBefore );
  CODE(SQLITE_DONE, sqlite3_step(pStmt));
  sqlite3_finalize(pStmt);
  CHECK( queryInt(A.s, "SELECT count(*) FROM t")==nBefore+1000 );
  /* What would have to be prepared again is refused, and goes on later. */
  OK(sqlite3_prepare_v2(A.s, "SELECT a FROM t", -1, &pStmt, 0));
  EXEC(A.s, "CREATE TABLE other(a)");
  OK(sqlite3_wal_replication_budget(A.s, 500));
  CODE(SQLITE_AUTH, sqlite3_step(pStmt));
  sqlite3_reset(pStmt);
  OK(sqlite3_wal_replication_budget(A.s, 0));
  CODE(SQLITE_ROW, sqlite3_step(pStmt));
  sqlite3_finalize(pStmt);
  closeNode(&A);
}

/* --- interrupt --- */

typedef struct Slow Slow;
struct Slow {
  pthread_t thread;
  sqlite3 *db;
  int rc;
  int isDone;                /* Atomic */
};

static void *runSlowQuery(void *pArg){
  Slow *p = (Slow*)pArg;
  p->rc = tryExec(p->db,
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c) SELECT sum(x) FROM c");
  __atomic_store_n(&p->isDone, 1, __ATOMIC_SEQ_CST);
  return 0;
}

static int isDone(Slow *p){ return __atomic_load_n(&p->isDone, __ATOMIC_SEQ_CST); }

static void testInterrupt(void){
  Slow a[2];
  Node B;
  start();
  openNode(&B, "b");
  memset(a, 0, sizeof(a));
  for(int i=0; i<2; i++){
    a[i].db = openDb(A.zPath);
    OK(sqlite3_wal_replication_session(a[i].db));
    CHECK( pthread_create(&a[i].thread, 0, runSlowQuery, &a[i])==0 );
  }
  /* An interrupt of another file does nothing to these. */
  for(int i=0; i<20; i++){
    OK(sqlite3_wal_replication_interrupt(B.h, 0));
    usleep(1000);
  }
  CHECK( !isDone(&a[0]) && !isDone(&a[1]) );
  /* A statement that only begins clears the flag, hence more than one interrupt. */
  while( !isDone(&a[0]) || !isDone(&a[1]) ){
    OK(sqlite3_wal_replication_interrupt(A.h, 0));
    usleep(1000);
  }
  for(int i=0; i<2; i++){
    CHECK( pthread_join(a[i].thread, 0)==0 );
    CHECK( a[i].rc==SQLITE_INTERRUPT );
    OK(sqlite3_close(a[i].db));
  }
  OK(sqlite3_wal_replication_interrupt(A.h, 0));
  CHECK( queryInt(A.s, "SELECT 1")==1 );
  closeNode(&B);
  closeNode(&A);
}

/* The sessions of one owner are interrupted, those of others go on. */
static void testInterruptOwner(void){
  Slow a[2];
  start();
  memset(a, 0, sizeof(a));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_owner(A.h, 1));
  CODE(SQLITE_MISUSE, sqlite3_wal_replication_interrupt_owner(A.h, 0, 0));
  for(int i=0; i<2; i++){
    a[i].db = openDb(A.zPath);
    OK(sqlite3_wal_replication_session(a[i].db));
    OK(sqlite3_wal_replication_owner(a[i].db, i+1));
    CHECK( pthread_create(&a[i].thread, 0, runSlowQuery, &a[i])==0 );
  }
  while( !isDone(&a[1]) ){
    OK(sqlite3_wal_replication_interrupt_owner(A.h, 0, 2));
    OK(sqlite3_wal_replication_interrupt_owner(A.s, 0, 3));
    usleep(1000);
  }
  CHECK( !isDone(&a[0]) );
  while( !isDone(&a[0]) ){
    OK(sqlite3_wal_replication_interrupt_owner(A.h, 0, 1));
    usleep(1000);
  }
  for(int i=0; i<2; i++){
    CHECK( pthread_join(a[i].thread, 0)==0 );
    CHECK( a[i].rc==SQLITE_INTERRUPT );
    OK(sqlite3_close(a[i].db));
  }
  closeNode(&A);
}

int main(int argc, char **argv){
  static const Case aCase[] = {
    { "refused", testDenied },
    { "allowed", testAllowed },
    { "tainted", testTainted },
    { "brief", testBrief },
    { "budget", testBudget },
    { "interrupt", testInterrupt },
    { "interrupt of an owner", testInterruptOwner },
    { 0, 0 }
  };
  runCases(argc, argv, aCase);
  return 0;
}
