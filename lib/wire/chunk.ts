/**
 * A chunk of frames, in the form in which the library drains what a leader captured, and applies
 * it; `ffi/sqlite3/README.md` has the bytes.
 */
import { assert } from "../base/assert.ts";

const HEADER_BYTES = 16;
const FLAG_LAST = 1;
const FLAG_CONTINUES = 2;

/** Bytes of a chunk with so many pages. */
export function chunkBytes(pages: number, pageSizeBytes: number): number {
  return HEADER_BYTES + pages * (4 + pageSizeBytes);
}

/** Pages that fit a chunk of at most `bytesMax`. */
export function chunkPagesMax(bytesMax: number, pageSizeBytes: number): number {
  return Math.floor((bytesMax - HEADER_BYTES) / (4 + pageSizeBytes));
}

/** What a chunk holds. */
export interface ChunkContent {
  readonly pageSizeBytes: number;
  /** Numbers of the pages, from 1. */
  readonly numbers: readonly number[];
  /** The pages, one after another. */
  readonly pages: readonly Uint8Array[];
  /** Whether earlier chunks of the batch came before. */
  readonly continues: boolean;
  /** Size of the database in pages after the batch; only with its last chunk. */
  readonly databasePages: number | undefined;
}

/** Writes a chunk into `buffer` at `offset`. @returns Its size in bytes. */
export function encodeChunk(buffer: Uint8Array, offset: number, content: ChunkContent): number {
  const { pageSizeBytes, numbers, pages, continues, databasePages } = content;
  assert(numbers.length > 0 && numbers.length === pages.length, "a chunk has pages");
  const view = new DataView(buffer.buffer, buffer.byteOffset + offset);
  const last = databasePages !== undefined;
  view.setUint32(0, pageSizeBytes, true);
  view.setUint32(4, databasePages ?? 0, true);
  view.setUint32(8, numbers.length, true);
  view.setUint32(12, (last ? FLAG_LAST : 0) | (continues ? FLAG_CONTINUES : 0), true);
  for (const [at, number] of numbers.entries()) view.setUint32(HEADER_BYTES + 4 * at, number, true);
  const pagesAt = offset + HEADER_BYTES + 4 * numbers.length;
  for (const [at, page] of pages.entries()) {
    assert(page.length === pageSizeBytes, `a page of ${page.length} bytes`);
    buffer.set(page, pagesAt + at * pageSizeBytes);
  }
  return chunkBytes(numbers.length, pageSizeBytes);
}
