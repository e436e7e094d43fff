/** Rows as the JSON that Hrana carries; the encoding itself is done in C, for speed. */
import type { Library } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { decodeText, type RowBatch, type Rows } from "./values.ts";

/** The buffer to start with, and the largest that is kept between calls. */
const KEPT_BYTES = 256 * 1024;

let kept: Uint8Array | undefined;

/**
 * The rows as a JSON array of arrays of Hrana values: integers as strings, infinite reals as null,
 * blobs in base64 without padding, text that is not UTF-8 with U+FFFD in place of the bad bytes.
 */
export function encodeRowsAsHrana(library: Library, rows: Rows): string {
  if (rows.count === 0) return "[]";
  const { batches, columnCount } = rows;
  if (batches.length === 1) return encodeBatch(library, batches[0]!, columnCount);
  const inner = batches.map((batch) => encodeBatch(library, batch, columnCount).slice(1, -1));
  return `[${inner.join(",")}]`;
}

function encodeBatch(library: Library, batch: RowBatch, columnCount: number): string {
  kept ??= new Uint8Array(KEPT_BYTES);
  let out = kept;
  let sizeBytes = encodeInto(library, batch, columnCount, out);
  if (sizeBytes > out.length) {
    out = new Uint8Array(sizeBytes);
    sizeBytes = encodeInto(library, batch, columnCount, out);
  }
  return decodeText(out.subarray(0, sizeBytes));
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
