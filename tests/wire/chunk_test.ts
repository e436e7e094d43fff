import { expect, test } from "bun:test";
import { chunkBytes, chunkPagesMax, encodeChunk } from "../../lib/wire/chunk.ts";

const PAGE = 512;

test("a chunk is a header, the numbers of its pages, and the pages", () => {
  const pages = [1, 2].map((fill) => new Uint8Array(PAGE).fill(fill));
  const buffer = new Uint8Array(8 + chunkBytes(2, PAGE));
  const content = { pageSizeBytes: PAGE, numbers: [7, 300], pages };
  const bytes = encodeChunk(buffer, 8, { ...content, continues: true, databasePages: undefined });
  expect(bytes).toBe(16 + 2 * (4 + PAGE));
  expect(buffer.subarray(0, 8 + 16 + 8).toHex()).toBe(
    "0000000000000000" + "00020000" + "00000000" + "02000000" + "02000000" + "07000000" +
      "2c010000",
  );
  expect(buffer.subarray(32, 32 + PAGE)).toEqual(pages[0]!);
  expect(buffer.subarray(32 + PAGE)).toEqual(pages[1]!);

  encodeChunk(buffer, 8, { ...content, continues: false, databasePages: 300 });
  expect(buffer.subarray(12, 24).toHex()).toBe("2c010000" + "02000000" + "01000000");
});

test("as many pages fit a chunk as its size allows", () => {
  for (const pages of [1, 2, 1_000]) {
    expect(chunkPagesMax(chunkBytes(pages, PAGE), PAGE)).toBe(pages);
    expect(chunkPagesMax(chunkBytes(pages, PAGE) - 1, PAGE)).toBe(pages - 1);
  }
});
