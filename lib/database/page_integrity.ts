/**
 * The pages of a database file, held against the hashes that the library keeps: scrub, repair, and
 * the pages that another node asks for.
 */
import type { Functions, Pointer } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import type { Connection } from "./connection.ts";
import { checkResult, Counts, MAIN } from "./native.ts";
import { SQLITE_BUSY } from "./sqlite_error.ts";

/** What a part of a scrub found. */
export interface Scrubbed {
  /** The page to go on with; 0 at the end. */
  readonly next: number;
  readonly verifiedPages: number;
  /** Pages whose hash was not known: it is now what was read. */
  readonly learntPages: number;
  readonly damagedPages: number;
  /** Pages whose newest version is still in the WAL only. */
  readonly skippedPages: number;
}

/** Some pages: their numbers, and their bytes one after another in the same order. */
export interface PageSet {
  readonly pages: readonly number[];
  readonly bytes: Uint8Array;
}

/** Bytes of a chunk before the page numbers. */
const CHUNK_HEADER_BYTES = 16;
const PAGE_BYTES_MAX = 65_536;

/**
 * Verifies up to `count` pages of the file from page `first` on. Not inside a transaction.
 *
 * @throws {DatabaseError} `SQLITE` when the file cannot be read.
 */
export function scrubPages(connection: Connection, first: number, count: number): Scrubbed {
  const counts = new Counts(5);
  call(
    connection,
    `scrub ${connection.path}`,
    (c, handle) => c.sqlite3_wal_replication_scrub(handle, MAIN, first, count, counts.bytes),
  );
  return {
    next: counts.at(0),
    verifiedPages: counts.at(1),
    learntPages: counts.at(2),
    damagedPages: counts.at(3),
    skippedPages: counts.at(4),
  };
}

/** The pages of the file that are known to be damaged, at most `max` of them. */
export function damagedPages(connection: Connection, max: number): number[] {
  const counts = new Counts(1);
  const list = new Uint8Array(4 * max);
  call(
    connection,
    "list the damaged pages",
    (c, handle) => c.sqlite3_wal_replication_damaged(handle, MAIN, list, list.length, counts.bytes),
  );
  const view = new DataView(list.buffer);
  return Array.from({ length: counts.at(0) }, (_, at) => view.getUint32(4 * at, true));
}

/**
 * Writes pages over damaged ones. Those that are not what the file should hold are left out. Not
 * inside a transaction.
 *
 * @returns How many pages were written; undefined while a checkpoint runs.
 * @throws {DatabaseError} `SQLITE` when the file cannot be written.
 */
export function repairPages(connection: Connection, { pages, bytes }: PageSet): number | undefined {
  assert(pages.length > 0 && bytes.length % pages.length === 0, "a repair needs whole pages");
  const chunk = new Uint8Array(CHUNK_HEADER_BYTES + 4 * pages.length + bytes.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, bytes.length / pages.length, true);
  view.setUint32(8, pages.length, true);
  pages.forEach((page, at) => view.setUint32(CHUNK_HEADER_BYTES + 4 * at, page, true));
  chunk.set(bytes, CHUNK_HEADER_BYTES + 4 * pages.length);
  const counts = new Counts(2);
  const { c } = connection.library;
  const handle = connection.pointer;
  const rc = c.sqlite3_wal_replication_repair(handle, MAIN, chunk, chunk.length, counts.bytes);
  if ((rc & 0xff) === SQLITE_BUSY) return undefined;
  checkResult(rc, `repair ${pages.length} pages`);
  return counts.at(0);
}

/**
 * Reads pages as of the present state, for another node. Those that cannot be read here, or are
 * beyond the end, are left out.
 *
 * @param bytesMax Bound of what is returned.
 */
export function readPages(
  connection: Connection,
  pages: readonly number[],
  bytesMax: number,
): PageSet {
  const found: number[] = [];
  const parts: Uint8Array[] = [];
  let size = 0;
  const { statement } = connection.prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?");
  assert(statement !== undefined, "a statement is there");
  for (const page of pages) {
    const bytes = readPage(() => statement.run([BigInt(page)]).rows.decode()[0]?.[0]);
    if (bytes === undefined) continue;
    if (size + bytes.length > bytesMax) break;
    size += bytes.length;
    found.push(page);
    parts.push(bytes);
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return { pages: found, bytes: all };
}

function readPage(read: () => unknown): Uint8Array | undefined {
  try {
    const bytes = read();
    return bytes instanceof Uint8Array && bytes.length <= PAGE_BYTES_MAX ? bytes : undefined;
  } catch (error) {
    // Damaged here as well; another node may have it.
    if (error instanceof DatabaseError) return undefined;
    throw error;
  }
}

function call(
  connection: Connection,
  action: string,
  run: (c: Functions, handle: Pointer) => number,
): void {
  checkResult(run(connection.library.c, connection.pointer), action);
}
