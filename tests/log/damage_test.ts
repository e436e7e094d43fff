/** Damage of what may have been acknowledged: what is kept, what is said, and who refuses. */
import { expect, test } from "bun:test";
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { SECTOR_BYTES } from "../../lib/io/disk_memory_content.ts";
import type { LogBatch } from "../../lib/log/types.ts";
import type { Entry } from "../../lib/raft/types.ts";
import { BLOCK_BYTES, SEGMENT_DATA_AT } from "../../lib/wire/segment_header.ts";
import { expectCorrupt, snapshot } from "./corrupt.ts";
import {
  command,
  commands,
  CONFIGURATION,
  contents,
  endOfRecords,
  failure,
  Fixture,
  FOLDER,
  fullBatch,
  holey,
  segmentOf,
} from "./harness.ts";

const FIRST = segmentOf(1);
const TERM = { term: 2, votedFor: 7 };

/** A log that loses what follows `kept`, and says so until somebody makes it good. */
function expectRecovering(disk: MemoryDisk, path: string, kept: readonly Entry[]): Fixture {
  const fixture = new Fixture({ disk });
  const { log } = fixture;
  expect([log.recovering, log.recovery.givenUp?.path]).toEqual([true, path]);
  expect(contents(log)).toEqual([...kept]);
  return fixture;
}

function bytesOf(disk: MemoryDisk, path: string): Uint8Array {
  const file = disk.open(path, { create: false });
  const bytes = file.read(0, file.size());
  file.close();
  return bytes;
}

/** The offset of the damage that was found. */
function givenUpAt({ log }: Fixture): number {
  return log.recovery.givenUp?.offset ?? Number.NaN;
}

test("a flipped bit anywhere in closed batches is found, and what follows is given up", () => {
  const fixture = new Fixture();
  const hardState = TERM;
  fixture.write({ hardState, entries: [command(1, 1, 61)] });
  const ends = [endOfRecords(fixture.disk)];
  fixture.write({ entries: [command(2, 1, 300), { type: "noop", index: 3, term: 1 }] });
  ends.push(endOfRecords(fixture.disk));
  fixture.write({ truncateFrom: 3, entries: [command(3, 2, 33)] });
  ends.push(endOfRecords(fixture.disk));
  fixture.close();
  const end = endOfRecords(fixture.disk);
  const states: readonly (readonly Entry[])[] = [
    [],
    [command(1, 1, 61)],
    [command(1, 1, 61), command(2, 1, 300), { type: "noop", index: 3, term: 1 }],
    [command(1, 1, 61), command(2, 1, 300), command(3, 2, 33)],
  ];
  expect(end).toBeGreaterThan(SEGMENT_DATA_AT + 600);
  for (let offset = SEGMENT_DATA_AT; offset < end; offset++) {
    const disk = fixture.disk.platter();
    disk.damage(FIRST, offset, (byte) => byte ^ (1 << (offset % 8)));
    const batch = ends.filter((batchEnd) => batchEnd <= offset).length;
    const whole = batch === 3;
    const found = whole
      ? new Fixture({ disk })
      : expectRecovering(disk, FIRST, states[batch] ?? []);
    expect(found.log.hardState).toEqual(hardState);
    // A close record tells nothing that is not known: nothing is lost with it.
    expect([contents(found.log).length, found.log.recovering]).toEqual(
      whole ? [3, false] : [states[batch]!.length, true],
    );
    if (whole) continue;
    // The offset is that of the record, and no record here is longer than 400 bytes.
    expect(givenUpAt(found) <= offset && offset - givenUpAt(found) < 400).toBe(true);
  }
});

test("a rotten close record is written again", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: TERM, entries: [command(1, 1)] });
  const at = endOfRecords(fixture.disk);
  fixture.close();
  const whole = snapshot(fixture.disk);
  fixture.disk.damage(FIRST, at + 9, (byte) => byte ^ 16);
  const { disk, log } = new Fixture({ disk: fixture.disk.crash(() => false) });
  expect([log.lastIndex, log.recovering, log.recovery.torn]).toEqual([1, false, undefined]);
  const segment = (text: string) => text.split("\n").find((line) => line.includes("01.segment"));
  expect(segment(snapshot(disk.crash(() => false)))).toBe(segment(whole)!);
});

