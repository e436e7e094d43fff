/**
 * SQLite's values, and the bytes they travel in between this program and the library: see
 * `ffi/sqlite3/statement.h` for the format.
 */
import { assert } from "../base/assert.ts";
import { FormatError } from "../base/bytes.ts";

/**
 * A value of SQLite. The kind decides the storage class: a `bigint` is an INTEGER, a `number` is a
 * REAL, also when it is whole.
 */
export type Value = null | bigint | number | string | Uint8Array;

/** Receives the values of rows, one after another, column by column. */
export interface ValueVisitor {
  null(): void;
  /** The integer `high * 2^32 + low`; `high` is signed, `low` is not. */
  integer(high: number, low: number): void;
  real(value: number): void;
  /** UTF-8, valid during the call. SQLite does not check it: it may be malformed. */
  text(bytes: Uint8Array): void;
  /** Valid during the call. */
  blob(bytes: Uint8Array): void;
}

/** How a result is turned into values. */
export interface DecodeOptions {
  /**
   * `bigint` (the default) keeps integers apart from reals. `number` yields a number for an integer
   * whose magnitude is below 2^53, for programs that prefer it.
   */
  readonly integers?: "bigint" | "number";
}

const NULL = 0;
const INTEGER = 1;
const REAL = 2;
const TEXT = 3;
const BLOB = 4;

const HIGH = 0x1_0000_0000;
/** Up to here a loop beats the call of the runtime's encoder. */
const SHORT_TEXT_LENGTH = 48;

const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 63n - 1n;

const encoder = new TextEncoder();
/** A byte order mark is a character of the text like any other. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Encodes values into one buffer, which it uses again and again. */
export class ValueEncoder {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** @param capacity Bytes to start with; at least 1. */
  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Only the first {@linkcode length} bytes mean anything, and only until the next write. */
  get buffer(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Bytes written since {@linkcode reset}. */
  get length(): number {
    return this.#length;
  }

  /** Forgets what was written, and the memory of one that was uncommonly large. */
  reset(): void {
    this.#length = 0;
    if (this.#bytes.length > RETAINED_BYTES_MAX) this.#replace(RETAINED_BYTES_MAX);
  }

  /** @throws {RangeError} when a `bigint` does not fit 64 bits. */
  add(value: Value): void {
    if (typeof value === "string") {
      this.#addText(value);
    } else if (typeof value === "number") {
      const at = this.#grow(9);
      this.#bytes[at] = REAL;
      this.#view.setFloat64(at + 1, value, true);
    } else if (typeof value === "bigint") {
      if (value < INTEGER_MIN || value > INTEGER_MAX) {
        throw new RangeError(`Integer ${value} does not fit 64 bits`);
      }
      const at = this.#grow(9);
      this.#bytes[at] = INTEGER;
      this.#view.setBigInt64(at + 1, value, true);
    } else if (value === null) {
      const at = this.#grow(1);
      this.#bytes[at] = NULL;
    } else {
      const at = this.#grow(5 + value.length);
      this.#bytes[at] = BLOB;
      this.#view.setUint32(at + 1, value.length, true);
      this.#bytes.set(value, at + 5);
    }
  }

  #addText(text: string): void {
    const length = text.length;
    const at = this.#grow(5 + length * 3);
    const bytes = this.#bytes;
    bytes[at] = TEXT;
    let size = 0;
    if (length <= SHORT_TEXT_LENGTH) {
      for (; size < length; size++) {
        const unit = text.charCodeAt(size);
        if (unit > 0x7f) break;
        bytes[at + 5 + size] = unit;
      }
    }
    // What is not plain ASCII goes through the encoder, from its start: halves of a pair must meet.
    if (size < length) size = encoder.encodeInto(text, bytes.subarray(at + 5)).written;
    this.#view.setUint32(at + 1, size, true);
    this.#length = at + 5 + size;
  }

  #grow(size: number): number {
    const at = this.#length;
    const needed = at + size;
    if (needed > this.#bytes.length) {
      const old = this.#bytes;
      this.#replace(Math.max(needed, old.length * 2));
      this.#bytes.set(old.subarray(0, at));
    }
    this.#length = needed;
    return at;
  }

