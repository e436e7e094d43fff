/**
 * The C functions this program calls, described once in neutral words; `library_bun.ts` and
 * `library_deno.ts` turn the table into functions.
 */

/** An address that only C looks behind. */
export interface Pointer {
  readonly pointer: unique symbol;
}

/**
 * What each word means on either side:
 *
 * - `void`: nothing, as a result;
 * - `i32`: a C `int`;
 * - `i64`: a `sqlite3_int64` that counts something, hence below 2^53. Integers that are data travel
 *   in buffers;
 * - `pointer`: an address that C handed out; NULL is null;
 * - `buffer`: memory of the caller, which C may use until the call returns.
 */
export interface CTypes {
  readonly void: void;
  readonly i32: number;
  readonly i64: number;
  readonly pointer: Pointer | null;
  readonly buffer: Uint8Array;
}

/** The prototype of one function. */
export interface Signature {
  readonly args: readonly (keyof CTypes)[];
  readonly returns: keyof CTypes;
}

/** Every C function that is called, and nothing else. */
export const SYMBOLS = {
  // int sqlite3_libversion_number(void)
  sqlite3_libversion_number: { args: [], returns: "i32" },
  // sqlite3_int64 sqlite3_memory_used(void)
  sqlite3_memory_used: { args: [], returns: "i64" },
  // int sqlite3_close(sqlite3 *db)
  sqlite3_close: { args: ["pointer"], returns: "i32" },
  // int sqlite3_get_autocommit(sqlite3 *db)
  sqlite3_get_autocommit: { args: ["pointer"], returns: "i32" },
  // void sqlite3_interrupt(sqlite3 *db)
  sqlite3_interrupt: { args: ["pointer"], returns: "void" },
  // int sqlite3_is_interrupted(sqlite3 *db)
  sqlite3_is_interrupted: { args: ["pointer"], returns: "i32" },
  // sqlite3_backup *sqlite3_backup_init(sqlite3 *to, const char *toSchema,
  //                                     sqlite3 *from, const char *fromSchema)
  sqlite3_backup_init: { args: ["pointer", "buffer", "pointer", "buffer"], returns: "pointer" },
  // int sqlite3_backup_step(sqlite3_backup *copy, int nPage)
  sqlite3_backup_step: { args: ["pointer", "i32"], returns: "i32" },
  // int sqlite3_backup_finish(sqlite3_backup *copy)
  sqlite3_backup_finish: { args: ["pointer"], returns: "i32" },
  // int sqlite3_reset(sqlite3_stmt *stmt)
  sqlite3_reset: { args: ["pointer"], returns: "i32" },
  // int sqlite3_finalize(sqlite3_stmt *stmt)
  sqlite3_finalize: { args: ["pointer"], returns: "i32" },

  // sqlite3 *dqlite_open(const char *path, int flags, int busyTimeoutMs,
  //                      void *out, int nOut, DqliteResult *result)
  dqlite_open: {
    args: ["buffer", "i32", "i32", "buffer", "i32", "buffer"],
    returns: "pointer",
  },
  // sqlite3_stmt *dqlite_prepare(sqlite3 *db, const char *sql, int nSql, int flags,
  //                              void *out, int nOut, DqliteResult *result)
  dqlite_prepare: {
    args: ["pointer", "buffer", "i32", "i32", "buffer", "i32", "buffer"],
    returns: "pointer",
  },
  // void dqlite_describe(sqlite3_stmt *stmt, void *out, int nOut, DqliteResult *result)
  dqlite_describe: { args: ["pointer", "buffer", "i32", "buffer"], returns: "void" },
  // void dqlite_run(sqlite3_stmt *stmt, const void *args, int nArgBytes, int nArg, int form,
  //                 void *out, int nOut, DqliteResult *result)
  dqlite_run: {
    args: ["pointer", "buffer", "i32", "i32", "i32", "buffer", "i32", "buffer"],
    returns: "void",
  },
  // void dqlite_next(sqlite3_stmt *stmt, int isPending, int form,
  //                  void *out, int nOut, DqliteResult *result)
  dqlite_next: { args: ["pointer", "i32", "i32", "buffer", "i32", "buffer"], returns: "void" },
  // int dqlite_has_crc32c(void)
  dqlite_has_crc32c: { args: [], returns: "i32" },
  // int dqlite_crc32c(const void *bytes, int start, int end, int seed)
  dqlite_crc32c: { args: ["buffer", "i32", "i32", "i32"], returns: "i32" },
  // void dqlite_cancel(sqlite3_stmt *stmt)
  dqlite_cancel: { args: ["pointer"], returns: "void" },

  // int sqlite3_wal_replication_open(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_open: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_close(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_close: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_leader(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_leader: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_follower(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_follower: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_drain(sqlite3 *db, const char *schema,
  //                                   void *out, sqlite3_int64 nOut, sqlite3_int64 *counts)
  sqlite3_wal_replication_drain: {
    args: ["pointer", "buffer", "buffer", "i64", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_transaction_limit(
  //   sqlite3 *db, const char *schema, sqlite3_int64 byteMax, sqlite3_int64 byteSpace)
  sqlite3_wal_replication_transaction_limit: {
    args: ["pointer", "buffer", "i64", "i64"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_release(sqlite3 *db, const char *schema, sqlite3_int64 seq)
  sqlite3_wal_replication_release: { args: ["pointer", "buffer", "i64"], returns: "i32" },
  // int sqlite3_wal_replication_apply(sqlite3 *db, const char *schema,
  //                                   const void *chunk, sqlite3_int64 nChunk)
  sqlite3_wal_replication_apply: {
    args: ["pointer", "buffer", "buffer", "i64"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_abort(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_abort: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_rewind(sqlite3 *db, const char *schema, sqlite3_int64 seq)
  sqlite3_wal_replication_rewind: { args: ["pointer", "buffer", "i64"], returns: "i32" },
  // int sqlite3_wal_replication_limit(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_limit: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_checkpoint(sqlite3 *db, const char *schema, sqlite3_int64 *counts)
  sqlite3_wal_replication_checkpoint: {
    args: ["pointer", "buffer", "buffer"],
    returns: "i32",
  },
  // sqlite3_int64 sqlite3_wal_replication_seq(sqlite3 *db, const char *schema)
  sqlite3_wal_replication_seq: { args: ["pointer", "buffer"], returns: "i64" },
  // int sqlite3_wal_replication_status(sqlite3 *db, const char *schema, sqlite3_int64 *counts)
  sqlite3_wal_replication_status: {
    args: ["pointer", "buffer", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_digest(sqlite3 *db, const char *schema, sqlite3_int64 batch,
  //                                    sqlite3_int64 *counts)
  sqlite3_wal_replication_digest: {
    args: ["pointer", "buffer", "i64", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_load_hashes(sqlite3 *handle, const char *schema,
  //                                         const void *hashes, sqlite3_int64 nPage)
  sqlite3_wal_replication_load_hashes: {
    args: ["pointer", "buffer", "buffer", "i64"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_save_hashes(sqlite3 *handle, const char *schema, int all,
  //                                         sqlite3_int64 from, void *out, sqlite3_int64 nOut,
  //                                         sqlite3_int64 *counts)
  sqlite3_wal_replication_save_hashes: {
    args: ["pointer", "buffer", "i32", "i64", "buffer", "i64", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_scrub(sqlite3 *db, const char *schema, sqlite3_int64 first,
  //                                   sqlite3_int64 nPage, sqlite3_int64 *counts)
  sqlite3_wal_replication_scrub: {
    args: ["pointer", "buffer", "i64", "i64", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_check(sqlite3 *db, const char *schema, sqlite3_int64 first,
  //                                   const void *pages, sqlite3_int64 nPages, int damaged,
  //                                   sqlite3_int64 *counts)
  sqlite3_wal_replication_check: {
    args: ["pointer", "buffer", "i64", "buffer", "i64", "i32", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_damaged(sqlite3 *db, const char *schema,
  //                                     void *out, sqlite3_int64 nOut, sqlite3_int64 *counts)
  sqlite3_wal_replication_damaged: {
    args: ["pointer", "buffer", "buffer", "i64", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_repair(sqlite3 *db, const char *schema,
  //                                    const void *chunk, sqlite3_int64 nChunk,
  //                                    sqlite3_int64 *counts)
  sqlite3_wal_replication_repair: {
    args: ["pointer", "buffer", "buffer", "i64", "buffer"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_session(sqlite3 *db)
  sqlite3_wal_replication_session: { args: ["pointer"], returns: "i32" },
  // int sqlite3_wal_replication_interrupt(sqlite3 *handle, const char *schema)
  sqlite3_wal_replication_interrupt: { args: ["pointer", "buffer"], returns: "i32" },
  // int sqlite3_wal_replication_owner(sqlite3 *db, int owner)
  sqlite3_wal_replication_owner: { args: ["pointer", "i32"], returns: "i32" },
  // int sqlite3_wal_replication_interrupt_owner(sqlite3 *handle, const char *schema, int owner)
  sqlite3_wal_replication_interrupt_owner: {
    args: ["pointer", "buffer", "i32"],
    returns: "i32",
  },
  // int sqlite3_wal_replication_tainted(sqlite3 *db)
  sqlite3_wal_replication_tainted: { args: ["pointer"], returns: "i32" },
  // int sqlite3_wal_replication_brief(sqlite3_stmt *stmt)
  sqlite3_wal_replication_brief: { args: ["pointer"], returns: "i32" },
  // int sqlite3_wal_replication_budget(sqlite3 *db, int nOp)
  sqlite3_wal_replication_budget: { args: ["pointer", "i32"], returns: "i32" },
} as const satisfies Record<string, Signature>;

type Args<Words extends readonly (keyof CTypes)[]> = {
  -readonly [Index in keyof Words]: CTypes[Words[Index]];
};

/** {@linkcode SYMBOLS} as functions. */
export type Functions = {
  readonly [Name in keyof typeof SYMBOLS]: (
    ...args: Args<(typeof SYMBOLS)[Name]["args"]>
  ) => CTypes[(typeof SYMBOLS)[Name]["returns"]];
};

/** The loaded SQLite library. One file serves the whole process, every worker included. */
export interface Library {
  /** The file it was loaded from. */
  readonly path: string;
  readonly c: Functions;
}
