/** One connection to a database file. */
import type { Library, Pointer } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { SQL_LENGTH_MAX, STATEMENT_CACHE_MAX } from "../base/limits.ts";
import {
  checkResult,
  Counts,
  MAIN,
  openHandle,
  SQLITE_OPEN_CREATE,
  SQLITE_OPEN_READONLY,
  SQLITE_OPEN_READWRITE,
  SQLITE_OPEN_URI,
} from "./native.ts";
import { PageCopy } from "./page_copy.ts";
import { FIELD, type Scratch, scratchOf } from "./scratch.ts";
import { SQLITE_OK, sqliteError } from "./sqlite_error.ts";
import { Statement, takeDescription } from "./statement.ts";
import { type Prepared, StatementCache } from "./statement_cache.ts";
import { decodeText } from "./values.ts";

/**
 * What a connection is for:
 *
 * - `session`: runs statements of users. The file must exist; statements that would break
 * replication
 *   are refused; a change of leadership interrupts it.
 * - `plain`: SQLite as it is; makes the file when it is missing.
 * - `readonly`: reads an existing file.
 * - `immutable`: reads an existing file that nobody changes meanwhile; makes no file beside it,
 *   also when it is marked as one with a WAL.
 */
export type ConnectionRole = "session" | "plain" | "readonly" | "immutable";

/** How a connection is opened. */
export interface ConnectionOptions {
  readonly role: ConnectionRole;
  /** Names a session, or several, in {@linkcode ReplicaHandle.interruptOwner}; above 0. */
  readonly owner?: number;
  /** How long a statement waits for a lock, blocking its thread; by default one of the role. */
  readonly busyTimeoutMs?: number;
  /** Prepared statements kept; {@linkcode STATEMENT_CACHE_MAX} by default. */
  readonly statementCacheMax?: number;
}

/** How far a checkpoint came. */
export interface CheckpointResult {
  /** Frames in the WAL. */
  readonly walFrames: number;
  /** Frames of it that the database file holds. */
  readonly copiedFrames: number;
  /** Whether the whole WAL was copied. */
  readonly complete: boolean;
  /** Whether everything was copied that the limit allows; else a reader is in the way. */
  readonly limitReached: boolean;
  /** Whether the next transaction begins the WAL anew: all was copied, and nobody reads it. */
  readonly walFree: boolean;
}

/** Writers wait in a queue of ours, so a session meets locks only for moments. */
const BUSY_TIMEOUT_MS = { session: 100, plain: 5_000, readonly: 1_000, immutable: 0 } as const;

const OPEN_FLAGS = {
  session: SQLITE_OPEN_READWRITE,
  plain: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
  readonly: SQLITE_OPEN_READONLY,
  immutable: SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
} as const;

/** The statement is going to be kept. */
const SQLITE_PREPARE_PERSISTENT = 1;

const encoder = new TextEncoder();

/** A statement and where it stood in its text, in bytes. */
interface Piece {
  readonly statement: Statement | undefined;
  readonly tail: number;
}

/** A connection, used by one thread; every call blocks that thread. */
export class Connection implements Disposable {
  readonly library: Library;
  readonly path: string;
  readonly role: ConnectionRole;
  /** For the statements of this connection. */
  readonly scratch: Scratch;
  #handle: Pointer | undefined;
  readonly #cache: StatementCache;
  /** Every statement that was not closed yet. */
  readonly #statements = new Set<Statement>();

