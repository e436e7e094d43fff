/*
** Replication of a WAL-mode database by its changed pages.
**
** One connection per database file, the handle, controls replication; any other connection of the
** same process uses SQLite as usual. On the leader every committed transaction gets a sequence number
** and stays in the local WAL as a range of frames: the handle drains those ranges as batches of
** pages. On a follower the handle applies such batches, which the other connections see as ordinary
** commits. What was drained but not released as committed can be taken back with a rewind.
**
** The state is kept per file and process. Every connection to the file must belong to this process and
** this copy of the library. zSchema names a database of the connection, NULL means "main".
**
** All functions but sqlite3_wal_replication_seq(), _tainted() return an SQLite result code:
** SQLITE_MISUSE when the file has no handle, the connection is not the handle, or the mode does not
** fit; SQLITE_BUSY when a lock is held by another connection and the call may be repeated.
*/
#ifndef SQLITE3_WAL_REPLICATION_H
#define SQLITE3_WAL_REPLICATION_H

#include "sqlite3.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The write was refused, nothing of it was captured. */
#define SQLITE_IOERR_NOT_LEADER       (SQLITE_IOERR | (40<<8))  /* 10250 */
/* The write was captured, its outcome is not known. Never returned here; for the layers above. */
#define SQLITE_IOERR_LEADERSHIP_LOST  (SQLITE_IOERR | (41<<8))  /* 10506 */

/* The transaction grew beyond a transaction_limit(); all of it was undone. */
#define SQLITE_IOERR_TRANSACTION_TOOBIG (SQLITE_IOERR | (42<<8))  /* 10762 */
#define SQLITE_IOERR_TRANSACTION_NOSPACE (SQLITE_IOERR | (43<<8))  /* 11018 */

#define SQLITE_WAL_REPLICATION_NONE     0
#define SQLITE_WAL_REPLICATION_FOLLOWER 1
#define SQLITE_WAL_REPLICATION_LEADER   2

/* Flags of a chunk. */
#define SQLITE_WAL_REPLICATION_LAST      1  /* the chunk completes its batch */
#define SQLITE_WAL_REPLICATION_CONTINUES 2  /* an earlier chunk of the batch came before */

/*
** Makes db the handle of its file, in mode FOLLOWER. The file must be a WAL-mode database of at least
** one page: SQLITE_NOTADB otherwise. No page is read through the b-tree, so a file whose checkpoint
** was cut short by a crash can be opened and then be healed by apply. SQLITE_MISUSE when the file has
** a handle already or db is inside a transaction. The handle never checkpoints on close.
*/
int sqlite3_wal_replication_open(sqlite3 *db, const char *zSchema);

/*
** Ends replication of the file: aborts an unfinished batch and forgets everything captured. Closing
** the handle does the same. A connection that used the replicated file leaves the WAL alone when it
** is closed, as it may hold transactions that were never committed.
*/
int sqlite3_wal_replication_close(sqlite3 *db, const char *zSchema);

/*
** From now on connections may write and their commits are captured. What the WAL holds is taken as
** committed, so whatever was captured by an earlier leadership must have been released or rewound
** (else SQLITE_MISUSE). SQLITE_BUSY when a connection still holds the write lock.
*/
int sqlite3_wal_replication_leader(sqlite3 *db, const char *zSchema);

/*
** Refuses write transactions and commits with SQLITE_IOERR_NOT_LEADER from this moment on, also of
** transactions already begun. Forgets what was captured but not drained; those sequence numbers are
** not used again.
*/
int sqlite3_wal_replication_follower(sqlite3 *db, const char *zSchema);

/*
** Encodes the next chunk of captured pages into pBuf:
**
**     u32 page size · u32 database size in pages (0 unless last) · u32 count · u32 flags
**     count × u32 page number · count × page                             (all little-endian)
**
** A batch covers all transactions captured when its first chunk was drained and holds the newest
** version of every page once. aOut[0] bytes written, 0 when nothing is pending · [1] pages in the
** chunk · [2] 1 when the chunk completes the batch · [3] sequence number of the batch's last
** transaction · [4] database size in pages after it · [5] pages of the batch still to come.
** SQLITE_TOOBIG when nBuf cannot hold 20 bytes and a page.
*/
int sqlite3_wal_replication_drain(
  sqlite3 *db, const char *zSchema, void *pBuf, sqlite3_int64 nBuf, sqlite3_int64 *aOut
);