/** One batch, with an entry of `size` bytes, and a close record that is lost with the power. */
function withLostClose(size: number): Fixture {
  const fixture = new Fixture({ segmentBytes: SEGMENT_DATA_AT + 8192 });
  fixture.write({ hardState: TERM, entries: commands(1, 1, 1, size) });
  const end = endOfRecords(fixture.disk);
  fixture.disk.medium = {
    read: (_path, _offset, bytes) => bytes,
    writes: (operation) => operation !== "log close",
  };
  fixture.loop.pass(100);
  fixture.loop.settle();
  expect(endOfRecords(fixture.disk)).toBeGreaterThan(end);
  return fixture;
}

test("a close record that was never written is known by what lies behind it", () => {
  // It ends with a sector, begins with one, or lies across two.
  for (let size = 100; size < 100 + SECTOR_BYTES; size += 8) {
    for (const next of ["batch", "segment"]) {
      const fixture = withLostClose(size);
      fixture.write({ entries: commands(2, 2, 1, next === "batch" ? 100 : 7800) });
      expect(fixture.disk.exists(segmentOf(2))).toBe(true);
      const { log, disk } = fixture.restart();
      expect([log.lastIndex, log.recovering, log.recovery.torn]).toEqual([2, false, undefined]);
      const before = contents(log);
      const again = new Fixture({ disk: disk.crash(() => false) });
      expect(contents(again.log)).toEqual(before);
    }
  }
});

test("a node that recovers stays so until it is told otherwise, over restarts", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: { term: 3, votedFor: 2 }, entries: commands(1, 4, 3) });
  fixture.write({ entries: commands(5, 6, 3) });
  const disk = fixture.disk.crash(() => true);
  disk.damage(FIRST, SEGMENT_DATA_AT + 200, (byte) => byte ^ 1);
  let found = expectRecovering(disk, FIRST, []);
  expect(found.log.recovery.givenUp).toMatchObject({ lastIndex: 6 });
  found.write({ entries: commands(1, 5, 3) });
  found = found.restart();
  expect([found.log.recovering, found.log.recovery.givenUp]).toEqual([true, undefined]);
  expect(contents(found.log)).toEqual(commands(1, 5, 3));
  expect(found.log.hardState).toEqual({ term: 3, votedFor: 2 });
  found.write({ entries: commands(6, 6, 3), recovered: true });
  expect(found.log.recovering).toBe(false);
  found = found.restart();
  expect([found.log.recovering, found.log.lastIndex]).toEqual([false, 6]);
});

test("that nothing is missing is durable only after the entries that make it so", () => {
  for (let completed = 0; completed < 6; completed++) {
    const fixture = new Fixture();
    fixture.write({ hardState: TERM, entries: commands(1, 4, 1) });
    const disk = fixture.disk.crash(() => true);
    disk.damage(FIRST, SEGMENT_DATA_AT + 200, (byte) => byte ^ 1);
    const found = expectRecovering(disk, FIRST, []);
    let told = false;
    found.log.append(fullBatch({ entries: commands(1, 6, 1), recovered: true }), () => told = true);
    for (let i = 0; i < completed; i++) found.loop.complete();
    const { log } = found.restart();
    if (told) expect(log.recovering).toBe(false);
    if (!log.recovering) expect(log.lastIndex).toBe(6);
  }
});

