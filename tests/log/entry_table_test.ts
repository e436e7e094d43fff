import { expect, test } from "bun:test";
import { EntryCache } from "../../lib/log/entry_cache.ts";
import { EntryTable } from "../../lib/log/entry_table.ts";
import { command, CONFIGURATION } from "./harness.ts";

function table(baseIndex: number, terms: readonly number[]): EntryTable {
  const chain = { a: 1, b: 2 };
  const entries = new EntryTable({ index: baseIndex, term: 1, chain });
  terms.forEach((term, i) => {
    const index = baseIndex + 1 + i;
    const configuration = index % 3 === 0 ? CONFIGURATION : undefined;
    entries.push(
      { index, term, chain: { a: index, b: 0xffff_0000 + index } },
      i * 10,
      configuration,
    );
    entries.place(index, 4, i * 8);
  });
  return entries;
}

test("terms are found in and between runs, and for what comes before the first entry", () => {
  const entries = table(10, [2, 2, 5, 7, 7, 7]);
  const terms = [9, 10, 11, 12, 13, 14, 15, 16, 17].map((index) => entries.termAt(index));
  expect(terms).toEqual([undefined, 1, 2, 2, 5, 7, 7, 7, undefined]);
  expect([entries.firstIndex, entries.lastIndex]).toEqual([11, 16]);
  expect(entries.chainAt(13)).toEqual({ a: 13, b: 0xffff_000d });
});

test("truncation forgets entries, terms and configurations from there on", () => {
  const entries = table(0, [1, 1, 2, 2, 3, 3, 3, 3, 4]);
  entries.truncateFrom(6);
  entries.push({ index: 6, term: 9, chain: { a: 0, b: 0 } }, 1, undefined);
  const seen: unknown[] = [];
  entries.forEach((index, term, size, configuration) => {
    seen.push([index, term, size, configuration !== undefined]);
  });
  expect(seen).toEqual([
    [1, 1, 0, false],
    [2, 1, 10, false],
    [3, 2, 20, true],
    [4, 2, 30, false],
    [5, 3, 40, false],
    [6, 9, 1, false],
  ]);
  entries.truncateFrom(1);
  expect(entries.last).toEqual({ index: 0, term: 1, chain: { a: 1, b: 2 } });
});

test("positions stay right while the table grows", () => {
  const entries = table(0, new Array<number>(5000).fill(1));
  expect(entries.position(1)).toEqual({ segment: 4, offset: 0, bodySizeBytes: 0 });
  expect(entries.position(5000)).toEqual({ segment: 4, offset: 39_992, bodySizeBytes: 49_990 });
});

test("the cache keeps what is not durable, whatever its size, and the newest of the rest", () => {
  const cache = new EntryCache(1, 10_000);
  for (let index = 1; index <= 5000; index++) cache.push(command(index, 1, 1000));
  cache.evict(0);
  expect(cache.firstIndex).toBe(1);
  cache.evict(3000);
  expect(cache.firstIndex).toBe(3001);
  cache.evict(5000);
  // Each entry counts 128 bytes beside its payload.
  expect(cache.firstIndex).toBe(5000 - 8 + 1);
  expect(cache.get(4992)).toBeUndefined();
  expect(cache.get(4993)?.index).toBe(4993);
  cache.truncateFrom(4000);
  expect([cache.firstIndex, cache.get(3999)]).toEqual([4000, undefined]);
  cache.push(command(4000, 2, 10));
  expect(cache.get(4000)?.term).toBe(2);
});
