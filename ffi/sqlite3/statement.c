#include "statement.h"

#include <string.h>

#define NO_STRING 0xffffffffu

/* Weak, so that the file links against an unpatched SQLite too: there the number is always 0. */
extern sqlite3_int64 sqlite3_wal_replication_seq(sqlite3 *, const char *) __attribute__((weak));

typedef unsigned char u8;
typedef unsigned int u32;
typedef sqlite3_int64 i64;

static double replicationSeq(sqlite3 *db){
  return sqlite3_wal_replication_seq ? (double)sqlite3_wal_replication_seq(db, "main") : 0;
}

static void putU32(u8 *p, u32 v){
  p[0] = (u8)v;
  p[1] = (u8)(v >> 8);
  p[2] = (u8)(v >> 16);
  p[3] = (u8)(v >> 24);
}

static u32 getU32(const u8 *p){
  return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

static void putU64(u8 *p, sqlite3_uint64 v){
  putU32(p, (u32)v);
  putU32(p + 4, (u32)(v >> 32));
}

static sqlite3_uint64 getU64(const u8 *p){
  return (sqlite3_uint64)getU32(p) | (sqlite3_uint64)getU32(p + 4) << 32;
}

/* Reports a failure: the code, and the text that explains it in the output buffer. */
static void fail(sqlite3 *db, int rc, void *pOut, int nOut, DqliteResult *pResult){
  const char *zText = db && (sqlite3_errcode(db) & 0xff) == (rc & 0xff)
                        ? sqlite3_errmsg(db)
                        : sqlite3_errstr(rc);
  size_t nText = strlen(zText);
  if( nText > (size_t)nOut ) nText = (size_t)nOut;
  memcpy(pOut, zText, nText);
  pResult->rc = rc;
  pResult->bytes = (double)nText;
  pResult->rows = 0;
  pResult->needed = 0;
  pResult->done = 1;
}

sqlite3 *dqlite_open(
  const char *zPath, int flags, int busyTimeoutMs, void *pOut, int nOut, DqliteResult *pResult
){
  sqlite3 *db = 0;
  int rc = sqlite3_open_v2(zPath, &db, flags, 0);
  if( rc != SQLITE_OK ){
    if( db ) rc = sqlite3_extended_errcode(db);
    fail(db, rc, pOut, nOut, pResult);
    sqlite3_close(db);
    return 0;
  }
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, busyTimeoutMs);
  pResult->rc = SQLITE_OK;
  return db;
}

static size_t putString(u8 *pOut, size_t nOut, size_t at, const char *z){
  size_t n = z ? strlen(z) : 0;
  if( at + 4 + n <= nOut ){
    putU32(pOut + at, z ? (u32)n : NO_STRING);
    if( n ) memcpy(pOut + at + 4, z, n);
  }
  return at + 4 + n;
}

void dqlite_describe(sqlite3_stmt *pStmt, void *pOut, int nOut, DqliteResult *pResult){
  int nColumn = sqlite3_column_count(pStmt);
  int nParameter = sqlite3_bind_parameter_count(pStmt);
  size_t at = 0;
  int i;
  for(i = 0; i < nColumn; i++){
    at = putString(pOut, (size_t)nOut, at, sqlite3_column_name(pStmt, i));
    at = putString(pOut, (size_t)nOut, at, sqlite3_column_decltype(pStmt, i));
  }
  for(i = 1; i <= nParameter; i++){
    at = putString(pOut, (size_t)nOut, at, sqlite3_bind_parameter_name(pStmt, i));
  }
  pResult->columns = nColumn;
  pResult->parameters = nParameter;
  pResult->readonly = sqlite3_stmt_readonly(pStmt);
  pResult->explain = sqlite3_stmt_isexplain(pStmt);
  pResult->bytes = at <= (size_t)nOut ? (double)at : 0;
  pResult->needed = at <= (size_t)nOut ? 0 : (double)at;
}

sqlite3_stmt *dqlite_prepare(
  sqlite3 *db, const char *zSql, int nSql, int flags, void *pOut, int nOut, DqliteResult *pResult
){
  const char *zHead = zSql;
  const char *zEnd = zSql + nSql;
  pResult->error_offset = -1;
  while( zHead < zEnd ){
    sqlite3_stmt *pStmt = 0;
    const char *zTail = 0;
    /* With its NUL counted SQLite uses the text in place; else it copies all of it, each time. */
    int nRest = (int)(zEnd - zHead) + 1;
    int rc = sqlite3_prepare_v3(db, zHead, nRest, (unsigned)flags, &pStmt, &zTail);
    pResult->head = (double)(zHead - zSql);
    if( rc != SQLITE_OK ){
      int offset = sqlite3_error_offset(db);
      if( offset >= 0 ) pResult->error_offset = (double)(zHead - zSql) + offset;
      fail(db, rc, pOut, nOut, pResult);
      return 0;
    }
    if( pStmt ){
      pResult->rc = SQLITE_OK;
      pResult->tail = (double)(zTail - zSql);
      dqlite_describe(pStmt, pOut, nOut, pResult);
      return pStmt;
    }
    if( zTail <= zHead ) break;
    zHead = zTail;
  }
  pResult->rc = SQLITE_OK;
  pResult->tail = nSql;
  return 0;
}