test("a start that cuts damage off can itself be cut short anywhere", () => {
  const hardState = { term: 2, votedFor: 1 };
  for (const operation of ["open", "write", "sync", "syncFolder", "remove"]) {
    for (let skip = 0; skip < 24; skip++) {
      for (const survivor of [1, 2, 3, 1000]) {
        const fresh = new Fixture({ segmentBytes: 16 * 1024 });
        fresh.write({ hardState, entries: commands(1, 2, 2, 900) });
        for (let index = 3; index <= 30; index++) {
          fresh.write({ entries: commands(index, index, 2, 900) });
        }
        const disk = fresh.disk.crash(() => true);
        const damaged = segmentOf(2);
        disk.damage(damaged, SEGMENT_DATA_AT + 2000, (byte) => byte ^ 1);
        disk.failNext(operation, new Error("power"), undefined, skip);
        try {
          new Fixture({ disk, segmentBytes: 16 * 1024 });
        } catch (error) {
          expect(String(error)).toContain("power");
        }
        const next = disk.crash((_, sector) => sector % survivor === 0);
        const { log } = new Fixture({ disk: next, segmentBytes: 16 * 1024 });
        const kept = contents(log);
        expect(log.recovering).toBe(true);
        expect(kept.length).toBeGreaterThan(5);
        expect(kept.length).toBeLessThan(20);
        expect(kept).toEqual(commands(1, kept.length, 2, 900));
        expect(log.hardState).toEqual(hardState);
      }
    }
  }
});

test("a flipped bit in the last batch is no tear, though it has sectors of zeros", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: TERM, entries: commands(1, 2, 1) });
  const before = endOfRecords(fixture.disk);
  fixture.write({ entries: [holey(3, 1)] });
  const end = endOfRecords(fixture.disk);
  for (let offset = before; offset < end; offset += 11) {
    const disk = fixture.disk.platter();
    disk.damage(FIRST, offset, (byte) => byte ^ 4);
    expectRecovering(disk, FIRST, commands(1, 2, 1));
  }
});

test("a zeroed sector in a closed batch is no tear", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: TERM, entries: [command(1, 1, 3000)] });
  fixture.write({ entries: [command(2, 1)] });
  const disk = fixture.disk.crash(() => true);
  const sector = SEGMENT_DATA_AT / SECTOR_BYTES + 2;
  for (let i = 0; i < SECTOR_BYTES; i++) disk.damage(FIRST, sector * SECTOR_BYTES + i, () => 0);
  expectRecovering(disk, FIRST, []);
});

test("a zeroed sector in the last batch is no tear once its close record is there", () => {
  for (const closed of [false, true]) {
    const fixture = new Fixture();
    fixture.write({ hardState: TERM, entries: [command(1, 1, 3000)] });
    if (closed) fixture.loop.pass(50);
    fixture.loop.settle();
    const disk = fixture.disk.crash(() => true);
    const at = SEGMENT_DATA_AT + SECTOR_BYTES;
    for (let i = 0; i < SECTOR_BYTES; i++) disk.damage(FIRST, at + i, () => 0);
    const { log } = new Fixture({ disk });
    expect([log.lastIndex, log.recovering]).toEqual([0, closed]);
  }
});

test("the only voter never gives up what only it holds", () => {
  const first: Entry = {
    type: "configuration",
    index: 1,
    term: 1,
    configuration: CONFIGURATION,
  };
  const damagedLog = (batches: readonly Partial<LogBatch>[]) => {
    const fixture = new Fixture();
    fixture.write({ hardState: TERM });
    for (const batch of batches) fixture.write(batch);
    const disk = fixture.disk.crash(() => true);
    disk.damage(FIRST, SEGMENT_DATA_AT + 180, (byte) => byte ^ 1);
    return disk;
  };
  const alone = damagedLog([{ entries: [first] }, { entries: [command(2, 1)] }]);
  expect(expectCorrupt(alone, FIRST)).toContain("the only voter");
  const error: Error & { hint?: string } = failure(() => new Fixture({ disk: alone }));
  expect(error.hint).toContain("dqlite recover --dir DIR --accept-data-loss");
  // What counts is the latest configuration, though it is among what is lost.
  const grown: Entry = {
    ...first,
    index: 2,
    configuration: {
      ...CONFIGURATION,
      voters: [7, 8],
      members: [...CONFIGURATION.members, { id: 8, address: "h:2", httpUrl: "http://h:2" }],
    },
  };
  expectRecovering(damagedLog([{ entries: [first] }, { entries: [grown] }]), FIRST, []);
  const shrunk = [{ entries: [first] }, { entries: [grown] }, { truncateFrom: 2 }];
  expectCorrupt(damagedLog(shrunk), FIRST);
});

