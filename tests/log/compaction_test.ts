import { expect, test } from "bun:test";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { EMPTY_CONFIGURATION } from "../../lib/raft/configuration.ts";
import type { Configuration } from "../../lib/raft/types.ts";
import { SLOT_NAMES } from "../../lib/log/slots.ts";
import { BLOCK_BYTES, decodeSlot, encodeSlot } from "../../lib/wire/segment_header.ts";
import {
  command,
  commands,
  CONFIGURATION,
  contents,
  failure,
  Fixture,
  FOLDER,
  fullBatch,
  segmentOf,
} from "./harness.ts";

const SIZE = 9_000;
/** Entries of that size in one segment, and a few more records. */
const PER_SEGMENT = 6;

const TWO: Configuration = {
  ...CONFIGURATION,
  learners: [],
  standbys: [8],
  spares: [],
  members: [...CONFIGURATION.members, {
    id: 8,
    address: "127.0.0.1:9002",
    httpUrl: "http://127.0.0.1:8081",
  }],
};

/** Configurations at 1 and 9, entries up to 30 over six segments, term and vote in the first. */
function filled(): Fixture {
  const fixture = new Fixture();
  fixture.write({
    hardState: { term: 2, votedFor: 7 },
    entries: [{ type: "configuration", index: 1, term: 2, configuration: CONFIGURATION }],
  });
  for (let index = 2; index <= 30; index++) {
    const entry = index === 9
      ? { type: "configuration", index, term: 2, configuration: TWO } as const
      : command(index, index < 20 ? 2 : 3, SIZE);
    fixture.write({ entries: [entry] });
  }
  return fixture;
}

function settle(fixture: Fixture): void {
  for (let round = 0; round < 20; round++) {
    fixture.loop.settle();
    fixture.loop.pass(0);
  }
}

/** One completion of a write, or, when none is under way, of what waits for time. */
function advance(fixture: Fixture): void {
  if (fixture.loop.completions.length > 0) fixture.loop.complete();
  else fixture.loop.pass(0);
}

function segments(disk: MemoryDisk): string[] {
  return disk.list(FOLDER).filter((name) => name.endsWith(".segment"))
    .map((name) => name.replace(/^0+/, ""));
}

function expectFrom(log: Fixture["log"], first: number, last = 30): void {
  expect([log.firstIndex, log.lastIndex, log.baseIndex]).toEqual([first, last, first - 1]);
  for (let index = first; index <= last; index++) {
    const [entry] = log.entries(index, index, Infinity) ?? [];
    if (index === 1 || index === 9) expect(entry?.type).toBe("configuration");
    else expect(entry).toEqual(command(index, index < 20 ? 2 : 3, SIZE));
  }
  const base = first === 1 ? EMPTY_CONFIGURATION : first <= 9 ? CONFIGURATION : TWO;
  expect(log.baseConfiguration).toEqual(base);
  expect(log.baseTerm).toBe(first === 1 ? 0 : first <= 20 ? 2 : 3);
}

test("a new log is whole, and nothing comes before it", () => {
  const { log } = new Fixture();
  expect([log.baseIndex, log.baseTerm]).toEqual([0, 0]);
  expect(log.baseConfiguration).toEqual(EMPTY_CONFIGURATION);
  log.truncatePrefix(0);
  expect(log.firstIndex).toBe(1);
});

test("what is compacted is gone at once, its files soon, and it stays gone", () => {
  const fixture = filled();
  const before = segments(fixture.disk);
  expect(before.length).toBeGreaterThan(5);
  fixture.log.truncatePrefix(16);
  const first = fixture.log.firstIndex;
  expect(first).toBeGreaterThan(16 - PER_SEGMENT - 1);
  expect(first).toBeLessThanOrEqual(17);
  expectFrom(fixture.log, first);
  expect(fixture.log.entries(first - 1, 30, Infinity)).toBeUndefined();
  expect(fixture.log.termAt(first - 1)).toBeUndefined();
  expect(fixture.log.pointAt(first - 1)?.index).toBe(first - 1);
  expect(segments(fixture.disk)).toEqual(before);
  settle(fixture);
  const after = segments(fixture.disk);
  expect(after.length).toBeLessThan(before.length);
  expect(before.slice(-after.length)).toEqual(after);
  const chain = fixture.log.last.chain;
  for (const disk of [fixture.disk.platter(), fixture.disk.crash(() => true)]) {
    const { log } = new Fixture({ disk });
    expectFrom(log, first);
    expect([log.hardState, log.last.chain]).toEqual([{ term: 2, votedFor: 7 }, chain]);
    expect(segments(disk).slice(0, after.length)).toEqual(after);
  }
});

test("the log is written on behind a compaction, and compacted again", () => {
  const fixture = filled();
  let disk = fixture.disk;
  let last = 30;
  let before = fixture;
  for (let round = 0; round < 4; round++) {
    before.log.truncatePrefix(last);
    settle(before);
    expect(last - before.log.firstIndex).toBeLessThan(PER_SEGMENT + 1);
    before.write({
      truncateFrom: last + 1,
      entries: commands(last + 1, last + 10, 3, SIZE),
    });
    before.write({ truncateFrom: last + 9 });
    last += 8;
    const expected = contents(before.log);
    disk = before.disk.crash(() => round % 2 === 0);
    const after = new Fixture({ disk });
    expect([after.log.firstIndex, after.log.lastIndex]).toEqual([before.log.firstIndex, last]);
    expect(contents(after.log)).toEqual(expected);
    expect(after.log.baseConfiguration).toEqual(TWO);
    before = after;
  }
});

