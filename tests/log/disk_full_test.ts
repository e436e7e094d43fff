import { expect, test } from "bun:test";
import { LOG_SPACE_LEFT_BYTES, LOG_SPACE_RETRY_MAX_MS } from "../../lib/base/limits.ts";
import { isDiskFull } from "../../lib/io/disk_full.ts";
import type { LogSpace } from "../../lib/log/types.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { command, commands, contents, Fixture, FOLDER, fullBatch, SEGMENT } from "./harness.ts";

const SIZE = 3_000;

/** A log whose disk has no space for a second segment. */
function full(): { fixture: Fixture; told: LogSpace[]; disk: MemoryDisk } {
  const disk = new MemoryDisk();
  disk.free = LOG_SPACE_LEFT_BYTES;
  const told: LogSpace[] = [];
  const fixture = new Fixture({ disk, onSpace: (space) => told.push(space) });
  return { fixture, told, disk };
}

function enospc(): Error {
  return Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
}

/** Appends entries one by one for as long as the log has room; returns the last index. */
function fill({ log, write }: { log: Fixture["log"]; write: (index: number) => void }): number {
  let index = log.lastIndex + 1;
  while (log.hasRoomFor(1, SIZE)) write(index++);
  return index - 1;
}

test("a full disk is told, and that there is space again", () => {
  const { fixture, told, disk } = full();
  expect([fixture.log.space, told]).toEqual(["low", ["low"]]);
  fixture.loop.pass(LOG_SPACE_RETRY_MAX_MS);
  expect(told).toEqual(["low"]);
  disk.free = Infinity;
  fixture.loop.pass(LOG_SPACE_RETRY_MAX_MS);
  fixture.loop.settle();
  expect([fixture.log.space, told]).toEqual(["ok", ["low", "ok"]]);
  expect(fixture.fatal).toEqual([]);
});

test("on a full disk the log takes entries up to its reserve, then only term and vote", () => {
  const { fixture } = full();
  const { log } = fixture;
  const last = fill({
    log,
    write: (index) => fixture.write({ entries: [command(index, 1, SIZE)] }),
  });
  // One eighth of the segment is kept.
  expect(last * SIZE).toBeGreaterThan(SEGMENT * 0.65);
  expect(last * SIZE).toBeLessThan(SEGMENT * 0.875);
  for (let term = 2; term <= 20; term++) fixture.write({ hardState: { term, votedFor: 3 } });
  fixture.write({ truncateFrom: last, entries: [{ type: "noop", index: last, term: 20 }] });
  expect([log.space, fixture.fatal]).toEqual(["low", []]);
  const after = fixture.restart().log;
  expect(after.hardState).toEqual({ term: 20, votedFor: 3 });
  expect(after.termAt(last)).toBe(20);
  expect(contents(after).slice(0, -1)).toEqual(commands(1, last - 1, 1, SIZE));
});

test("what waits to be written counts against the room", () => {
  const { fixture } = full();
  const { log, loop } = fixture;
  let durable = 0;
  const last = fill({
    log,
    write: (index) =>
      log.append(fullBatch({ entries: [command(index, 1, SIZE)] }), () => durable++),
  });
  expect(durable).toBe(0);
  log.append(fullBatch({ hardState: { term: 2, votedFor: 7 } }), () => durable++);
  loop.settle();
  expect(durable).toBe(last + 1);
  expect(fixture.restart().log.hardState).toEqual({ term: 2, votedFor: 7 });
});

test("entries that were on their way wait for space, and none is lost", () => {
  const { fixture, disk, told } = full();
  const { log, loop } = fixture;
  let durable = 0;
  for (let index = 1; index <= 30; index++) {
    log.append(fullBatch({ entries: [command(index, 1, SIZE)] }), () => durable++);
  }
  loop.settle();
  expect(durable).toBeGreaterThan(15);
  expect(durable).toBeLessThan(30);
  expect([log.durableIndex, log.lastIndex]).toEqual([durable, 30]);
  disk.free = Infinity;
  loop.pass(LOG_SPACE_RETRY_MAX_MS);
  loop.settle();
  expect([durable, log.space, told]).toEqual([30, "ok", ["low", "ok"]]);
  expect(contents(fixture.restart().log)).toEqual(commands(1, 30, 1, SIZE));
});

