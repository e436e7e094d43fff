import { expect, test } from "bun:test";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { inspectLog } from "../../lib/log/inspect.ts";
import type { LogBase, LogBatch } from "../../lib/log/types.ts";
import type { Configuration, Entry } from "../../lib/raft/types.ts";
import {
  CLUSTER,
  command,
  commands,
  CONFIGURATION,
  contents,
  Fixture,
  FOLDER,
  fullBatch,
} from "./harness.ts";

const SIZE = 9_000;
const OTHER: Configuration = {
  ...CONFIGURATION,
  members: [{ ...CONFIGURATION.members[0]!, weight: 9 }],
};
/** Far beyond what the log holds. */
const BASE: LogBase = {
  index: 100,
  term: 4,
  chain: { a: 0x1234_5678, b: 0xfedc_ba98 },
  configuration: OTHER,
};
const AFTER: readonly Entry[] = commands(101, 104, 4, SIZE);
const HARD_STATE = { term: 4, votedFor: 9 };

/** Entries up to 20 over four segments. */
function filled(): Fixture {
  const fixture = new Fixture();
  fixture.write({
    hardState: { term: 2, votedFor: 7 },
    entries: [{ type: "configuration", index: 1, term: 2, configuration: CONFIGURATION }],
  });
  for (let index = 2; index <= 20; index++) {
    fixture.write({ entries: [command(index, 2, SIZE)] });
  }
  return fixture;
}

function settle(fixture: Fixture): void {
  for (let round = 0; round < 20; round++) {
    fixture.loop.settle();
    fixture.loop.pass(4);
  }
}

/** Time passes only when no write is under way: the next segment is made with pauses. */
function advance(fixture: Fixture): void {
  if (!fixture.loop.complete()) fixture.loop.pass(4);
}

function write(fixture: Fixture, batch: Partial<LogBatch>): void {
  let durable = false;
  fixture.log.append(fullBatch(batch), () => durable = true);
  while (!durable) advance(fixture);
}

function segments(disk: MemoryDisk): number[] {
  return disk.list(FOLDER).filter((name) => name.endsWith(".segment")).map(parseFloat);
}

function expectOld(log: Fixture["log"]): void {
  expect([log.baseIndex, log.lastIndex]).toEqual([0, 20]);
  expect(contents(log).slice(1)).toEqual(commands(2, 20, 2, SIZE));
  expect(log.baseAt(20)?.configuration).toEqual(CONFIGURATION);
}

function expectNew(log: Fixture["log"]): void {
  expect([log.firstIndex, log.lastIndex]).toEqual([101, 104]);
  expect(contents(log)).toEqual(AFTER);
  expect(log.baseAt(100)).toEqual(BASE);
  expect([log.baseIndex, log.baseTerm, log.baseConfiguration]).toEqual([100, 4, OTHER]);
  expect(log.entries(20, 20, Infinity)).toBeUndefined();
  expect(log.baseAt(99)).toBeUndefined();
  expect(log.hardState).toEqual(HARD_STATE);
}

test("a reset is seen at once, is durable with its batch, and gives up all before it", () => {
  const fixture = filled();
  const { log } = fixture;
  let durable = false;
  const before = segments(fixture.disk);
  log.append(fullBatch({ hardState: HARD_STATE, reset: BASE, entries: AFTER }), () => {
    durable = true;
  });
  expectNew(log);
  expect(log.durableIndex).toBe(20);
  while (!durable) advance(fixture);
  expect(log.durableIndex).toBe(104);
  expectNew(new Fixture({ disk: fixture.disk.platter() }).log);
  settle(fixture);
  const after = segments(fixture.disk);
  expect(after[0]).toBeGreaterThanOrEqual(before.at(-1)!);
  expectNew(new Fixture({ disk: fixture.disk.platter() }).log);
  for (const entry of commands(105, 130, 4, SIZE)) write(fixture, { entries: [entry] });
  log.truncatePrefix(125);
  settle(fixture);
  expect(log.firstIndex).toBeGreaterThan(118);
  const { log: restarted } = fixture.restart();
  expect([restarted.firstIndex, restarted.lastIndex]).toEqual([log.firstIndex, 130]);
  expect(restarted.baseConfiguration).toEqual(OTHER);
  expect(restarted.last).toEqual(log.last);
});