test("several compactions at once end as the last one does", () => {
  const fixture = filled();
  for (const index of [7, 14, 30, 5]) fixture.log.truncatePrefix(index);
  const first = fixture.log.firstIndex;
  settle(fixture);
  expectFrom(fixture.log, first);
  expectFrom(fixture.restart().log, first);
});

test("a segment is kept while a later truncation reaches back behind it", () => {
  const fixture = new Fixture();
  for (let index = 1; index <= 8; index++) fixture.write({ entries: [command(index, 1, SIZE)] });
  const second = segments(fixture.disk).length - 1;
  expect(second).toBe(2);
  // The second segment begins behind entry 7 or before; this goes back into the first.
  fixture.write({ truncateFrom: 3, entries: commands(3, 6, 2, SIZE) });
  for (const log of [fixture.log, fixture.restart().log]) {
    log.truncatePrefix(6);
    expect(log.firstIndex).toBe(1);
  }
});

test("entries that come back after a truncation do not make their segment a place to begin", () => {
  const fixture = new Fixture();
  const entries = commands(1, 8, 1, SIZE);
  for (const entry of entries) fixture.write({ entries: [entry] });
  fixture.write({ truncateFrom: 5 });
  for (const entry of entries.slice(4)) fixture.write({ entries: [entry] });
  expect(segments(fixture.disk).length).toBe(3);
  fixture.log.truncatePrefix(8);
  expect(fixture.log.firstIndex).toBe(1);
  const { log, disk } = fixture.restart();
  log.truncatePrefix(8);
  expect(log.firstIndex).toBe(1);
  expect(contents(new Fixture({ disk }).log)).toEqual(entries);
});

test("what is not durable is not compacted", () => {
  const { log } = filled();
  log.append(fullBatch({ entries: [command(31, 3)] }), () => {});
  expect(failure(() => log.truncatePrefix(31)).message).toContain("durable");
});

test("a crash at any step leaves the whole log or the short one", () => {
  const random = new SeededRandom(17);
  const complete = filled();
  const needed = segments(complete.disk).length;
  complete.log.truncatePrefix(22);
  const short = complete.log.firstIndex;
  settle(complete);
  const removed = needed - segments(complete.disk).length;
  expect(removed).toBeGreaterThan(2);
  // The turn that begins, the base record, two slots, each file, the folder; and some rest.
  const steps = 1 + 3 + removed + 1 + 3;
  const found: number[] = [];
  for (let step = 0; step <= steps; step++) {
    for (let chance = 0; chance < 4; chance++) {
      const fixture = filled();
      fixture.log.truncatePrefix(22);
      for (let done = 0; done < step; done++) advance(fixture);
      if (step === steps) expect(segments(fixture.disk)).toEqual(segments(complete.disk));
      const crashed = fixture.disk.crash(() => below(random, 3) < chance);
      const { log } = new Fixture({ disk: crashed });
      expectFrom(log, log.firstIndex);
      expect(log.hardState).toEqual({ term: 2, votedFor: 7 });
      found.push(log.firstIndex);
    }
  }
  expect(new Set(found)).toEqual(new Set([1, short]));
  // The log is short from the moment when one slot says so.
  expect(found.slice(0, 2 * 4)).toEqual(found.slice(0, 2 * 4).fill(1));
  expect(found.slice(3 * 4)).toEqual(found.slice(3 * 4).fill(short));
});

test("a start that is cut short in the middle of a compaction loses nothing either", () => {
  for (let stop = 2; stop < 10; stop++) {
    const fixture = filled();
    fixture.log.truncatePrefix(22);
    for (let done = 0; done < stop; done++) advance(fixture);
    const crashed = fixture.disk.crash(() => stop % 2 === 0);
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
        const { log } = new Fixture({ disk: disk.crash(() => skip % 3 === 0) });
        expectFrom(log, log.firstIndex);
      }
    }
  }
});

test("after a compaction one rotten slot still loses neither term nor vote", () => {
  const fixture = filled();
  fixture.log.truncatePrefix(30);
  settle(fixture);
  fixture.close();
  for (const name of SLOT_NAMES) {
    const disk = fixture.disk.platter();
    disk.damage(`${FOLDER}/${name}`, 50, (byte) => byte ^ 4);
    const { log } = new Fixture({ disk });
    expect(log.recovery.slotRepaired).toBe(true);
    expect(log.hardState).toEqual({ term: 2, votedFor: 7 });
  }
});

test("a short log without the configuration before it is refused", () => {
  const fixture = filled();
  fixture.close();
  const disk = fixture.disk.platter();
  // As a program would leave it that wrote no base record.
  for (const name of SLOT_NAMES) rewriteFirstSegment(disk, `${FOLDER}/${name}`, 3);
  const error = failure(() => new Fixture({ disk }));
  expect(error.code).toBe("CORRUPT");
  expect(error.message).toContain(segmentOf(3));
  expect(error.message).toContain("the configuration at entry");
});

test("an error while segments are given up stops the log", () => {
  for (const operation of ["first segment", "remove", "syncFolder"]) {
    const fixture = filled();
    fixture.log.truncatePrefix(30);
    const skip = operation === "first segment" ? 1 : 0;
    fixture.disk.failNext(operation, new Error("EIO"), undefined, skip);
    settle(fixture);
    expect([operation, fixture.fatal.map((error) => error.code)]).toEqual([operation, ["DISK"]]);
    expectFrom(fixture.restart().log, fixture.log.firstIndex);
  }
});

function rewriteFirstSegment(disk: MemoryDisk, path: string, first: number): void {
  const file = disk.open(path, { create: false });
  const slot = decodeSlot(file.read(0, BLOCK_BYTES));
  if (typeof slot === "string") throw new Error(slot);
  file.write(0, encodeSlot({ ...slot, firstSegment: first }));
  file.sync();
  file.close();
}
