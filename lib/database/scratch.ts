/** The memory that calls into the library share, one set for each thread. */
import type { Library } from "../../ffi/library.ts";
import { sqliteError } from "./sqlite_error.ts";
import { decodeText, ValueEncoder } from "./values.ts";

/** Bytes of rows that one call hands over; a larger row gets a buffer of its own. */
const OUT_BYTES = 256 * 1024;

/** Fields of the C struct `DqliteResult`, by position; all but the last are doubles. */
export const FIELD = {
  rc: 0,
  bytes: 1,
  needed: 2,
  rows: 3,
  done: 4,
  columns: 5,
  changes: 6,
  seq: 7,
  prepares: 8,
  parameters: 9,
  readonly: 10,
  explain: 11,
  head: 12,
  tail: 13,
  errorOffset: 14,
  rowid: 15,
} as const;

/**
 * Buffers for arguments, output and results. Calls into the library are synchronous, so one set
 * serves all connections of a thread; what must outlive a call is copied out of it.
 */
export class Scratch {
  readonly args = new ValueEncoder();
  readonly out = new Uint8Array(OUT_BYTES);
  /** Where a call leaves its {@linkcode FIELD}s. */
  readonly result: Float64Array;
  /** The same memory, to pass to the library. */
  readonly resultBytes: Uint8Array;
  readonly #rowid: BigInt64Array;

  constructor() {
    const memory = new ArrayBuffer(8 * 16);
    this.result = new Float64Array(memory);
    this.resultBytes = new Uint8Array(memory);
    this.#rowid = new BigInt64Array(memory, 8 * FIELD.rowid, 1);
  }

  /** The last inserted rowid, as the last statement left it. */
  get rowid(): bigint {
    return this.#rowid[0]!;
  }

  /** A copy of what the last call left in the output buffer. */
  takeOut(): Uint8Array<ArrayBuffer> {
    return this.out.slice(0, this.result[FIELD.bytes]!);
  }

  /**
   * @param buffer The output buffer of the call, which holds the text of its error.
   * @throws {DatabaseError} when the last call failed.
   */
  check(buffer: Uint8Array = this.out): void {
    const rc = this.result[FIELD.rc]!;
    if (rc !== 0) throw sqliteError(rc, decodeText(buffer.subarray(0, this.result[FIELD.bytes]!)));
  }
}

const scratches = new WeakMap<Library, Scratch>();

/** The buffers of this thread. */
export function scratchOf(library: Library): Scratch {
  let scratch = scratches.get(library);
  if (scratch === undefined) {
    scratch = new Scratch();
    scratches.set(library, scratch);
  }
  return scratch;
}