/*
** Bounds the pages that one transaction of a session may change: more than nByteMax bytes of them
** fail with SQLITE_IOERR_TRANSACTION_TOOBIG, more than nByteSpace with _NOSPACE, while it still
** grows. It counts from the moment of the call, also for the transaction that runs; 0 is no bound.
** What is applied is not bounded. The handle only.
*/
int sqlite3_wal_replication_transaction_limit(
  sqlite3 *db, const char *zSchema, sqlite3_int64 nByteMax, sqlite3_int64 nByteSpace
);

/*
** Everything up to iSeq is committed by the quorum and durable outside of this file: it may be copied
** into the database file and can no longer be rewound. iSeq that falls inside a batch counts as the
** end of the batch before it. SQLITE_MISUSE when iSeq was not captured yet.
*/
int sqlite3_wal_replication_release(sqlite3 *db, const char *zSchema, sqlite3_int64 iSeq);

/*
** Applies one chunk. Chunks of a batch come in order; the last one commits, until then nothing is
** visible and the write lock is held. Mode FOLLOWER only; what was captured must have been released
** or rewound. An applied batch counts as committed and durable. SQLITE_CORRUPT when the chunk is
** malformed, SQLITE_MISUSE when it is out of order. Any error but SQLITE_BUSY for a first chunk undoes
** the whole batch. The handle must not run SQL while a batch is unfinished.
*/
int sqlite3_wal_replication_apply(
  sqlite3 *db, const char *zSchema, const void *pBuf, sqlite3_int64 nBuf
);

/* Undoes the chunks of an unfinished batch. Harmless when there is none. */
int sqlite3_wal_replication_abort(sqlite3 *db, const char *zSchema);

/*
** Mode FOLLOWER. Restores the state after iSeq, which is the last sequence number of a drained batch
** that was not released, or of the last released one; SQLITE_NOTFOUND otherwise. SQLITE_BUSY when a
** connection holds the write lock or reads a later snapshot; nothing has changed then. Afterwards
** connections other than the handle must be closed before they are used again if they may have seen
** a schema that was taken back: its cookie can come back with another schema.
*/
int sqlite3_wal_replication_rewind(sqlite3 *db, const char *zSchema, sqlite3_int64 iSeq);

/*
** From now on checkpoints copy what is released or applied at this moment, and nothing later, until
** the next call. Whoever says beforehand up to where the database file may hold a mixture of states
** says the truth then, although writers go on. Without a call a checkpoint copies all that there is.
*/
int sqlite3_wal_replication_limit(sqlite3 *db, const char *zSchema);

/*
** Copies released and applied frames into the database file as far as readers allow, then fsyncs the
** database file; never the WAL. Any connection of the file outside a transaction, any thread.
** aOut[0] frames in the WAL · [1] frames copied so far · [2] 1 when all of the WAL was copied and the
** database file holds nothing else · [3] 1 when all was copied that the limit allows · [4] 1 when all
** of the WAL was copied and nobody reads it any more: the next transaction begins it anew.
*/
int sqlite3_wal_replication_checkpoint(sqlite3 *db, const char *zSchema, sqlite3_int64 *aOut);

/*
** The last sequence number captured from the file, 0 without replication. It covers every commit that
** a snapshot taken before can see. Any connection, lock-free once the connection has read the file.
*/
sqlite3_int64 sqlite3_wal_replication_seq(sqlite3 *db, const char *zSchema);

/*
** Twelve counters: mode · last captured, last released, last drained sequence number · frames in the
** WAL · frames copied into the database file · database size in pages · page size in bytes · captured
** transactions · drained pages · applied batches · rewinds. Any connection outside a transaction.
*/
int sqlite3_wal_replication_status(sqlite3 *db, const char *zSchema, sqlite3_int64 *aOut);

/*
** Every page has two hashes of 64 bits: what the database file was given to hold, and what the page is
** in the newest state that was applied or released. A page read from the file whose hash differs
** fails the statement with SQLITE_IOERR_DATA and is noted as damaged; so does a frame that a
** checkpoint was about to copy. Right after the open no hash is known, and nothing is checked.
**
** aOut[0], [1] low and high half of the digest: the sum of the hashes of all pages of that state ·
** [2] its pages · [3] those whose hash is not known: the digest says something only when there are
** none · [4] damaged pages. With iBatch the first four are as of the end of that batch, of those
** applied since the open, counted from 1: SQLITE_NOTFOUND but for the last 1,024. Any connection that
** used the file.
*/
int sqlite3_wal_replication_digest(
  sqlite3 *db, const char *zSchema, sqlite3_int64 iBatch, sqlite3_int64 *aOut
);

