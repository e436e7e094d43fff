import { expect, test } from "bun:test";
import { crc32c } from "../../lib/base/crc32c.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { SECTOR_BYTES } from "../../lib/io/disk_memory_content.ts";
import type { LogBatch } from "../../lib/log/types.ts";
import { BLOCK_BYTES, SEGMENT_DATA_AT } from "../../lib/wire/segment_header.ts";
import { expectCorrupt } from "./corrupt.ts";
import {
  CLUSTER,
  command,
  commands,
  contents,
  failure,
  Fixture,
  FOLDER,
  fullBatch,
  holey,
  segmentOf,
} from "./harness.ts";

const FIRST = segmentOf(1);

/** A log with `batches`, the last of which was being written when the disk crashed. */
function interrupted(
  batches: readonly Partial<LogBatch>[],
  survives: (path: string, sector: number) => boolean,
): MemoryDisk {
  const fixture = new Fixture();
  for (const batch of batches.slice(0, -1)) fixture.write(batch);
  fixture.log.append(fullBatch(batches.at(-1)!), () => {
    throw new Error("acknowledged too early");
  });
  fixture.loop.turn();
  return fixture.disk.crash(survives);
}

test("a batch torn in any mixture of sectors is there whole or not at all", () => {
  const first = commands(1, 2, 1, 700);
  const sectorOf = (path: string, sector: number) => path === FIRST ? sector : -1;
  const sectors = new Set<number>();
  interrupted([{ entries: first }, { entries: [holey(3, 1)] }], (path, sector) => {
    if (sectorOf(path, sector) >= 0) sectors.add(sector);
    return true;
  });
  const order = [...sectors];
  expect(order.length).toBeGreaterThanOrEqual(9);
  let cut = 0;
  let whole = 0;
  for (let mask = 0; mask < 1 << order.length; mask++) {
    const disk = interrupted([{ entries: first }, { entries: [holey(3, 1)] }], (path, sector) => {
      const bit = order.indexOf(sectorOf(path, sector));
      return bit === -1 || (mask & (1 << bit)) !== 0;
    });
    const { log } = new Fixture({ disk });
    const entries = contents(log);
    if (entries.length === 3) whole++;
    if (log.recovery.torn !== undefined) cut++;
    expect(entries).toEqual(entries.length === 3 ? [...first, holey(3, 1)] : first);
    if (mask === (1 << order.length) - 1) expect(entries.length).toBe(3);
    if (mask === 0) expect([entries.length, log.recovery.torn]).toEqual([2, undefined]);
  }
  // Lost sectors that hold only zeros are not missed.
  expect(whole).toBe(2 ** 6);
  expect(cut).toBeGreaterThan(300);
});

test("a log goes on behind a torn batch, again and again", () => {
  let disk = interrupted([{ entries: [command(1, 1)] }, { entries: commands(2, 9, 1, 900) }], (
    path,
    sector,
  ) => path !== FIRST || sector % 3 === 0);
  for (let round = 2; round < 6; round++) {
    const fixture = new Fixture({ disk });
    expect(fixture.log.recovery.torn?.path).toBeDefined();
    expect(fixture.log.lastIndex).toBe(round - 1);
    fixture.write({ entries: [command(round, round)] });
    fixture.log.append(fullBatch({ entries: commands(round + 1, round + 9, 9, 900) }), () => {});
    fixture.loop.turn();
    disk = fixture.disk.crash((_, sector) => sector % 3 === 0);
  }
  const { log } = new Fixture({ disk });
  expect(contents(log)).toEqual([1, 2, 3, 4, 5].map((index) => command(index, index)));
});

test("term and vote are never older than the entries written with them", () => {
  const random = new SeededRandom(5);
  const hardState = { term: 4, votedFor: 3 };
  for (let round = 0; round < 200; round++) {
    const disk = interrupted(
      [{ hardState: { term: 3, votedFor: 2 }, entries: [command(1, 3)] }, {
        hardState,
        entries: commands(2, 3, 4, 900),
      }],
      () => random.next() % 2 === 0,
    );
    const { log } = new Fixture({ disk });
    expect([3, 4]).toContain(log.hardState.term);
    if (log.lastIndex === 3) expect(log.hardState).toEqual(hardState);
    else expect(log.lastIndex).toBe(1);
  }
});

test("bytes behind the end that nobody wrote are found", () => {
  const fixture = new Fixture();
  fixture.write({ entries: [command(1, 1)] });
  fixture.close();
  const disk = fixture.disk.crash(() => true);
  disk.damage(FIRST, 40_000, () => 1);
  // The sector of the expected batch is all zeros, as after a tear, so the space is left unused.
  const { log } = new Fixture({ disk });
  expect(contents(log)).toEqual([command(1, 1)]);
  expect(log.recovery.torn?.path).toBe(FIRST);
});

