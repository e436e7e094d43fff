/*
** Runs a fixed script on an ordinary database and leaves the files where they can be compared. Linked
** with SQLite as released and with the patched one, it must leave the same bytes: without a
** replication handle the patch changes nothing.
**
**     script <folder>
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite3.h"

static sqlite3 *a, *b;
static char zPath[1024];

/* Runs SQL and prints every value and every error. */
static void run(sqlite3 *db, const char *zSql){
  sqlite3_stmt *p = 0;
  while( sqlite3_prepare_v2(db, zSql, -1, &p, &zSql)==SQLITE_OK && p ){
    int rc;
    while( (rc = sqlite3_step(p))==SQLITE_ROW ){
      for(int i=0; i<sqlite3_column_count(p); i++) printf("%s|", sqlite3_column_text(p, i));
      printf("\n");
    }
    if( rc!=SQLITE_DONE ) printf("%d %s\n", sqlite3_extended_errcode(db), sqlite3_errmsg(db));
    sqlite3_finalize(p);
  }
  if( sqlite3_errcode(db)!=SQLITE_OK && sqlite3_errcode(db)!=SQLITE_DONE ){
    printf("%d %s\n", sqlite3_extended_errcode(db), sqlite3_errmsg(db));
  }
}

static void open2(void){
  if( sqlite3_open(zPath, &a)!=SQLITE_OK || sqlite3_open(zPath, &b)!=SQLITE_OK ) exit(1);
  sqlite3_extended_result_codes(a, 1);
}

static void copy(const char *zFrom, const char *zTo){
  char zCommand[3000];
  sqlite3_snprintf(sizeof(zCommand), zCommand, "cp '%s' '%s'", zFrom, zTo);
  if( system(zCommand)!=0 ) exit(1);
}

int main(int argc, char **argv){
  char zFrom[1100], zTo[1100];
  int n1, n2, rc;
  if( argc!=2 ) return 2;
  sqlite3_initialize();
  /* The salts of the WAL come from here. */
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 12345, 0);
  sqlite3_snprintf(sizeof(zPath), zPath, "%s/script.db", argv[1]);
  open2();
  run(a, "PRAGMA page_size=1024; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
         "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t(a);");
  run(a, "PRAGMA cache_size=10; BEGIN;"
         "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c WHERE x<500)"
         "INSERT INTO t SELECT x, x*7%100, hex(zeroblob(x%200)) FROM c;"
         "SAVEPOINT s; UPDATE t SET b='x' WHERE id%3=0; ROLLBACK TO s;"
         "DELETE FROM t WHERE id%5=0; COMMIT;");
  run(b, "BEGIN; SELECT count(*), sum(length(b)) FROM t;");
  run(a, "UPDATE t SET a=a+1; INSERT INTO t VALUES(1,2,3); PRAGMA wal_checkpoint;");
  run(b, "SELECT count(*) FROM t; UPDATE t SET a=0; COMMIT;");
  sqlite3_snprintf(sizeof(zFrom), zFrom, "%s-wal", zPath);
  sqlite3_snprintf(sizeof(zTo), zTo, "%s/copied-wal", argv[1]);
  copy(zFrom, zTo);
  rc = sqlite3_wal_checkpoint_v2(b, 0, SQLITE_CHECKPOINT_RESTART, &n1, &n2);
  printf("checkpoint %d %d %d\n", rc, n1, n2);
  run(b, "DELETE FROM t WHERE id>200; PRAGMA incremental_vacuum(10); SELECT count(*) FROM t;");
  run(a, "ATTACH ':memory:' AS m; CREATE TABLE m.x AS SELECT * FROM t; SELECT count(*) FROM m.x;");
  for(int i=0; i<1100; i++) run(a, "INSERT INTO t(a) VALUES(1)");
  run(a, "DETACH m; VACUUM; PRAGMA integrity_check;");
  sqlite3_close(b);
  sqlite3_close(a);
  open2();
  run(a, "PRAGMA journal_mode=DELETE; INSERT INTO t(a) VALUES(2); PRAGMA journal_mode=WAL;");
  run(b, "PRAGMA locking_mode=EXCLUSIVE; UPDATE t SET a=3 WHERE id=1; PRAGMA journal_mode=TRUNCATE;");
  run(a, "SELECT sum(a) FROM t");
  sqlite3_close(b);
  run(a, "SELECT sum(a) FROM t");
  sqlite3_close(a);
  return 0;
}
