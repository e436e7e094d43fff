/** Rows as the JSON that Hrana carries, put together from the pieces that the library wrote. */
import type { Json, JsonPart } from "../wire/hrana/types.ts";
import { decodeText } from "./values.ts";

/** JSON below this size is handed over as text, which is cheaper to join. */
const TEXT_BYTES_MAX = 4 * 1024;

/** No rows. */
export const NO_HRANA_ROWS: Json = "[]";

/**
 * Rows as a JSON array of arrays of Hrana values: integers as strings, infinite reals as null,
 * blobs in base64 without padding.
 *
 * @param piece The rows, with commas in between; it is copied.
 * @returns Text when it is short: bytes that are not UTF-8 are U+FFFD in it. Else parts.
 */
export function hranaRows(piece: Uint8Array): Json {
  return piece.length < TEXT_BYTES_MAX ? `[${decodeText(piece)}]` : ["[", piece.slice(), "]"];
}

/** The same for several pieces, which become parts of the result. */
export function hranaRowsOf(pieces: readonly Uint8Array<ArrayBuffer>[]): Json {
  const parts: JsonPart[] = [];
  for (const piece of pieces) parts.push(parts.length === 0 ? "[" : ",", piece);
  parts.push("]");
  return parts.length === 1 ? NO_HRANA_ROWS : parts;
}