test("one damaged copy of a segment's header is mended from the other, two are not", () => {
  const fixture = new Fixture();
  fixture.write({ entries: [command(1, 1)] });
  const disk = fixture.disk.crash(() => true);
  disk.damage(FIRST, 20, (byte) => byte ^ 1);
  const restarted = new Fixture({ disk });
  expect(restarted.log.lastIndex).toBe(1);
  const twice = restarted.disk.crash(() => true);
  twice.damage(FIRST, BLOCK_BYTES + 20, (byte) => byte ^ 1);
  const mended = new Fixture({ disk: twice });
  expect(mended.log.lastIndex).toBe(1);
  const both = mended.disk.crash(() => true);
  for (const copy of [0, BLOCK_BYTES]) both.damage(FIRST, copy + 20, (byte) => byte ^ 1);
  expect(expectCorrupt(both, FIRST)).toContain("start of the log missing");
});

test("one damaged slot of the hard state is repaired, two are refused", () => {
  for (const slot of ["state.a", "state.b"]) {
    const fixture = new Fixture();
    fixture.write({ hardState: { term: 1, votedFor: undefined } });
    fixture.write({ hardState: { term: 1, votedFor: 5 } });
    const disk = fixture.disk.crash(() => true);
    disk.damage(`${FOLDER}/${slot}`, 50, (byte) => byte ^ 1);
    const mended = new Fixture({ disk });
    expect(mended.log.hardState).toEqual({ term: 1, votedFor: 5 });
    expect(mended.log.recovery.slotRepaired).toBe(true);
    const after = mended.restart();
    expect(after.log.recovery.slotRepaired).toBe(false);
    const both = after.disk.crash(() => true);
    for (const name of ["state.a", "state.b"]) both.damage(`${FOLDER}/${name}`, 50, (b) => b ^ 1);
    expectCorrupt(both, "state.a and state.b");
  }
});

test("of two valid slots that differ the newer counts, even when the stream knows less", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: { term: 1, votedFor: 2 } });
  fixture.log.append(fullBatch({ hardState: { term: 6, votedFor: 3 } }), () => {});
  fixture.loop.turn();
  // The slot reached the disk, the batch did not.
  const disk = fixture.disk.crash((path) => path.includes("state."));
  expect(new Fixture({ disk }).log.hardState).toEqual({ term: 6, votedFor: 3 });
});

test("what a read returned wrongly once is not there at the next start", () => {
  for (let skip = 0; skip < 12; skip++) {
    const fixture = new Fixture();
    fixture.write({ hardState: { term: 1, votedFor: 7 }, entries: commands(1, 3, 1) });
    const before = contents(fixture.log);
    let disk = fixture.disk.crash(() => true);
    let reads = 0;
    disk.medium = {
      // Somewhere in the last batch, or in what is read of other files.
      read: (_path, _offset, bytes) => {
        const at = bytes.findLastIndex((byte) => byte !== 0);
        if (reads++ === skip && at >= 0) bytes[at] = bytes[at]! ^ 1;
        return bytes;
      },
      writes: () => true,
    };
    try {
      new Fixture({ disk });
    } catch (error) {
      expect(error).toMatchObject({ code: "CORRUPT" });
    }
    disk = disk.crash(() => true);
    expect(contents(new Fixture({ disk }).log)).toEqual(before);
  }
});

test("the log of another node or cluster is refused", () => {
  const fixture = new Fixture();
  fixture.write({ entries: [command(1, 1)] });
  const changes = [{ nodeId: 8 }, { clusterId: CLUSTER.replace("0", "1") }];
  for (const change of changes) {
    const disk = fixture.disk.crash(() => true);
    const error = failure(() => new Fixture({ ...change, disk }));
    expect(error.code).toBe("DATA_FOLDER");
    expect(error.message).toContain(`node 7 of cluster ${CLUSTER}`);
  }
});

test("a log of a newer format is refused by name", () => {
  const fixture = new Fixture();
  const disk = fixture.disk.crash(() => true);
  const file = disk.open(`${FOLDER}/state.a`, { create: false });
  const block = file.read(0, BLOCK_BYTES);
  const view = new DataView(block.buffer);
  view.setUint32(4, 2, true);
  const length = view.getUint32(8, true);
  view.setUint32(length, crc32c(block, 0, length), true);
  file.write(0, block);
  file.close();
  const error = failure(() => new Fixture({ disk }));
  expect([error.code, error.message.includes("newer format")]).toEqual(["DATA_FOLDER", true]);
});

