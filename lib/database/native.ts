/** What connections and replica handles share in calling the library. */
import type { Library, Pointer } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { scratchOf } from "./scratch.ts";
import { resultName, SQLITE_OK, sqliteError } from "./sqlite_error.ts";

export const SQLITE_OPEN_READONLY = 0x1;
export const SQLITE_OPEN_READWRITE = 0x2;
export const SQLITE_OPEN_CREATE = 0x4;
/** The path is a URI, whose parameters say more. */
export const SQLITE_OPEN_URI = 0x40;
/** No mutex inside SQLite: one thread uses the connection. */
const SQLITE_OPEN_NOMUTEX = 0x8000;

const HIGH = 0x1_0000_0000;

const encoder = new TextEncoder();

/** The name of the schema that replication is about, as C wants it. */
export const MAIN: Uint8Array = encoder.encode("main\0");

/**
 * Opens a database file.
 *
 * @param flags Some of the `SQLITE_OPEN_*` above.
 * @param busyTimeoutMs How long SQLite waits for a lock.
 * @throws {DatabaseError} `SQLITE` when SQLite cannot open it.
 */
export function openHandle(
  library: Library,
  path: string,
  flags: number,
  busyTimeoutMs: number,
): Pointer {
  assert(!path.includes("\0"), `the path ${JSON.stringify(path)} holds a NUL character`);
  const scratch = scratchOf(library);
  const handle = library.c.dqlite_open(
    encoder.encode(`${path}\0`),
    flags | SQLITE_OPEN_NOMUTEX,
    busyTimeoutMs,
    scratch.out,
    scratch.out.length,
    scratch.resultBytes,
  );
  scratch.check();
  assert(handle !== null, "a connection is there when its opening succeeded");
  return handle;
}

/**
 * Checks the result of a call that leaves no text with its error.
 *
 * @param action What was attempted, such as `drain`.
 * @throws {DatabaseError} when `rc` is not `SQLITE_OK`.
 */
export function checkResult(rc: number, action: string): void {
  if (rc !== SQLITE_OK) throw sqliteError(rc, `Cannot ${action}: ${resultName(rc)} (${rc})`);
}

/** Numbers that a call fills in: an array of `sqlite3_int64`, each below 2^53. */
export class Counts {
  /** The array, to pass to the library. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(length: number) {
    this.bytes = new Uint8Array(8 * length);
    this.#view = new DataView(this.bytes.buffer);
  }

  at(index: number): number {
    const low = this.#view.getUint32(8 * index, true);
    return this.#view.getInt32(8 * index + 4, true) * HIGH + low;
  }
}
