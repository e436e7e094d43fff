/**
 * CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as in iSCSI (RFC 3720 §12.1).
 * Slicing by eight: about 1 GB/s in plain TypeScript. A function that uses the processor's own
 * instruction takes over for all but short pieces, once somebody has one.
 */
import { assert } from "./assert.ts";

const POLYNOMIAL = 0x82f63b78;
const SLICES = 8;
const TABLE = buildTable();
/** For fewer bytes a call out of the runtime costs more than it spares. */
const FAST_BYTES_MIN = 128;
/** The check of RFC 3720 §B.4, over nine digits. */
const CHECK_INPUT = new Uint8Array([49, 50, 51, 52, 53, 54, 55, 56, 57]);
const CHECK = 0xe3069283;

/** The checksum of `bytes[start, end)`, signed or not. */
type Crc32c = (bytes: Uint8Array, start: number, end: number, seed: number) => number;

let fast: Crc32c | undefined;

/** Has `compute` work out the checksums of this thread that are worth a call. */
export function useFastCrc32c(compute: Crc32c): void {
  const { length } = CHECK_INPUT;
  const half = compute(CHECK_INPUT, 0, 4, 0);
  assert(compute(CHECK_INPUT, 4, length, half) >>> 0 === CHECK, "it computes something else");
  fast = compute;
}

function buildTable(): Uint32Array {
  const table = new Uint32Array(256 * SLICES);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[byte] = crc >>> 0;
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let slice = 1; slice < SLICES; slice++) {
      const previous = table[(slice - 1) * 256 + byte]!;
      table[slice * 256 + byte] = ((previous >>> 8) ^ table[previous & 0xff]!) >>> 0;
    }
  }
  return table;
}

/**
 * The checksum of `bytes[start, end)`.
 *
 * @param seed The checksum of what came before, to go on from; 0 at the start.
 * @returns An unsigned 32-bit integer.
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  if (fast !== undefined && end - start >= FAST_BYTES_MIN) {
    return fast(bytes, start, end, seed | 0) >>> 0;
  }
  const table = TABLE;
  let crc = ~seed;
  let i = start;
  for (const last = end - 8; i <= last; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc = table[1792 + (crc & 0xff)]! ^
      table[1536 + ((crc >>> 8) & 0xff)]! ^
      table[1280 + ((crc >>> 16) & 0xff)]! ^
      table[1024 + (crc >>> 24)]! ^
      table[768 + bytes[i + 4]!]! ^
      table[512 + bytes[i + 5]!]! ^
      table[256 + bytes[i + 6]!]! ^
      table[bytes[i + 7]!]!;
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}
