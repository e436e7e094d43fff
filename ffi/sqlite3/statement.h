/*
** Statements over a foreign function interface: each function here does the work of many calls of
** SQLite's own API, so that one statement costs one or two crossings between the runtime and C.
**
** VALUES. Arguments and rows travel as a sequence of values, little-endian, without alignment:
**
**     u8 type   0 null      nothing follows
**               1 integer   i64
**               2 real      f64
**               3 text      u32 length in bytes, then the bytes (UTF-8, not terminated)
**               4 blob      u32 length in bytes, then the bytes
**
** A row is one value for each column, and rows follow each other without a separator.
**
** ROWS AS JSON. A caller that passes rows on to clients has them written as Hrana has it right away: a
** row is an array of values, and commas stand between the rows of one call.
**
**     null {"type":"null"} · integer {"type":"integer","value":"123"} · real {"type":"float","value":1.5}
**     text {"type":"text","value":"…"} · blob {"type":"blob","base64":"…"} without padding
**
** An infinite real has no number in JSON and becomes null. Bytes of a text that are not UTF-8 are passed
** on as they are.
*/
#ifndef DQLITE_STATEMENT_H
#define DQLITE_STATEMENT_H

#include "sqlite3.h"

#include <stddef.h>

#define DQLITE_NULL 0
#define DQLITE_INTEGER 1
#define DQLITE_REAL 2
#define DQLITE_TEXT 3
#define DQLITE_BLOB 4

/* How rows are written. */
#define DQLITE_ROWS_VALUES 0
#define DQLITE_ROWS_JSON 1

#ifdef __cplusplus
extern "C" {
#endif

/*
** What a call has to tell. Every field is eight bytes wide and all but one are doubles, which a
** JavaScript program reads from a Float64Array; counts stay below 2^53. A call sets the fields named
** with it and leaves the others alone.
*/
typedef struct DqliteResult DqliteResult;
struct DqliteResult {
  double rc;             /*  0 result code, extended; SQLITE_OK when all went well */
  double bytes;          /*  1 bytes in the output buffer: rows, a description, or an error text */
  double needed;         /*  2 size of what did not fit the output buffer; 0 when all did */
  double rows;           /*  3 rows in the output buffer */
  double done;           /*  4 1 once the statement has finished (and was reset) */
  double columns;        /*  5 columns of the result; 0 when there is none */
  double changes;        /*  6 rows changed by the statement itself, once it is done */
  double seq;            /*  7 replication sequence number that covers all the statement saw or did */
  double prepares;       /*  8 how often SQLite prepared the statement again, since it was made */
  double parameters;     /*  9 largest parameter number */
  double readonly;       /* 10 1 when the statement does not write to the database */
  double explain;        /* 11 1 for EXPLAIN, 2 for EXPLAIN QUERY PLAN */
  double head;           /* 12 offset in bytes where the statement begins in its text */
  double tail;           /* 13 offset in bytes where the text after it begins */
  double error_offset;   /* 14 offset in bytes of the error in the text; -1 when not known */
  sqlite3_int64 rowid;   /* 15 last inserted rowid of the connection */
};

/*
** Opens a database. `flags` are those of sqlite3_open_v2(). Returns NULL on failure, with `rc` and
** the error text in the output buffer (`bytes`).
*/
sqlite3 *dqlite_open(
  const char *zPath, int flags, int busyTimeoutMs, void *pOut, int nOut, DqliteResult *pResult
);

/*
** Prepares the first statement of a text of nSql bytes behind which a NUL stands; empty statements are
** passed over. `flags` are those of sqlite3_prepare_v3(). Returns NULL when there is none (`rc` is SQLITE_OK) or on failure (error text
** in the output buffer). Sets rc, head, tail, error_offset, and what dqlite_describe() sets.
*/
sqlite3_stmt *dqlite_prepare(
  sqlite3 *db, const char *zSql, int nSql, int flags, void *pOut, int nOut, DqliteResult *pResult
);

/*
** Describes a statement: columns, parameters, readonly, explain, and into the output buffer two
** strings for each column (name; declared type) and one for each parameter (name). A string is
** u32 length and its bytes; the length 0xffffffff means there is none. When the buffer is too small,
** `bytes` is 0 and `needed` the size.
*/
void dqlite_describe(sqlite3_stmt *pStmt, void *pOut, int nOut, DqliteResult *pResult);

/*
** Runs a statement from its start: binds `nArg` values, steps, and encodes rows into the output
** buffer until the statement is done or the next row does not fit. A row that does not fit stays
** pending: `needed` is its size. `form` is how rows are written. Sets rc, bytes, needed, rows, done,
** columns, changes (when done), seq, prepares and rowid. On failure the error text is in the output
** buffer and the statement was reset.
*/
void dqlite_run(
  sqlite3_stmt *pStmt, const void *pArgs, int nArgBytes, int nArg, int form,
  void *pOut, int nOut, DqliteResult *pResult
);

/*
** Goes on after dqlite_run(): encodes the pending row when there is one, then steps on. Sets rc,
** bytes, needed, rows, done, and seq and changes when the statement is done.
*/
void dqlite_next(
  sqlite3_stmt *pStmt, int isPending, int form, void *pOut, int nOut, DqliteResult *pResult
);

/*
** Ends a statement before its end and resets it. One that writes fails as if interrupted: what it has
** written is rolled back, with the transaction around it.
*/
void dqlite_cancel(sqlite3_stmt *pStmt);

/*
** Writes the current row as JSON (row_json.c). Returns its size; nothing useful was written when that
** exceeds `nOut`. Sets *pRc when memory ran out.
*/
size_t dqliteRowJson(sqlite3_stmt *pStmt, int nColumn, void *pOut, size_t nOut, int *pRc);

/*
** The CRC-32C of the bytes from `start` to before `end` (crc32c.c), to go on from `seed`, which is 0 at
** the start. Only to be called where dqlite_has_crc32c() is not 0.
*/
int dqlite_crc32c(const void *pBytes, int start, int end, int seed);
int dqlite_has_crc32c(void);

#ifdef __cplusplus
}
#endif
#endif
