import { expect, test } from "bun:test";
import {
  continuationOf,
  extendedRun,
  LOG_START,
  newRun,
  type Run,
  runsOf,
} from "../../lib/archive/run.ts";
import type { EntriesName } from "../../lib/wire/archive_keys.ts";

/** An object of a history, whose chains are made of its letter and the entry. */
function object(first: number, last: number, history = 0): EntriesName & { sizeBytes: number } {
  const chainAt = (index: number) =>
    index === 0 ? LOG_START.chain : { a: index, b: index > 10 ? history : 0 };
  return {
    first,
    last,
    timeAfterMs: last * 1_000,
    chainBefore: chainAt(first - 1),
    chainAfter: chainAt(last),
    sizeBytes: 10,
  };
}

async function runs(...objects: ReturnType<typeof object>[]): Promise<string[]> {
  const found: Run[] = [];
  async function* list() {
    yield* objects;
  }
  for await (const run of runsOf(list())) found.push(run);
  return found.map(({ first, last, sizeBytes }) => `${first}-${last} ${sizeBytes}`);
}

test("objects stand to a place in one of four ways", () => {
  const at = { index: 12, chain: { a: 12, b: 0 } };
  expect(continuationOf(object(13, 15), at)).toBe("continues");
  expect(continuationOf(object(9, 13), at)).toBe("continues");
  expect(continuationOf(object(9, 12), at)).toBe("before");
  expect(continuationOf(object(14, 15), at)).toBe("later");
  expect(continuationOf(object(13, 15, 1), at)).toBe("other");
  expect(continuationOf(object(13, 15, 1), { ...at, chain: undefined })).toBe("continues");
  expect(continuationOf(object(1, 3), LOG_START)).toBe("continues");
});

test("a run begins with the first time that is known", () => {
  const untimed = { ...object(1, 3), timeAfterMs: 0 };
  const run = newRun(untimed, 10);
  expect(run.firstTimeMs).toBe(0);
  const longer = extendedRun(extendedRun(run, object(4, 5), 10), object(6, 7), 10);
  expect(longer).toMatchObject({ firstTimeMs: 5_000, timeMs: 7_000 });
});

test("objects that follow each other or overlap are one run, up to a gap", async () => {
  expect(await runs()).toEqual([]);
  expect(await runs(object(1, 3), object(4, 9), object(10, 20))).toEqual(["1-20 30"]);
  expect(await runs(object(1, 3), object(1, 9), object(5, 8), object(7, 20))).toEqual(["1-20 30"]);
  expect(await runs(object(1, 3), object(5, 9), object(10, 12))).toEqual(["1-3 10", "5-12 20"]);
  expect(await runs(object(5, 12), object(13, 20, 1), object(13, 14))).toEqual(["5-14 20"]);
});