test("a reset replaces a longer log of another history", () => {
  const base = { ...BASE, index: 12, term: 3 };
  const fixture = filled();
  write(fixture, { hardState: HARD_STATE, reset: base });
  for (const { log } of [fixture, new Fixture({ disk: fixture.disk.platter() })]) {
    expect([log.firstIndex, log.lastIndex, log.durableIndex]).toEqual([13, 12, 12]);
    expect(log.baseAt(12)).toEqual(base);
    expect(log.last).toEqual({ index: 12, term: 3, chain: base.chain });
  }
  write(fixture, { entries: commands(13, 15, 4, SIZE) });
  expect(contents(fixture.restart().log)).toEqual(commands(13, 15, 4, SIZE));
});

test("what waits before a reset is written before it; the later of two resets counts", () => {
  const fixture = filled();
  const { log } = fixture;
  const order: string[] = [];
  const first = { ...BASE, index: 50 };
  log.append(fullBatch({ entries: commands(21, 23, 2, SIZE) }), () => order.push("old"));
  log.append(fullBatch({ hardState: HARD_STATE, reset: first }), () => order.push("first"));
  log.append(fullBatch({ entries: commands(51, 52, 4) }), () => order.push("between"));
  log.append(fullBatch({ reset: BASE, entries: AFTER }), () => {
    order.push("second");
    expect(log.durableIndex).toBe(104);
  });
  // Nothing that was there may be compacted: it is on its way out already.
  log.truncatePrefix(10);
  expectNew(log);
  settle(fixture);
  expect(order).toEqual(["old", "first", "between", "second"]);
  expectNew(log);
  expectNew(fixture.restart().log);
  expect(fixture.fatal).toEqual([]);
});

test("an appended entry that a reset overtakes is not durable at its index", () => {
  const fixture = filled();
  const { log } = fixture;
  const seen: number[] = [];
  log.append(fullBatch({ entries: commands(21, 30, 2) }), () => seen.push(log.durableIndex));
  log.append(fullBatch({ reset: { ...BASE, index: 25 } }), () => seen.push(log.durableIndex));
  settle(fixture);
  expect(seen).toEqual([25, 25]);
  expect(log.lastIndex).toBe(25);
});

test("a crash at any step of a reset leaves the old log or the new one", () => {
  const random = new SeededRandom(23);
  const found: number[] = [];
  for (let step = 0;; step++) {
    let over = false;
    for (let chance = 0; chance < 4; chance++) {
      const fixture = filled();
      let durable = false;
      const batch = fullBatch({ hardState: HARD_STATE, reset: BASE, entries: AFTER });
      fixture.log.append(batch, () => durable = true);
      for (let done = 0; done < step; done++) advance(fixture);
      over = durable && segments(fixture.disk).every((sequence) => sequence >= 4);
      const crashed = fixture.disk.crash(() => below(random, 3) < chance);
      const report = inspectLog(crashed, FOLDER, { clusterId: CLUSTER, nodeId: 7 });
      expect(report.problems.filter(({ path }) => !path.includes("/state."))).toEqual([]);
      report.files.close();
      const { log } = new Fixture({ disk: crashed });
      if (log.baseIndex === 0) {
        expect(durable).toBe(false);
        expectOld(log);
      } else {
        found.push(step);
        expect(segments(crashed)[0]).toBeGreaterThanOrEqual(4);
        expectNew(log);
        expectNew(new Fixture({ disk: crashed.crash(() => false) }).log);
      }
    }
    if (over) break;
  }
  expect(found.length).toBeGreaterThan(10);
});

test("a start that is cut short behind a reset loses nothing", () => {
  const whole = filled();
  write(whole, { hardState: HARD_STATE, reset: BASE, entries: AFTER });
  const crashed = whole.disk.crash(() => true);
  expect(segments(crashed)[0]).toBe(1);
  for (const operation of ["open", "write", "sync", "syncFolder", "remove"]) {
    for (let skip = 0; skip < 8; skip++) {
      const disk = crashed.platter();
      disk.failNext(operation, new Error("power"), undefined, skip);
      try {
        new Fixture({ disk });
      } catch (error) {
        expect(String(error)).toContain("power");
      }
      disk.clearFaults();
      expectNew(new Fixture({ disk: disk.crash(() => skip % 2 === 0) }).log);
    }
  }
});