/* Binds the values of an argument buffer to the parameters 1 to nArg. */
static int bindAll(sqlite3_stmt *pStmt, const u8 *p, int nBytes, int nArg){
  const u8 *pEnd = p + nBytes;
  int i;
  for(i = 1; i <= nArg; i++){
    int rc = SQLITE_OK;
    u8 type;
    if( p >= pEnd ) return SQLITE_MISUSE;
    type = *p++;
    if( type == DQLITE_NULL ){
      rc = sqlite3_bind_null(pStmt, i);
    }else if( type == DQLITE_INTEGER || type == DQLITE_REAL ){
      sqlite3_uint64 bits;
      if( pEnd - p < 8 ) return SQLITE_MISUSE;
      bits = getU64(p);
      p += 8;
      if( type == DQLITE_INTEGER ){
        rc = sqlite3_bind_int64(pStmt, i, (i64)bits);
      }else{
        double real;
        memcpy(&real, &bits, 8);
        rc = sqlite3_bind_double(pStmt, i, real);
      }
    }else{
      u32 n;
      if( pEnd - p < 4 || type > DQLITE_BLOB ) return SQLITE_MISUSE;
      n = getU32(p);
      p += 4;
      if( (size_t)(pEnd - p) < n ) return SQLITE_MISUSE;
      /* Copied by SQLite: the caller's buffer is used again while a statement still runs. */
      rc = type == DQLITE_TEXT
             ? sqlite3_bind_text64(pStmt, i, (const char *)p, n, SQLITE_TRANSIENT, SQLITE_UTF8)
             : n ? sqlite3_bind_blob64(pStmt, i, p, n, SQLITE_TRANSIENT)
                 : sqlite3_bind_zeroblob(pStmt, i, 0);
      p += n;
    }
    if( rc != SQLITE_OK ) return rc;
  }
  return p == pEnd ? SQLITE_OK : SQLITE_MISUSE;
}

/*
** Encodes the current row. Returns its size; what lies beyond `nOut` is counted, not written.
** Sets *pRc when memory ran out.
*/
static size_t encodeRow(sqlite3_stmt *pStmt, int nColumn, u8 *pOut, size_t nOut, int *pRc){
  size_t at = 0;
  int i;
  for(i = 0; i < nColumn; i++){
    u8 *p = pOut + at;
    int type = sqlite3_column_type(pStmt, i);
    if( type == SQLITE_NULL ){
      at += 1;
      if( at <= nOut ) *p = DQLITE_NULL;
    }else if( type == SQLITE_INTEGER || type == SQLITE_FLOAT ){
      at += 9;
      if( at <= nOut ){
        sqlite3_uint64 bits;
        if( type == SQLITE_INTEGER ){
          bits = (sqlite3_uint64)sqlite3_column_int64(pStmt, i);
        }else{
          double real = sqlite3_column_double(pStmt, i);
          memcpy(&bits, &real, 8);
        }
        *p = type == SQLITE_INTEGER ? DQLITE_INTEGER : DQLITE_REAL;
        putU64(p + 1, bits);
      }
    }else{
      /* The pointer first: it may convert UTF-16 to UTF-8, which decides the number of bytes. */
      const void *pData = type == SQLITE_TEXT ? (const void *)sqlite3_column_text(pStmt, i)
                                              : sqlite3_column_blob(pStmt, i);
      size_t n = (size_t)sqlite3_column_bytes(pStmt, i);
      if( pData == 0 && (n > 0 || type == SQLITE_TEXT) ){
        *pRc = SQLITE_NOMEM;
        return 0;
      }
      at += 5 + n;
      if( at <= nOut ){
        *p = type == SQLITE_TEXT ? DQLITE_TEXT : DQLITE_BLOB;
        putU32(p + 1, (u32)n);
        if( n ) memcpy(p + 5, pData, n);
      }
    }
  }
  return at;
}

