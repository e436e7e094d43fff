/**
 * Which sectors of a batch are all zeros by right. The file was all zeros before, so a sector of
 * the batch that is all zeros, yet not in the map, was never written: the batch is torn.
 *
 * A batch is cut at multiples of 512 of the file; piece 0 runs from its start to the first cut.
 * Each byte of the map holds seven pieces, lowest bit first; its top bit is always set, so that the
 * map itself never makes a sector of zeros.
 */

/** Pieces per byte of the map. */
export const ZERO_MAP_BITS = 7;
const SECTOR_BYTES = 512;
const TOP_BIT = 0x80;

/**
 * Fills `map` for a batch that starts at `offset` of its file.
 *
 * @param nonZeroBytes Length of the start of the batch that has no piece of zeros.
 */
export function markZeroPieces(
  map: Uint8Array,
  parts: readonly Uint8Array[],
  offset: number,
  nonZeroBytes: number,
): void {
  map.fill(TOP_BIT);
  let piece = 0;
  let pieceEnd = pieceEndAfter(offset);
  let pieceZero = false;
  let at = offset;
  for (const part of parts) {
    let partAt = 0;
    while (partAt < part.length) {
      const length = Math.min(part.length - partAt, pieceEnd - at);
      if (at < offset + nonZeroBytes) pieceZero = false;
      else if (pieceZero) pieceZero = isZero(part, partAt, partAt + length);
      partAt += length;
      at += length;
      if (at < pieceEnd) continue;
      if (pieceZero) setPiece(map, piece);
      piece++;
      pieceEnd += SECTOR_BYTES;
      pieceZero = true;
    }
  }
  if (at > pieceEnd - SECTOR_BYTES && pieceZero) setPiece(map, piece);
}

/**
 * Whether a piece of `bytes[start, end)` is all zeros without being in the map.
 *
 * @param start Start of the batch, an offset in the file as well as in `bytes`.
 * @param map Undefined when no piece may be all zeros.
 * @param until Only pieces that start before this count.
 */
export function hasMissingPiece(
  bytes: Uint8Array,
  start: number,
  end: number,
  map: Uint8Array | undefined,
  until = end,
): boolean {
  let piece = 0;
  for (let at = start; at < until; piece++) {
    const pieceEnd = Math.min(pieceEndAfter(at), end);
    const allowed = map !== undefined && hasPiece(map, piece);
    if (!allowed && isZero(bytes, at, pieceEnd)) return true;
    at = pieceEnd;
  }
  return false;
}

/** Whether `bytes[start, end)` is all zeros. */
export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  for (const last = end - 4; i <= last; i += 4) {
    if ((bytes[i]! | bytes[i + 1]! | bytes[i + 2]! | bytes[i + 3]!) !== 0) return false;
  }
  for (; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The first multiple of the sector size after `offset`. */
export function pieceEndAfter(offset: number): number {
  return (Math.floor(offset / SECTOR_BYTES) + 1) * SECTOR_BYTES;
}

function setPiece(map: Uint8Array, piece: number): void {
  const at = Math.floor(piece / ZERO_MAP_BITS);
  map[at] = map[at]! | (1 << (piece % ZERO_MAP_BITS));
}

function hasPiece(map: Uint8Array, piece: number): boolean {
  const byte = map[Math.floor(piece / ZERO_MAP_BITS)] ?? 0;
  return (byte & (1 << (piece % ZERO_MAP_BITS))) !== 0;
}