  private constructor(library: Library, path: string, options: ConnectionOptions) {
    this.library = library;
    this.path = path;
    this.role = options.role;
    this.scratch = scratchOf(library);
    this.#cache = new StatementCache(options.statementCacheMax ?? STATEMENT_CACHE_MAX);
    this.#handle = openHandle(
      library,
      options.role === "immutable" ? immutableUri(path) : path,
      OPEN_FLAGS[options.role],
      options.busyTimeoutMs ?? BUSY_TIMEOUT_MS[options.role],
    );
  }

  /**
   * Opens a database file.
   *
   * @throws {DatabaseError} `SQLITE` when it cannot be opened.
   */
  static open(library: Library, path: string, options: ConnectionOptions): Connection {
    const connection = new Connection(library, path, options);
    if (options.role !== "session") return connection;
    const { c } = library;
    let rc = c.sqlite3_wal_replication_session(connection.#open());
    if (rc === SQLITE_OK && options.owner !== undefined) {
      rc = c.sqlite3_wal_replication_owner(connection.#open(), options.owner);
    }
    if (rc !== SQLITE_OK) {
      connection.close();
      checkResult(rc, `open a session of ${path}`);
    }
    return connection;
  }

  /** Whether no transaction is open, so that every statement is a transaction of its own. */
  get isAutocommit(): boolean {
    return this.library.c.sqlite3_get_autocommit(this.#open()) !== 0;
  }

  get isClosed(): boolean {
    return this.#handle === undefined;
  }

  /** Prepared statements that stand ready. */
  get cachedCount(): number {
    return this.#cache.count;
  }

  /**
   * Whether this session was changed in a way that outlasts a statement, so that it must not be
   * given to another user: a PRAGMA was set, a temporary object made, a database attached.
   */
  isTainted(): boolean {
    return this.library.c.sqlite3_wal_replication_tainted(this.#open()) !== 0;
  }

  /** Sequence number of the newest transaction that was captured in this file; 0 for none. */
  seq(): number {
    return this.library.c.sqlite3_wal_replication_seq(this.#open(), MAIN);
  }

  /**
   * Prepares the first statement of `sql`, or finds it in the cache. The connection keeps the
   * statement: run it before the next call, which may give it up, and do not close it.
   *
   * @throws {DatabaseError} `TOO_LARGE`, `SQL_PARSE_ERROR` for a NUL character, `BLOCKED`,
   * `SQLITE`.
   */
  prepare(sql: string): Prepared {
    const kept = this.#cache.take(sql);
    if (kept !== undefined) return kept;
    const prepared = this.#prepare(sql, SQLITE_PREPARE_PERSISTENT);
    this.#cache.keep(sql, prepared);
    return prepared;
  }

  /**
   * Prepares the first statement of `sql` for the caller alone, who closes it.
   *
   * @throws {DatabaseError} like {@linkcode prepare}.
   */
  prepareOwned(sql: string): Prepared {
    return this.#prepare(sql, SQLITE_PREPARE_PERSISTENT);
  }

  /**
   * Prepares the statements of a script one after another, each when it is asked for, since it may
   * depend on what those before it did. Each is closed when the next one is asked for.
   *
   * @throws {DatabaseError} like {@linkcode prepare}.
   */
  *statements(sql: string): Generator<Statement, void, void> {
    const bytes = encodeSql(sql);
    for (let at = 0; at < bytes.length - 1;) {
      const { statement, tail } = this.#prepareAt(bytes, at, 0);
      if (statement === undefined) return;
      try {
        yield statement;
      } finally {
        statement.close();
      }
      at = tail;
    }
  }

  /**
   * Runs every statement of a script and drops their rows.
   *
   * @throws {DatabaseError} of the first statement that fails; those before it took effect.
   */
  exec(sql: string): void {
    for (const statement of this.statements(sql)) {
      using cursor = statement.open();
      while (cursor.next() !== undefined);
    }
  }

  /** Makes the statements that run or stand open fail. */
  interrupt(): void {
    if (this.#handle !== undefined) this.library.c.sqlite3_interrupt(this.#handle);
  }

  /**
   * From now on, a statement of this session that needs more than so many operations fails with
   * `SQLITE_INTERRUPT`, one with a value above 64 KiB with `SQLITE_TOOBIG`, and one whose schema
   * changed since it was prepared with `SQLITE_AUTH`; what it wrote is rolled back.
   *
   * @param operations 0 ends that, but for the bound of values, which stays.
   */
  setBudget(operations: number): void {
    const rc = this.library.c.sqlite3_wal_replication_budget(this.#open(), operations);
    checkResult(rc, `limit a statement to ${operations} operations`);
  }

  /**
   * Copies committed frames of the WAL into the database file, as far as the limit that the handle
   * set, and syncs it. Not inside a transaction.
   *
   * @throws {DatabaseError} `SQLITE`; among others `SQLITE_BUSY` while another checkpoint runs.
   */
  checkpoint(): CheckpointResult {
    const counts = new Counts(5);
    const { c } = this.library;
    const rc = c.sqlite3_wal_replication_checkpoint(this.#open(), MAIN, counts.bytes);
    checkResult(rc, `checkpoint ${this.path}`);
    return {
      walFrames: counts.at(0),
      copiedFrames: counts.at(1),
      complete: counts.at(2) === 1,
      limitReached: counts.at(3) === 1,
      walFree: counts.at(4) === 1,
    };
  }

  /**
   * Begins to replace the main database by that of `source`, which has the same page size, inside
   * one write transaction. Neither connection runs anything else until the copy is closed.
   *
   * @throws {DatabaseError} `SQLITE` when this connection is inside a transaction.
   */
  replaceBy(source: Connection): PageCopy {
    return new PageCopy(this.library, this.#open(), source.#open());
  }

  /** Closes all statements, rolls an open transaction back, and closes the file; idempotent. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    this.#cache.clear();
    for (const statement of this.#statements) statement.close();
    const rc = this.library.c.sqlite3_close(handle);
    assert(rc === SQLITE_OK, `closing ${this.path} failed with ${rc}: a statement was left open`);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** For calls of the library that have a file of their own; valid until it is closed. */
  get pointer(): Pointer {
    return this.#open();
  }

  /** For the statements of this connection: one of them was closed. */
  forget(statement: Statement): void {
    this.#statements.delete(statement);
  }

  #open(): Pointer {
    if (this.#handle === undefined) {
      throw new DatabaseError("CLOSED", `The connection to ${this.path} is closed`);
    }
    return this.#handle;
  }

  #prepare(sql: string, flags: number): Prepared {
    const bytes = encodeSql(sql);
    const { statement, tail } = this.#prepareAt(bytes, 0, flags);
    if (statement === undefined) return { statement, tail: "" };
    const isAscii = bytes.length - 1 === sql.length;
    return { statement, tail: isAscii ? sql.slice(tail) : decodeText(bytes.subarray(tail, -1)) };
  }

  /**
   * @param text SQL that ends with a NUL.
   * @param at Where in the text to begin, in bytes.
   */
  #prepareAt(text: Uint8Array, at: number, flags: number): Piece {
    const { library, scratch } = this;
    const { result, out } = scratch;
    const sql = at === 0 ? text : text.subarray(at);
    const handle = library.c.dqlite_prepare(
      this.#open(),
      sql,
      sql.length - 1,
      flags,
      out,
      out.length,
      scratch.resultBytes,
    );
    if (result[FIELD.rc] !== SQLITE_OK) throw this.#parseError(text, at);
    if (handle === null) return { statement: undefined, tail: text.length - 1 };
    const tail = result[FIELD.tail]!;
    const own = decodeText(sql.subarray(result[FIELD.head]!, tail)).trim();
    const description = takeDescription(library, scratch, handle);
    const statement = new Statement(this, handle, own, description);
    this.#statements.add(statement);
    return { statement, tail: at + tail };
  }

  /** The error that the last call left, with its place in the whole text. */
  #parseError(text: Uint8Array, at: number): DatabaseError {
    const { result, out } = this.scratch;
    const message = decodeText(out.subarray(0, result[FIELD.bytes]!));
    const offset = result[FIELD.errorOffset]!;
    const before = offset < 0 ? undefined : decodeText(text.subarray(0, at + offset));
    return sqliteError(result[FIELD.rc]!, message, before?.length);
  }
}

/** The path as a URI that tells SQLite to take no locks and to look for no journal. */
function immutableUri(path: string): string {
  const escaped = path.replaceAll(/[%?#]/g, (char) => encodeURIComponent(char));
  return `file:${escaped.startsWith("/") ? "//" : ""}${escaped}?immutable=1`;
}

/** SQL as UTF-8 behind which a NUL stands; one inside would be taken for the end. */
function encodeSql(sql: string): Uint8Array {
  if (sql.length > SQL_LENGTH_MAX) {
    throw new DatabaseError(
      "TOO_LARGE",
      `The SQL text has ${sql.length} characters; the limit is ${SQL_LENGTH_MAX}`,
    );
  }
  if (sql.includes("\0")) {
    throw new DatabaseError("SQL_PARSE_ERROR", "The SQL text holds a NUL character", {
      sqlOffset: sql.indexOf("\0"),
    });
  }
  return encoder.encode(`${sql}\0`);
}