test("no space in the middle of making a segment is no error, and takes none away", () => {
  for (const operation of ["open", "syncFolder", "prepare segment"]) {
    const disk = new MemoryDisk();
    const path = "0000000000000003.segment";
    const fixture = new Fixture({ disk });
    const error = Object.assign(new Error("quota"), { code: "EDQUOT" });
    disk.failNext(operation, error, operation === "syncFolder" ? FOLDER : path);
    for (let index = 1; index <= 25; index++) {
      fixture.write({ entries: [command(index, 1, SIZE)] });
    }
    expect([operation, fixture.log.space, fixture.fatal]).toEqual([operation, "low", []]);
    expect(disk.exists(`${FOLDER}/${path}`)).toBe(false);
    fixture.loop.pass(LOG_SPACE_RETRY_MAX_MS);
    fixture.loop.settle();
    expect([operation, fixture.log.space]).toEqual([operation, "ok"]);
    expect(disk.exists(`${FOLDER}/${path}`)).toBe(true);
    for (let index = 26; index <= 60; index++) {
      fixture.write({ entries: [command(index, 1, SIZE)] });
    }
    expect(contents(fixture.restart().log)).toEqual(commands(1, 60, 1, SIZE));
  }
});

test("no space for a batch, a header or a slot is fatal: it was promised", () => {
  for (const operation of ["log batch", "hard state", "segment header", "active segment"]) {
    const fixture = new Fixture();
    fixture.disk.failNext(operation, enospc());
    for (let index = 1; index <= 25; index++) {
      const hardState = { term: index, votedFor: undefined };
      fixture.log.append(
        fullBatch({ hardState, entries: [command(index, index, SIZE)] }),
        () => {},
      );
      fixture.loop.settle();
    }
    expect([operation, fixture.fatal.map(({ code }) => code)]).toEqual([operation, ["DISK"]]);
  }
});

test("another error while a segment is made stops the log", () => {
  const { fixture, disk } = full();
  disk.free = Infinity;
  disk.failNext("prepare segment", new Error("EIO"));
  fixture.loop.pass(LOG_SPACE_RETRY_MAX_MS);
  fixture.loop.settle();
  expect(fixture.fatal.map(({ code }) => code)).toEqual(["DISK"]);
});

test("a log on a full disk opens, is closed, and tells nothing after that", () => {
  const { fixture, told, disk } = full();
  fixture.write({ entries: commands(1, 3, 1) });
  fixture.close();
  disk.free = Infinity;
  fixture.loop.pass(LOG_SPACE_RETRY_MAX_MS);
  expect(told).toEqual(["low"]);
  const crashed = disk.crash(() => false);
  crashed.free = 0;
  const again = new Fixture({ disk: crashed });
  expect([again.log.space, again.log.lastIndex]).toEqual(["low", 3]);
  again.write({ entries: commands(4, 5, 1) });
});

test("a log that waits for space can be closed, and acknowledges nothing that waited", () => {
  for (const early of [false, true]) {
    const { fixture } = full();
    const { log, loop } = fixture;
    let durable = 0;
    for (let index = 1; index <= 30; index++) {
      log.append(fullBatch({ entries: [command(index, 1, SIZE)] }), () => durable++);
    }
    if (!early) loop.settle();
    let closed = false;
    log.close(() => closed = true);
    loop.settle();
    expect([early, closed]).toEqual([early, true]);
    expect(contents(fixture.restart().log)).toEqual(commands(1, durable, 1, SIZE));
  }
});

test("only a lack of space counts as a full disk", () => {
  expect(isDiskFull(enospc())).toBe(true);
  expect(isDiskFull(new Error("write", { cause: enospc() }))).toBe(true);
  expect(isDiskFull(Object.assign(new Error("EIO"), { code: "EIO" }))).toBe(false);
  expect(isDiskFull("ENOSPC")).toBe(false);
});
