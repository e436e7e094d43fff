/**
 * Finds the parts of JSON in its bytes without parsing it, so that large results can be passed on
 * piece by piece. It is meant for JSON that a node wrote: without spaces, and well-formed. Of other
 * text it says that it is malformed, or finds nonsense, and never reads beyond the end.
 */
import { DatabaseError } from "../base/errors.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

const decoder = new TextDecoder();

/** Where the value that begins at `at` ends: the position behind it. @throws {DatabaseError} */
export function endOfValue(bytes: Bytes, at: number): number {
  let depth = 0;
  for (let here = at; here < bytes.length; here++) {
    const byte = bytes[here];
    if (byte === QUOTE) {
      here = endOfString(bytes, here) - 1;
      if (depth === 0) return here + 1;
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      depth++;
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      // Behind a number or a word.
      if (depth === 0) return here;
      depth--;
      if (depth === 0) return here + 1;
    } else if (byte === COMMA && depth === 0) return here;
  }
  if (depth > 0) throw malformed(bytes.length);
  return bytes.length;
}

/** The members of the object that begins at `at`, as bytes. @throws {DatabaseError} */
export function membersOf(bytes: Bytes, at: number): Map<string, Bytes> {
  const members = new Map<string, Bytes>();
  let here = expectByte(bytes, at, OPEN_OBJECT);
  while (bytes[here] !== CLOSE_OBJECT) {
    if (members.size > 0) here = expectByte(bytes, here, COMMA);
    expectByte(bytes, here, QUOTE);
    const nameEnd = endOfString(bytes, here);
    const name = decoder.decode(bytes.subarray(here + 1, nameEnd - 1));
    const start = expectByte(bytes, nameEnd, COLON);
    here = endOfValue(bytes, start);
    members.set(name, bytes.subarray(start, here));
  }
  return members;
}

/** The elements of the array that begins at `at`, as bytes. @throws {DatabaseError} */
export function elementsOf(bytes: Bytes, at: number): Bytes[] {
  const elements: Bytes[] = [];
  let here = expectByte(bytes, at, OPEN_ARRAY);
  while (bytes[here] !== CLOSE_ARRAY) {
    if (elements.length > 0) here = expectByte(bytes, here, COMMA);
    const end = endOfValue(bytes, here);
    elements.push(bytes.subarray(here, end));
    here = end;
  }
  return elements;
}

/** The position behind the byte at `at`. @throws {DatabaseError} when it is another one. */
export function expectByte(bytes: Bytes, at: number, byte: number): number {
  if (bytes[at] !== byte) throw malformed(at);
  return at + 1;
}

function endOfString(bytes: Bytes, at: number): number {
  for (let here = at + 1; here < bytes.length; here++) {
    const byte = bytes[here];
    if (byte === QUOTE) return here + 1;
    if (byte === BACKSLASH) here++;
  }
  throw malformed(bytes.length);
}

function malformed(at: number): DatabaseError {
  const message = `The answer of a node is malformed at byte ${at}`;
  return new DatabaseError("PROTOCOL", message, { outcome: "unknown" });
}
