/** Rows as the JSON that Hrana carries; the encoding itself is done in C, for speed. */
import type { Library } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { concat } from "../base/bytes.ts";
import { DatabaseError } from "../base/errors.ts";
import { RESPONSE_BYTES_MAX } from "../base/limits.ts";
import { decodeText, type RowBatch, type Rows } from "./values.ts";

/** The buffer to start with, and the largest that is kept between calls. */
const KEPT_BYTES = 256 * 1024;

/** JSON below this size is handed over as text, which is cheaper to join. */
const TEXT_BYTES_MAX = 4 * 1024;
const OPENING = "[".charCodeAt(0);
const CLOSING = "]".charCodeAt(0);
const COMMA = ",".charCodeAt(0);

let kept: Uint8Array | undefined;

/**
 * The rows as a JSON array of arrays of Hrana values: integers as strings, infinite reals as null,
 * blobs in base64 without padding, text that is not UTF-8 with U+FFFD in place of the bad bytes.
 *
 * @param bytesMax Bound of the JSON, which may be many times the size of the rows.
 * @returns Text when it is short, else its bytes.
 * @throws {DatabaseError} `RESPONSE_TOO_LARGE` above the bound. The statement has run by then: of
 * one that writes, the outcome is unknown.
 */
export function encodeRowsAsHrana(
  library: Library,
  rows: Rows,
  bytesMax: number = RESPONSE_BYTES_MAX,
): string | Uint8Array<ArrayBuffer> {
  if (rows.count === 0) return "[]";
  const { batches, columnCount } = rows;
  if (batches.length === 1) {
    const json = encodeBatch(library, batches[0]!, columnCount, bytesMax);
    return json.length < TEXT_BYTES_MAX ? decodeText(json) : json.slice();
  }
  const parts: Uint8Array[] = [];
  let leftBytes = bytesMax;
  for (const batch of batches) {
    const json = encodeBatch(library, batch, columnCount, leftBytes);
    leftBytes -= json.length;
    // Each is an array of its own; together they are one.
    if (parts.length > 0) json[0] = COMMA;
    parts.push(json.slice(0, -1));
  }
  parts.push(new Uint8Array([CLOSING]));
  assert(parts[0]![0] === OPENING, "rows that are no array");
  return concat(parts);
}

/** The JSON of a batch, in memory that the next call may use again. */
function encodeBatch(
  library: Library,
  batch: RowBatch,
  columnCount: number,
  bytesMax: number,
): Uint8Array {
  kept ??= new Uint8Array(KEPT_BYTES);
  let out = kept;
  let sizeBytes = encodeInto(library, batch, columnCount, out);
  if (sizeBytes > bytesMax) {
    throw new DatabaseError(
      "RESPONSE_TOO_LARGE",
      "The rows as JSON exceed the bound of a response; the statement itself has run",
      { outcome: "unknown", hint: "Ask for fewer rows, or for pieces with LIMIT" },
    );
  }
  if (sizeBytes > out.length) {
    out = new Uint8Array(sizeBytes);
    sizeBytes = encodeInto(library, batch, columnCount, out);
  }
  return out.subarray(0, sizeBytes);
}

/** Returns the size of the JSON, which may exceed `out`. */
function encodeInto(
  library: Library,
  batch: RowBatch,
  columnCount: number,
  out: Uint8Array,
): number {
  const { bytes, count } = batch;
  const sizeBytes = library.c.dqlite_rows_json(
    bytes,
    bytes.length,
    count,
    columnCount,
    out,
    out.length,
  );
  assert(sizeBytes >= 0, `${bytes.length} bytes are not ${count} rows of ${columnCount} columns`);
  return sizeBytes;
}