  #replace(capacity: number): void {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }
}

/** Bytes of argument buffer that are kept between statements. */
const RETAINED_BYTES_MAX = 1024 * 1024;

/**
 * Calls `visitor` for every value of `bytes`.
 *
 * @throws {FormatError} when the bytes are not values.
 */
export function visitValues(bytes: Uint8Array, visitor: ValueVisitor): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length;
  let at = 0;
  while (at < end) {
    const type = bytes[at]!;
    if (type === NULL) {
      visitor.null();
      at += 1;
    } else if (type === INTEGER) {
      visitor.integer(view.getInt32(at + 5, true), view.getUint32(at + 1, true));
      at += 9;
    } else if (type === REAL) {
      visitor.real(view.getFloat64(at + 1, true));
      at += 9;
    } else if (type === TEXT || type === BLOB) {
      const start = at + 5;
      at = start + view.getUint32(at + 1, true);
      if (at > end) throw new FormatError(`Value at ${start} ends beyond ${end}`);
      if (type === TEXT) visitor.text(bytes.subarray(start, at));
      else visitor.blob(bytes.subarray(start, at));
    } else {
      throw new FormatError(`Unknown type ${type} of the value at ${at}`);
    }
  }
}

/** The integer `high * 2^32 + low`. */
export function joinInteger(high: number, low: number): bigint {
  const value = high * HIGH + low;
  return Number.isSafeInteger(value) ? BigInt(value) : (BigInt(high) << 32n) | BigInt(low);
}

/** Text as it stands in a database; bytes that are not UTF-8 become U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Collects the values of rows; a visitor. */
class RowCollector implements ValueVisitor {
  readonly rows: Value[][] = [];
  readonly #columnCount: number;
  readonly #asNumber: boolean;
  #row: Value[] = [];

  constructor(columnCount: number, asNumber: boolean) {
    this.#columnCount = columnCount;
    this.#asNumber = asNumber;
  }

  null(): void {
    this.#push(null);
  }

  integer(high: number, low: number): void {
    const value = high * HIGH + low;
    this.#push(this.#asNumber && Number.isSafeInteger(value) ? value : joinInteger(high, low));
  }

  real(value: number): void {
    this.#push(value);
  }

  text(bytes: Uint8Array): void {
    this.#push(decodeText(bytes));
  }

  blob(bytes: Uint8Array): void {
    this.#push(bytes.slice());
  }

  #push(value: Value): void {
    this.#row.push(value);
    if (this.#row.length < this.#columnCount) return;
    this.rows.push(this.#row);
    this.#row = [];
  }
}

/** Some encoded rows. */
export interface RowBatch {
  readonly count: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The rows of a result, encoded; decoded where somebody asks for values. */
export class Rows {
  readonly columnCount: number;
  readonly count: number;
  readonly sizeBytes: number;
  readonly batches: readonly RowBatch[];

  constructor(columnCount: number, batches: readonly RowBatch[]) {
    let count = 0;
    let sizeBytes = 0;
    for (const batch of batches) {
      count += batch.count;
      sizeBytes += batch.bytes.length;
    }
    assert(count === 0 || columnCount > 0, `${count} rows without columns`);
    this.columnCount = columnCount;
    this.count = count;
    this.sizeBytes = sizeBytes;
    this.batches = batches;
  }

  /** Calls `visitor` for every value, row by row. */
  visit(visitor: ValueVisitor): void {
    for (const batch of this.batches) visitValues(batch.bytes, visitor);
  }

  /** All rows as values; each call decodes anew. */
  decode(options: DecodeOptions = {}): Value[][] {
    const collector = new RowCollector(this.columnCount, options.integers === "number");
    this.visit(collector);
    return collector.rows;
  }
}
