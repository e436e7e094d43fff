/**
 * The entries of a cursor, cut out of the result of its batch as they are asked for: a result may
 * have millions of rows, and is neither parsed nor looked through as a whole.
 */
import { DatabaseError } from "../../base/errors.ts";
import { concat } from "../../base/bytes.ts";
import { elementsOf, endOfValue, expectByte } from "../json_scan.ts";
import { jsonBytes } from "./encode.ts";
import type { Json } from "./types.ts";

const COMMA = 0x2c;
const CLOSE_ARRAY = 0x5d;
const NULL = 0x6e;
const NULL_BYTES = 4;
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const START = '{"type":"ok","response":{"type":"batch","result":{"step_results":[';
/** Behind the results; inside of a string its quotes would stand behind backslashes. */
const ERRORS = encoder.encode('],"step_errors":');
const SEPARATOR = encoder.encode(",");
const ROW = encoder.encode('{"type":"row","row":');
const END = encoder.encode("}");

/** Some entries, as the bytes of a JSON array, and whether there will be no more. */
export interface CursorEntries {
  readonly json: Uint8Array<ArrayBuffer>;
  readonly done: boolean;
}

/** What a fetch may give: entries, and bytes of them unless the first alone has more. */
export interface FetchBounds {
  readonly count: number;
  readonly bytes: number;
}

/** Goes through the result of a batch, step by step and row by row. */
export class CursorReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  /** The error of each step, or null. */
  readonly #errors: readonly Uint8Array[];
  /** Where what was not given yet begins: a step, a row, or the end of either. */
  #at: number;
  #step = 0;
  #isInRows = false;

  /**
   * @param result What a batch came to, as `encodeOk` writes it.
   * @throws {DatabaseError} PROTOCOL when it is something else.
   */
  constructor(result: Json) {
    this.#bytes = jsonBytes(result);
    this.#at = expectText(this.#bytes, 0, START);
    this.#errors = elementsOf(this.#bytes, startOfErrors(this.#bytes));
  }

  /** The next entries. @throws {DatabaseError} PROTOCOL when the result is malformed. */
  next(bounds: FetchBounds): CursorEntries {
    const parts: Uint8Array[] = [encoder.encode("[")];
    let sizeBytes = 0;
    for (let count = 0; count < bounds.count && sizeBytes < bounds.bytes; count++) {
      if (this.#isDone()) break;
      if (count > 0) parts.push(SEPARATOR);
      const before = parts.length;
      if (this.#isInRows) this.#addRowOrEnd(parts);
      else this.#addBegin(parts);
      for (let at = before; at < parts.length; at++) sizeBytes += parts[at]!.length;
    }
    parts.push(encoder.encode("]"));
    return { json: concat(parts), done: this.#isDone() };
  }

  /** Whether nothing is left. Steps that were skipped have no entry: it goes past them. */
  #isDone(): boolean {
    while (!this.#isInRows && this.#step < this.#errors.length) {
      if (this.#bytes[this.#at] !== NULL || this.#errors[this.#step]![0] !== NULL) return false;
      this.#endStep(this.#at + NULL_BYTES);
    }
    return !this.#isInRows;
  }

  #endStep(end: number): void {
    this.#step++;
    this.#isInRows = false;
    this.#at = this.#bytes[end] === COMMA ? end + 1 : end;
  }

  #addBegin(parts: Uint8Array[]): void {
    const step = this.#step;
    if (this.#bytes[this.#at] === NULL) {
      const head = `{"type":"step_error","step":${step},"error":`;
      parts.push(encoder.encode(head), this.#errors[step]!, END);
      return this.#endStep(this.#at + NULL_BYTES);
    }
    const start = expectText(this.#bytes, this.#at, '{"cols":');
    const end = endOfValue(this.#bytes, start);
    const head = `{"type":"step_begin","step":${step},"cols":`;
    parts.push(encoder.encode(head), this.#bytes.subarray(start, end), END);
    this.#at = expectText(this.#bytes, end, ',"rows":[');
    this.#isInRows = true;
  }

  #addRowOrEnd(parts: Uint8Array[]): void {
    const bytes = this.#bytes;
    const end = endOfValue(bytes, this.#at);
    if (bytes[this.#at] !== CLOSE_ARRAY) {
      parts.push(ROW, bytes.subarray(this.#at, end), END);
      this.#at = bytes[end] === COMMA ? end + 1 : end;
      return;
    }
    // What follows the rows says how many were changed, and closes the result.
    let close = expectText(bytes, this.#at, '],"affected_row_count":');
    close = endOfValue(bytes, close);
    close = endOfValue(bytes, expectText(bytes, close, ',"last_insert_rowid":'));
    const counts = decoder.decode(bytes.subarray(this.#at + 2, close));
    parts.push(encoder.encode(`{"type":"step_end",${counts}}`));
    this.#endStep(close + 1);
  }
}

/** Where the errors begin. They are few, and come last, so that it is searched from the end. */
function startOfErrors(bytes: Uint8Array<ArrayBuffer>): number {
  for (let start = bytes.length - ERRORS.length; start >= 0; start--) {
    if (bytes[start] !== ERRORS[0]) continue;
    let same = 1;
    while (same < ERRORS.length && bytes[start + same] === ERRORS[same]) same++;
    if (same === ERRORS.length) return start + same;
  }
  throw new DatabaseError("PROTOCOL", "The result of a batch names no errors");
}

function expectText(bytes: Uint8Array<ArrayBuffer>, at: number, text: string): number {
  let here = at;
  for (let i = 0; i < text.length; i++) here = expectByte(bytes, here, text.charCodeAt(i));
  return here;
}