test("a start that is cut short anywhere is repeated without loss", () => {
  const operations = ["open", "write", "sync", "syncFolder", "remove"];
  for (const operation of operations) {
    for (let skip = 0; skip < 12; skip++) {
      const fresh = new Fixture();
      fresh.write({ hardState: { term: 2, votedFor: 1 }, entries: commands(1, 3, 2, 800) });
      const disk = fresh.disk.crash((_, sector) => sector % 2 === 0);
      disk.failNext(operation, new Error("power"), undefined, skip);
      try {
        new Fixture({ disk });
      } catch (error) {
        expect(String(error)).toContain("power");
      }
      const { log } = new Fixture({ disk: disk.crash((_, sector) => sector % 3 === 0) });
      expect(contents(log)).toEqual(commands(1, 3, 2, 800));
      expect(log.hardState).toEqual({ term: 2, votedFor: 1 });
    }
  }
});

test("what a start has found stays found: a power cut right after it takes nothing back", () => {
  for (const failing of [false, true]) {
    const fixture = new Fixture();
    fixture.write({ entries: commands(1, 2, 1, 700) });
    // The process ends in the middle of a write, or of one that failed; the cache holds it all.
    if (failing) fixture.disk.failNext("log batch", new Error("EIO"));
    fixture.log.append(fullBatch({ entries: commands(3, 4, 1, 700) }), () => {});
    if (failing) fixture.loop.settle();
    else fixture.loop.turn();
    const second = new Fixture({ disk: fixture.disk.endProcess() });
    expect(contents(second.log)).toEqual(commands(1, 4, 1, 700));
    expect(contents(second.restart().log)).toEqual(commands(1, 4, 1, 700));
  }
});

test("a close record that only the cache holds is written again before the log goes on", () => {
  // The close record begins at the end of a sector, for one of these sizes, and ends in the next.
  for (let size = 100; size < 100 + SECTOR_BYTES; size += 8) {
    const fixture = new Fixture();
    fixture.write({ entries: commands(1, 1, 1, size) });
    fixture.disk.failNext("log close", new Error("EIO"));
    fixture.loop.pass(100);
    fixture.loop.settle();
    expect(fixture.fatal.length).toBe(1);
    const second = new Fixture({ disk: fixture.disk.endProcess() });
    second.write({ entries: commands(2, 2, 1, 100) });
    expect(contents(second.restart().log).length).toBe(2);
  }
});

test("a segment's header that only the cache holds is written again before the log goes on", () => {
  const fixture = new Fixture();
  fixture.disk.failNext("segment header", new Error("EIO"));
  for (let index = 1; fixture.fatal.length === 0; index++) {
    fixture.log.append(fullBatch({ entries: commands(index, index, 1, 9000) }), () => {});
    fixture.loop.settle();
  }
  const second = new Fixture({ disk: fixture.disk.endProcess() });
  const { lastIndex } = second.log;
  second.write({ entries: commands(lastIndex + 1, lastIndex + 1, 1, 9000) });
  expect(contents(second.restart().log).length).toBe(lastIndex + 1);
});

test("what lies before a torn batch is durable once the log goes on behind it", () => {
  const fixture = new Fixture();
  fixture.write({ entries: commands(1, 2, 1, 700) });
  fixture.disk.failNext("log batch", new Error("EIO"));
  fixture.log.append(fullBatch({ entries: commands(3, 4, 1, 700) }), () => {});
  fixture.loop.settle();
  const disk = fixture.disk.endProcess();
  // Behind the batch that only the cache holds, a torn one.
  const file = disk.open(FIRST, { create: false });
  file.write(file.size() - SECTOR_BYTES, new Uint8Array(9).fill(1));
  file.close();
  const second = new Fixture({ disk });
  expect(second.log.recovery.torn?.path).toBe(FIRST);
  expect(contents(second.log)).toEqual(commands(1, 4, 1, 700));
  expect(contents(second.restart().log)).toEqual(commands(1, 4, 1, 700));
});

test("a damaged entry is refused when it is read back, not passed on", () => {
  const fixture = new Fixture({ cacheBytesMax: 1 });
  fixture.write({ entries: commands(1, 3, 1, 500) });
  fixture.write({ entries: commands(4, 4, 1, 500) });
  const bytes = fixture.disk.open(FIRST, { create: false }).read(SEGMENT_DATA_AT, 400);
  const at = bytes.indexOf(1 + (31 + 17) % 255, 100);
  fixture.disk.damage(FIRST, SEGMENT_DATA_AT + at, (byte) => byte ^ 1);
  const error = failure(() => fixture.log.entries(1, 2, 10_000));
  expect([error.code, error.message.includes(FIRST)]).toEqual(["CORRUPT", true]);
  expect(fixture.log.entries(2, 4, 10_000)).toEqual(commands(2, 4, 1, 500));
});
