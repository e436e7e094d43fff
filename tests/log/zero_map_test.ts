import { expect, test } from "bun:test";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { hasMissingPiece, isZero, markZeroPieces } from "../../lib/log/zero_map.ts";

test("a piece is missing only when it is zeros now and was not when it was written", () => {
  const random = new SeededRandom(3);
  for (let round = 0; round < 300; round++) {
    const offset = 8 * below(random, 200);
    const parts: Uint8Array[] = [new Uint8Array(48).fill(1)];
    for (let count = 1 + below(random, 4); count > 0; count--) {
      const part = new Uint8Array(8 * below(random, 400));
      // Some parts are zeros throughout, others hold a few bytes here and there.
      for (let i = below(random, 3); i > 0 && part.length > 0; i--) {
        part[below(random, part.length)] = 9;
      }
      parts.push(part);
    }
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    const end = offset + size;
    const bytes = new Uint8Array(end);
    let at = offset;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const map = new Uint8Array(Math.ceil((Math.ceil(size / 512) + 1) / 7));
    markZeroPieces(map, parts, offset, 48);
    expect(map.every((byte) => byte >= 0x80)).toBe(true);
    expect(hasMissingPiece(bytes, offset, end, map)).toBe(false);
    for (let sector = Math.floor(offset / 512); sector * 512 < end; sector++) {
      const start = Math.max(sector * 512, offset);
      const until = Math.min((sector + 1) * 512, end);
      const torn = bytes.slice();
      torn.fill(0, start, until);
      expect(hasMissingPiece(torn, offset, end, map)).toBe(!isZero(bytes, start, until));
    }
  }
});

test("a byte that is not zero is seen wherever it is", () => {
  for (let length = 0; length < 20; length++) {
    const bytes = new Uint8Array(length + 2).fill(1);
    bytes.fill(0, 1, length + 1);
    expect(isZero(bytes, 1, length + 1)).toBe(true);
    for (let i = 1; i <= length; i++) {
      const other = bytes.slice();
      other[i] = 128;
      expect(isZero(other, 1, length + 1)).toBe(false);
    }
  }
});
