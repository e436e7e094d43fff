import { expect, test } from "bun:test";
import { openLibrary } from "../../ffi/open.ts";
import { crc32c, useFastCrc32c } from "../../lib/base/crc32c.ts";

/** Pieces of this size are worked out in TypeScript. */
const SHORT_BYTES = 100;

const bytes = new Uint8Array(20_000).map((_, at) => (at * 31) ^ (at >> 3));

function inShortPieces(start: number, end: number, seed: number): number {
  let crc = seed;
  for (let at = start; at < end; at += SHORT_BYTES) {
    crc = crc32c(bytes, at, Math.min(end, at + SHORT_BYTES), crc);
  }
  return crc;
}

test("the processor's checksum and ours agree for every length, place and seed", async () => {
  await openLibrary();
  for (let length = 120; length < 300; length++) {
    const start = length % 9;
    expect(crc32c(bytes, start, start + length)).toBe(inShortPieces(start, start + length, 0));
  }
  for (const length of [4096, 4097, 16_383]) {
    for (const seed of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      const view = bytes.subarray(3);
      expect(crc32c(view, 5, 5 + length, seed)).toBe(inShortPieces(8, 8 + length, seed));
    }
  }
});

test("the values of RFC 3720 come out", async () => {
  await openLibrary();
  const digits = new TextEncoder().encode("123456789");
  expect(crc32c(digits)).toBe(0xe306_9283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa);
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8_ab43);
});

test("a function that computes another checksum is not taken", () => {
  expect(() => useFastCrc32c(() => 1)).toThrow("something else");
});