/* Writes a row, and in JSON the comma before it when it is not the first of the buffer. */
static size_t writeRow(
  sqlite3_stmt *pStmt, int nColumn, int form, int isFirst, u8 *pOut, size_t nOut, int *pRc
){
  size_t nComma;
  if( form == DQLITE_ROWS_VALUES ) return encodeRow(pStmt, nColumn, pOut, nOut, pRc);
  nComma = isFirst || nOut == 0 ? 0 : 1;
  if( nComma ) *pOut = ',';
  return nComma + dqliteRowJson(pStmt, nColumn, pOut + nComma, nOut - nComma, pRc);
}

/*
** Encodes rows until the statement ends or a row does not fit. `rc` is the result of the step that
** was made last: SQLITE_ROW when a row stands there to be encoded. `nTotal` is the number of rows
** that the connection had changed before that step.
*/
static void encodeRows(
  sqlite3_stmt *pStmt, int rc, i64 nTotal, int form, u8 *pOut, int nOut, DqliteResult *pResult
){
  sqlite3 *db = sqlite3_db_handle(pStmt);
  int nColumn = sqlite3_column_count(pStmt);
  size_t at = 0;
  double nRow = 0;
  while( rc == SQLITE_ROW ){
    int rcRow = SQLITE_OK;
    size_t n = writeRow(pStmt, nColumn, form, nRow == 0, pOut + at, (size_t)nOut - at, &rcRow);
    if( rcRow != SQLITE_OK ){
      rc = rcRow;
      break;
    }
    if( n > (size_t)nOut - at ){
      pResult->rc = SQLITE_OK;
      pResult->rows = nRow;
      pResult->bytes = (double)at;
      pResult->needed = (double)n;
      pResult->done = 0;
      return;
    }
    at += n;
    nRow++;
    rc = sqlite3_step(pStmt);
  }
  if( rc != SQLITE_DONE ){
    fail(db, rc, pOut, nOut, pResult);
    sqlite3_reset(pStmt);
    return;
  }
  pResult->rc = SQLITE_OK;
  pResult->rows = nRow;
  pResult->bytes = (double)at;
  pResult->needed = 0;
  pResult->done = 1;
  /* A writing statement that returns rows counts its changes and commits at its last step. */
  pResult->changes = sqlite3_total_changes64(db) == nTotal ? 0 : (double)sqlite3_changes64(db);
  if( !sqlite3_stmt_readonly(pStmt) ) pResult->seq = replicationSeq(db);
  sqlite3_reset(pStmt);
}

void dqlite_run(
  sqlite3_stmt *pStmt, const void *pArgs, int nArgBytes, int nArg, int form,
  void *pOut, int nOut, DqliteResult *pResult
){
  sqlite3 *db = sqlite3_db_handle(pStmt);
  i64 nTotal = sqlite3_total_changes64(db);
  int rc;
  sqlite3_reset(pStmt);
  /* A budget counts from here on, not from the first run of the statement. */
  sqlite3_stmt_status(pStmt, SQLITE_STMTSTATUS_VM_STEP, 1);
  rc = bindAll(pStmt, pArgs, nArgBytes, nArg);
  if( rc != SQLITE_OK ){
    fail(db, rc, pOut, nOut, pResult);
    if( nArg > 0 ) sqlite3_clear_bindings(pStmt);
    return;
  }
  rc = sqlite3_step(pStmt);
  /* Every row is written by the first step, also when the statement returns rows. */
  pResult->rowid = sqlite3_last_insert_rowid(db);
  pResult->seq = replicationSeq(db);
  pResult->columns = sqlite3_column_count(pStmt);
  pResult->prepares = sqlite3_stmt_status(pStmt, SQLITE_STMTSTATUS_REPREPARE, 0);
  encodeRows(pStmt, rc, nTotal, form, pOut, nOut, pResult);
  /* A kept statement must not keep the memory of its last arguments. */
  if( pResult->done != 0 && nArg > 0 ) sqlite3_clear_bindings(pStmt);
}

void dqlite_next(
  sqlite3_stmt *pStmt, int isPending, int form, void *pOut, int nOut, DqliteResult *pResult
){
  i64 nTotal = sqlite3_total_changes64(sqlite3_db_handle(pStmt));
  int rc = isPending ? SQLITE_ROW : sqlite3_step(pStmt);
  encodeRows(pStmt, rc, nTotal, form, pOut, nOut, pResult);
}

void dqlite_cancel(sqlite3_stmt *pStmt){
  if( sqlite3_stmt_busy(pStmt) && !sqlite3_stmt_readonly(pStmt) ){
    sqlite3_interrupt(sqlite3_db_handle(pStmt));
    while( sqlite3_step(pStmt) == SQLITE_ROW ){}
  }
  sqlite3_reset(pStmt);
  sqlite3_clear_bindings(pStmt);
}
