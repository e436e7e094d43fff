/** All pages of a database in order, as of one moment, in pieces. */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import type { Connection } from "./connection.ts";
import type { Cursor } from "./cursor.ts";
import { visitValues } from "./values.ts";

/** Where the header tells what it takes to write and read the file (file format, §1.3). */
const VERSIONS_OFFSET = 18;
/** The versions of a file with a rollback journal, and of one with a write-ahead log. */
const VERSION = { rollback: 1, wal: 2 } as const;

/** How the file is marked that the pages make. */
export type JournalMark = keyof typeof VERSION;

/**
 * A snapshot of a database, read from its first page to its last. The connection is the reader's
 * own: it stands inside a read transaction until the reader is closed, and writers go on.
 */
export class PageReader implements Disposable {
  readonly pageSizeBytes: number;
  /** Size of the database in pages. */
  readonly pages: number;
  readonly #connection: Connection;
  readonly #mark: JournalMark;
  readonly #statements: Generator<{ open(): Cursor }, void, void>;
  readonly #cursor: Cursor;
  /** Pages that were fetched and not handed over yet. */
  #fetched: Uint8Array[] = [];
  #read = 0;

  /**
   * Takes the snapshot.
   *
   * @param connection Not inside a transaction; closed with the reader, also when this throws.
   * @param mark What plain SQLite is to take the pages for: with `rollback` it opens them without
   * making a file beside.
   * @throws {DatabaseError} `SQLITE` when the file cannot be read.
   */
  constructor(connection: Connection, mark: JournalMark) {
    this.#connection = connection;
    this.#mark = mark;
    try {
      connection.exec("BEGIN");
      this.pages = numberOf(connection, "PRAGMA page_count");
      this.pageSizeBytes = numberOf(connection, "PRAGMA page_size");
      this.#statements = connection.statements("SELECT data FROM sqlite_dbpage");
      this.#cursor = this.#statements.next().value!.open();
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /**
   * The next pages, as many as fit `bytesMax` and at least one; undefined behind the last one.
   *
   * @throws {DatabaseError} `SQLITE` when a page cannot be read.
   */
  next(bytesMax: number): Uint8Array<ArrayBuffer> | undefined {
    const left = this.pages - this.#read;
    const count = Math.min(left, Math.max(1, Math.floor(bytesMax / this.pageSizeBytes)));
    if (count === 0) return undefined;
    while (this.#fetched.length < count) this.#fetch();
    const part = new Uint8Array(count * this.pageSizeBytes);
    const pages = this.#fetched.splice(0, count);
    for (const [at, page] of pages.entries()) part.set(page, at * this.pageSizeBytes);
    if (this.#read === 0) part.fill(VERSION[this.#mark], VERSIONS_OFFSET, VERSIONS_OFFSET + 2);
    this.#read += count;
    return part;
  }

  /** Lets go of the snapshot; harmless when done before. */
  close(): void {
    this.#fetched = [];
    this.#statements.return();
    this.#connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #fetch(): void {
    const batch = this.#cursor.next();
    if (batch === undefined) {
      throw new DatabaseError(
        "CORRUPT",
        `${this.#connection.path} has lost pages while it was read`,
      );
    }
    visitValues(batch.bytes, {
      null: unexpected,
      integer: unexpected,
      real: unexpected,
      text: unexpected,
      blob: (page) => {
        assert(page.length === this.pageSizeBytes, `a page of ${page.length} bytes`);
        this.#fetched.push(page);
      },
    });
  }
}

/** The number that a PRAGMA answers. @throws {DatabaseError} `SQLITE`. */
export function numberOf(connection: Connection, sql: string): number {
  const value = connection.prepare(sql).statement!.run().rows.decode()[0]?.[0];
  assert(typeof value === "bigint", `${sql} answers with a number`);
  return Number(value);
}

function unexpected(): never {
  throw new DatabaseError("CORRUPT", "A page is no blob");
}