/*
** Sets both hashes of pages 1..nPage, which are all of the database: nPage × u64, 0 for one that is
** not known. The handle, right after the open and over an empty WAL: SQLITE_MISUSE otherwise.
*/
int sqlite3_wal_replication_load_hashes(
  sqlite3 *db, const char *zSchema, const void *pHash, sqlite3_int64 nPage
);

/*
** Writes the hashes of the file that changed since they were written last, or with bAll all that are
** known, as u32 page number · u64 hash, from page iFrom on. aOut[0] bytes written · [1] the page to
** go on with, 0 at the end. The handle only.
*/
int sqlite3_wal_replication_save_hashes(
  sqlite3 *db, const char *zSchema, int bAll, sqlite3_int64 iFrom, void *pBuf, sqlite3_int64 nBuf,
  sqlite3_int64 *aOut
);

/*
** Reads up to nPage pages of the database file from page iFirst on, as of the present state, and
** holds them against their hashes. aOut[0] the page to go on with, 0 at the end · [1] pages verified
** · [2] pages that were not known, and are now · [3] damaged pages · [4] pages left out, as the WAL
** holds a version that was not copied yet. Any connection outside a transaction, any thread.
*/
int sqlite3_wal_replication_scrub(
  sqlite3 *db, const char *zSchema, sqlite3_int64 iFirst, sqlite3_int64 nPage, sqlite3_int64 *aOut
);

/*
** Holds whole pages, that were read from the database file beside SQLite from page iFirst on,
** against the hashes of the file. aOut[0] the first page that differs, 0 when there is none; pages
** that are not known pass. One may differ for a moment, while a checkpoint writes it. With bDamaged,
** those that differ count as damaged from now on. The handle only.
*/
int sqlite3_wal_replication_check(
  sqlite3 *db, const char *zSchema, sqlite3_int64 iFirst, const void *pPages, sqlite3_int64 nByte,
  int bDamaged, sqlite3_int64 *aOut
);

/* Lists damaged pages as u32, as many as fit. aOut[0] their number. Any connection, any thread. */
int sqlite3_wal_replication_damaged(
  sqlite3 *db, const char *zSchema, void *pBuf, sqlite3_int64 nBuf, sqlite3_int64 *aOut
);

/*
** Writes pages, in the form of a chunk whose flags are 0, over damaged ones in the database file and
** fsyncs it. A page whose hash is not the one that the file should have is left out. aOut[0] pages
** written · [1] pages left out. SQLITE_BUSY during a checkpoint. Any connection outside a transaction,
** any thread.
*/
int sqlite3_wal_replication_repair(
  sqlite3 *db, const char *zSchema, const void *pBuf, sqlite3_int64 nBuf, sqlite3_int64 *aOut
);

/*
** Makes db safe to run the SQL of a user: defensive mode, no automatic checkpoint and none on close,
** and an authorizer that refuses what would harm replication (SQLITE_AUTH, with a message that names
** it). The connection is found by sqlite3_wal_replication_interrupt() until it is closed.
*/
int sqlite3_wal_replication_session(sqlite3 *db);

/* sqlite3_interrupt() on every open session of the file. Any thread. */
int sqlite3_wal_replication_interrupt(sqlite3 *db, const char *zSchema);

/*
** Says who a session belongs to, by a number above 0 that sessions may share, and interrupts the
** sessions of one owner. The second is called with any connection of the file, from any thread.
*/
int sqlite3_wal_replication_owner(sqlite3 *db, int iOwner);
int sqlite3_wal_replication_interrupt_owner(sqlite3 *db, const char *zSchema, int iOwner);

/*
** 1 once a session was asked to compile something whose effect outlives a statement but is not in the
** database: a PRAGMA that sets, a temporary object, ATTACH. It must not be handed to another user.
*/
int sqlite3_wal_replication_tainted(sqlite3 *db);

/*
** Whether a statement consists of operations that each end soon, whatever the database holds: rows
** read and written one at a time, sorting, plain functions. It may still need many of them.
*/
int sqlite3_wal_replication_brief(sqlite3_stmt *pStmt);

/*
** From now on a statement of this session fails with SQLITE_INTERRUPT after about nOp operations,
** with SQLITE_TOOBIG at a value of more than 64 KiB, and with SQLITE_AUTH when it would have to be
** prepared again. 0 ends that, but for the bound of values, which stays. SQLITE_MISUSE when db is no
** session.
*/
int sqlite3_wal_replication_budget(sqlite3 *db, int nOp);

#ifdef __cplusplus
}
#endif
#endif