test("damage and a damaged slot at once are refused: a vote may be lost", () => {
  for (const slot of ["state.a", "state.b"]) {
    const fixture = new Fixture();
    fixture.write({ hardState: { term: 1, votedFor: 7 }, entries: commands(1, 2, 1) });
    fixture.write({ entries: commands(3, 4, 1) });
    const disk = fixture.disk.crash(() => true);
    disk.damage(FIRST, SEGMENT_DATA_AT + 150, (byte) => byte ^ 1);
    disk.damage(`${FOLDER}/${slot}`, 50, (byte) => byte ^ 1);
    expect(expectCorrupt(disk, FIRST)).toContain("one slot damaged");
  }
});

test("a vote whose slot was written elsewhere is found behind the damage that this did", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: { term: 1, votedFor: 7 }, entries: commands(1, 2, 1, 300) });
  const slots = ["state.a", "state.b"].map((name) => `${FOLDER}/${name}`);
  const before = slots.map((path) => bytesOf(fixture.disk, path));
  fixture.write({ entries: commands(3, 4, 1, 300) });
  fixture.write({ hardState: { term: 2, votedFor: 9 } });
  const disk = fixture.disk.crash(() => true);
  // Whichever of the slots was written, holds what it held before.
  slots.forEach((path, at) => {
    bytesOf(disk, path).forEach((_, offset) => {
      disk.damage(path, offset, () => before[at]![offset]!);
    });
  });
  disk.damage(FIRST, SEGMENT_DATA_AT + 150, (byte) => byte ^ 1);
  expect(expectRecovering(disk, FIRST, []).log.hardState).toEqual({ term: 2, votedFor: 9 });
});

test("the configuration before a short log is found behind the damage, and kept", () => {
  for (const lost of [false, true]) {
    const fixture = new Fixture({ segmentBytes: 16 * 1024 });
    const configuration = {
      ...CONFIGURATION,
      voters: [7, 8],
      members: [...CONFIGURATION.members, { id: 8, address: "h:2", httpUrl: "http://h:2" }],
    };
    fixture.write({
      hardState: TERM,
      entries: [{ type: "configuration", index: 1, term: 1, configuration }],
    });
    for (let index = 2; index <= 30; index++) {
      fixture.write({ entries: commands(index, index, 2, 900) });
    }
    fixture.log.truncatePrefix(16);
    fixture.loop.settle();
    for (let i = 0; i < 30; i++) {
      fixture.loop.pass(100);
      fixture.loop.settle();
    }
    const { baseIndex } = fixture.log;
    expect(baseIndex).toBeGreaterThan(5);
    const disk = fixture.disk.crash(() => true);
    const [first] = disk.list(FOLDER).filter((name) => name.endsWith(".segment"));
    disk.damage(`${FOLDER}/${first}`, SEGMENT_DATA_AT + 2500, (byte) => byte ^ 1);
    if (lost) {
      // The base record is in the last segment that holds records.
      const last = disk.list(FOLDER).filter((name) => name.endsWith(".segment")).at(-2);
      for (let at = SEGMENT_DATA_AT; at < 16 * 1024; at += 7) {
        disk.damage(`${FOLDER}/${last}`, at, (byte) => byte ^ 255);
      }
      expect(expectCorrupt(disk, `${first}`)).toContain("base lost");
      continue;
    }
    const found = new Fixture({ disk, segmentBytes: 16 * 1024 });
    for (const { log } of [found, found.restart()]) {
      expect([log.recovering, log.baseIndex]).toEqual([true, baseIndex]);
      expect(log.baseConfiguration).toEqual(configuration);
      expect(log.lastIndex).toBeLessThan(30);
    }
  }
});

