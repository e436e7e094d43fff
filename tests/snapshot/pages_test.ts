import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { below, type Random, SeededRandom } from "../../lib/base/random.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { PageFile } from "../../lib/snapshot/page_file.ts";
import { differingPages, pageHashes } from "../../lib/snapshot/page_hashes.ts";
import { rangePages } from "../../lib/wire/pages.ts";

function pagesOf(random: Random, count: number, pageBytes: number): Uint8Array {
  return new Uint8Array(count * pageBytes).map(() => below(random, 256));
}

function withFolder(body: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "dqlite-pages-"));
  try {
    body(join(folder, "main.db"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("exactly the pages that differ are found, wherever they are", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 60; round++) {
    const pageBytes = 512 << below(random, 5);
    const count = 1 + below(random, 12);
    const theirs = pagesOf(random, count, pageBytes);
    const ours = theirs.slice(0, below(random, count + 1) * pageBytes);
    const expected = new Set<number>();
    for (let page = ours.length / pageBytes; page < count; page++) expected.add(page);
    for (let change = below(random, 4); change > 0 && ours.length > 0; change--) {
      const at = below(random, ours.length);
      ours[at]! ^= 1 << below(random, 8);
      const page = Math.floor(at / pageBytes);
      const [from, to] = [page * pageBytes, (page + 1) * pageBytes];
      if (Buffer.compare(ours.subarray(from, to), theirs.subarray(from, to)) !== 0) {
        expected.add(page);
      } else expected.delete(page);
    }
    expect(differingPages(theirs, pageBytes, pageHashes(ours, pageBytes)))
      .toEqual([...expected].sort((a, b) => a - b));
  }
});

test("a range that is longer here than there differs nowhere beyond its end", () => {
  const ours = pagesOf(new SeededRandom(1), 4, 512);
  expect(differingPages(ours.subarray(0, 1024), 512, pageHashes(ours, 512))).toEqual([]);
});

test("random files become the same, and only what differs is written", () => {
  const random = new SeededRandom(11);
  for (let round = 0; round < 20; round++) {
    withFolder((path) => {
      const pageBytes = 4096;
      const count = 1 + below(random, 200);
      const theirs = pagesOf(random, count, pageBytes);
      const ours = theirs.slice(0, below(random, count + 1) * pageBytes);
      let changed = count - ours.length / pageBytes;
      for (let page = 0; page * pageBytes < ours.length; page++) {
        if (below(random, 8) > 0) continue;
        ours[page * pageBytes + below(random, pageBytes)]! ^= 255;
        changed++;
      }
      const extra = pagesOf(random, below(random, 3), pageBytes);
      writeFileSync(path, Buffer.concat([ours, below(random, 2) ? extra : new Uint8Array(0)]));
      const file = PageFile.overwrite(new NodeDisk(), path, pageBytes);
      file.cut(count);
      let written = 0;
      for (let first = 1; first <= count; first += rangePages(pageBytes)) {
        const size = Math.min(rangePages(pageBytes), count - first + 1);
        const hashes = pageHashes(file.read(first, size), pageBytes);
        const range = theirs.subarray((first - 1) * pageBytes, (first - 1 + size) * pageBytes);
        const offsets = differingPages(range, pageBytes, hashes);
        const bytes = offsets.map((at) => range.slice(at * pageBytes, (at + 1) * pageBytes));
        file.write(first, offsets, Buffer.concat(bytes));
        written += offsets.length;
      }
      file.resize(count);
      file.close();
      expect(Buffer.compare(readFileSync(path), theirs)).toBe(0);
      expect(written).toBeLessThanOrEqual(changed + extra.length / pageBytes);
    });
  }
});

test("what is no database is not read as one", () => {
  withFolder((path) => {
    const disk = new NodeDisk();
    expect(PageFile.read(disk, path)).toBeUndefined();
    for (const [size, bytes] of [[1, 65_536], [4096, 4096], [512, 512]] as const) {
      const header = new Uint8Array(100);
      header.set([size >> 8, size & 255], 16);
      writeFileSync(path, header);
      const file = PageFile.read(disk, path);
      expect([file?.pageBytes, file?.pages]).toEqual([bytes, 0]);
      file?.close();
    }
    for (const size of [0, 3, 4097, 256]) {
      const header = new Uint8Array(100);
      header.set([size >> 8, size & 255], 16);
      writeFileSync(path, header);
      expect(PageFile.read(disk, path)).toBeUndefined();
    }
    writeFileSync(path, new Uint8Array(10));
    expect(PageFile.read(disk, path)).toBeUndefined();
  });
});
