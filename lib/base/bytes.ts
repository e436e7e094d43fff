/**
 * Little-endian reading and writing of byte strings. A 64-bit integer that means a count, an index
 * or an id is a `number` below 2^53; one that is data is a `bigint`.
 */
import { assert } from "./assert.ts";

const HIGH = 0x1_0000_0000;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The unsigned 32-bit integer at `at`. Faster than a `DataView`, whose making costs most. */
export function getU32(bytes: Uint8Array, at: number): number {
  const high = bytes[at + 2]! | (bytes[at + 3]! << 8);
  return (bytes[at]! | (bytes[at + 1]! << 8) | (high << 16)) >>> 0;
}

function setU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Thrown when bytes end early or hold a value outside its range. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** Builds a byte string that grows as needed. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  /** For integers and floats of 64 bits; made when the first one is written. */
  #view: DataView | undefined;
  #length = 0;

  /** @param capacity Bytes to start with. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#grow(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    setU32(this.#bytes, at, value);
    return this;
  }

  /** @param value A non-negative integer below 2^53. */
  u53(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `u53 out of range: ${value}`);
    const at = this.#grow(8);
    setU32(this.#bytes, at, value % HIGH);
    setU32(this.#bytes, at + 4, Math.floor(value / HIGH));
    return this;
  }

  i64(value: bigint): this {
    const at = this.#grow(8);
    this.#wide().setBigInt64(at, value, true);
    return this;
  }

  f64(value: number): this {
    const at = this.#grow(8);
    this.#wide().setFloat64(at, value, true);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** A byte string behind its length in 32 bits. */
  blob(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  /** UTF-8 behind its length in bytes, in 32 bits. */
  text(value: string): this {
    return this.blob(encoder.encode(value));
  }

  /** Overwrites four bytes that were written before. */
  setU32(offset: number, value: number): this {
    assert(offset + 4 <= this.#length, `setU32 at ${offset} is beyond ${this.#length}`);
    setU32(this.#bytes, offset, value);
    return this;
  }

  /** A view of what was written, valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  reset(): void {
    this.#length = 0;
  }

  #wide(): DataView {
    return this.#view ??= new DataView(this.#bytes.buffer);
  }

  #grow(size: number): number {
    const at = this.#length;
    const needed = at + size;
    if (needed > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      bytes.set(this.#bytes.subarray(0, at));
      this.#bytes = bytes;
      this.#view = undefined;
    }
    this.#length = needed;
    return at;
  }
}

/** Reads a byte string from its start; every read checks the bounds. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  /** For integers and floats of 64 bits; made when the first one is read. */
  #view: DataView | undefined;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    const at = this.#take(1);
    return this.#bytes[at]!;
  }

  u16(): number {
    const at = this.#take(2);
    return this.#bytes[at]! | (this.#bytes[at + 1]! << 8);
  }

  u32(): number {
    const at = this.#take(4);
    return getU32(this.#bytes, at);
  }

  /** @throws {FormatError} when the value is 2^53 or more. */
  u53(): number {
    const at = this.#take(8);
    const low = getU32(this.#bytes, at);
    const high = getU32(this.#bytes, at + 4);
    if (high >= 0x20_0000) throw new FormatError(`Integer at ${at} exceeds 2^53`);
    return high * HIGH + low;
  }

  i64(): bigint {
    const at = this.#take(8);
    return this.#wide().getBigInt64(at, true);
  }

  f64(): number {
    const at = this.#take(8);
    return this.#wide().getFloat64(at, true);
  }

  /** A view of the next `length` bytes; it shares memory with the source. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** A view of a byte string written by {@linkcode ByteWriter.blob}. */
  blob(): Uint8Array {
    return this.raw(this.u32());
  }

  text(): string {
    const bytes = this.blob();
    try {
      return decoder.decode(bytes);
    } catch (error) {
      throw new FormatError(`Text before ${this.#at} is not UTF-8`, { cause: error });
    }
  }

  /** @throws {FormatError} when bytes are left over. */
  end(): void {
    if (this.remaining !== 0) throw new FormatError(`${this.remaining} bytes are left over`);
  }

  #wide(): DataView {
    if (this.#view !== undefined) return this.#view;
    const { buffer, byteOffset, byteLength } = this.#bytes;
    return this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) {
      throw new FormatError(
        `Expected ${size} bytes at ${at}, but the input ends at ${this.#bytes.length}`,
      );
    }
    this.#at = at + size;
    return at;
  }
}

/** Joins byte strings into one. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Lower-case hexadecimal digits of `bytes`. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