test("few bytes that nobody wrote are no batch, wherever they are", () => {
  for (const at of [0, 1, 7, 39, 40, 300, 20_000]) {
    const fixture = new Fixture();
    fixture.write({ hardState: TERM, entries: [command(1, 1)] });
    const end = endOfRecords(fixture.disk);
    const disk = fixture.disk.crash(() => true);
    disk.damage(FIRST, end + at, () => 0x1e);
    const { log } = new Fixture({ disk });
    expect([log.lastIndex, log.recovering]).toEqual([1, false]);
    expect(log.recovery.torn?.path).toBe(FIRST);
  }
});

test("a flipped bit in a segment that is not in use harms nothing", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: TERM, entries: [command(1, 1)] });
  for (const offset of [0, 100, 5000, SEGMENT_DATA_AT, 60_000]) {
    const disk = fixture.disk.platter();
    disk.damage(segmentOf(2), offset, () => 0x71);
    const { log } = new Fixture({ disk });
    expect([log.lastIndex, log.recovering]).toEqual([1, false]);
  }
});

test("the loss of the last segment is noticed, and that of one in the middle", () => {
  for (const lost of [1, 2, 3]) {
    const fixture = new Fixture();
    for (let index = 1; index <= 40; index++) {
      fixture.write({ hardState: TERM, entries: [command(index, 1, 4100)] });
    }
    const disk = fixture.disk.crash(() => true);
    const before = fixture.log.lastIndex;
    expect(disk.exists(segmentOf(3))).toBe(true);
    disk.remove(segmentOf(lost));
    disk.syncFolder(FOLDER);
    if (lost === 1) expectCorrupt(disk, segmentOf(1));
    else {
      const { log } = new Fixture({ disk });
      expect([log.recovering, log.recovery.givenUp?.path]).toEqual([true, segmentOf(lost)]);
      expect(log.lastIndex).toBeLessThan(before);
      expect(contents(log)).toEqual(commands(1, log.lastIndex, 1, 4100));
      expect(log.lastIndex).toBeGreaterThan(5);
    }
  }
});

test("a segment that became shorter is found", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: TERM, entries: commands(1, 3, 1) });
  const disk = fixture.disk.crash(() => true);
  const file = disk.open(FIRST, { create: false });
  file.truncate(30_000);
  file.close();
  const found = expectRecovering(disk, FIRST, commands(1, 3, 1));
  expect(givenUpAt(found)).toBe(30_000);
  expect(contents(found.restart().log)).toEqual(commands(1, 3, 1));
});

test("an unreadable sector is no end of the log, and what comes before it is kept", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: TERM, entries: commands(1, 3, 1) });
  const unreadable = (from: number, times: number) => {
    const disk = fixture.disk.platter();
    let left = times;
    disk.medium = {
      read: (path, offset, bytes) => {
        const isThere = offset <= from && from < offset + bytes.length;
        if (path === FIRST && isThere && left-- > 0) throw new Error("EIO");
        return bytes;
      },
      writes: () => true,
    };
    return disk;
  };
  // Nothing is given up for what can be read after all.
  expect(new Fixture({ disk: unreadable(SEGMENT_DATA_AT + 9, 1) }).log.recovering).toBe(false);
  expect(new Fixture({ disk: unreadable(SEGMENT_DATA_AT + 9, 2) }).log.recovering).toBe(false);
  const found = expectRecovering(unreadable(SEGMENT_DATA_AT + 9, Infinity), FIRST, []);
  expect(found.log.recovery.givenUp?.expected).toContain("EIO");
  const later = unreadable(3 * BLOCK_BYTES + 9, Infinity);
  expect(givenUpAt(expectRecovering(later, FIRST, commands(1, 3, 1)))).toBe(3 * BLOCK_BYTES);
  // One copy of the header is enough.
  const head = new Fixture({ disk: unreadable(9, 2) });
  expect([head.log.recovering, head.log.lastIndex]).toEqual([false, 3]);
});
