import { expect, test } from "bun:test";
import type { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { inspectLog, type LogReport } from "../../lib/log/inspect.ts";
import { SLOT_NAMES } from "../../lib/log/slots.ts";
import {
  BLOCK_BYTES,
  decodeSlot,
  encodeSlot,
  SEGMENT_DATA_AT,
} from "../../lib/wire/segment_header.ts";
import { CLUSTER, command, commands, Fixture, FOLDER, fullBatch, segmentOf } from "./harness.ts";

const OWNER = { clusterId: CLUSTER, nodeId: 7 };
const SIZE = 9_000;

/** Entries 1 to 20 over several segments, each in a batch of its own. */
function filled(): Fixture {
  const fixture = new Fixture();
  fixture.write({ hardState: { term: 1, votedFor: 7 } });
  for (let index = 1; index <= 20; index++) {
    fixture.write({ entries: [command(index, 1 + Math.floor(index / 10), SIZE)] });
  }
  return fixture;
}

function inspect(disk: MemoryDisk): LogReport {
  const report = inspectLog(disk, FOLDER, OWNER);
  report.files.close();
  return report;
}

function states(report: LogReport): string {
  return report.segments.map((segment) => segment.state).join(" ");
}

function ranges(report: LogReport): string {
  return report.tables.map((table) => `${table.firstIndex}-${table.lastIndex}`).join(" ");
}

/** Changes a bit in the body of each entry; returns where their records begin. */
function rot(disk: MemoryDisk, ...indexes: number[]): number[] {
  const [table] = inspect(disk).tables;
  return indexes.map((index) => {
    const { segment, offset } = table!.position(index);
    disk.damage(segmentOf(segment), offset + 1_000, (byte) => byte ^ 1);
    return offset;
  });
}

/** `inspect` on a damaged copy must tell of the damage and of nothing else. */
function expectProblem(disk: MemoryDisk, path: string, expected: string): LogReport {
  const report = inspect(disk);
  expect(report.problems.map((problem) => problem.path)).toEqual([path]);
  expect(report.problems[0]!.expected).toContain(expected);
  return report;
}

test("a sound log has no problems, and every part of it is told", () => {
  const fixture = filled();
  fixture.close();
  const report = inspect(fixture.disk);
  expect(report.problems).toEqual([]);
  expect(report.hardState).toEqual({ term: 1, votedFor: 7 });
  expect(states(report)).toBe("closed closed closed closed unused");
  expect(ranges(report)).toBe("1-20");
  expect(report.tables[0]!.last).toEqual(fixture.log.last);
});

test("a log that is written is open, one whose last write was cut off is torn", () => {
  const fixture = filled();
  expect(states(inspect(fixture.disk))).toBe("closed closed closed open unused");
  fixture.log.append(fullBatch({ entries: commands(21, 22, 3, 600) }), () => {});
  fixture.loop.turn();
  const torn = inspect(fixture.disk.crash((_, sector) => sector % 2 === 0));
  expect([states(torn), torn.problems]).toEqual(["closed closed closed torn unused", []]);
  expect(ranges(torn)).toBe("1-20");
});

test("files that are not needed any more are told apart", () => {
  const fixture = filled();
  fixture.log.truncatePrefix(20);
  fixture.loop.settle();
  const report = inspect(fixture.disk);
  expect([states(report), report.problems]).toEqual(["obsolete obsolete obsolete open unused", []]);
  expect(ranges(report)).toBe(`${fixture.log.firstIndex}-20`);
});

test("what lies behind damage is read all the same", () => {
  const fixture = filled();
  fixture.close();
  const [offset] = rot(fixture.disk, 9);
  // The first batch holds term and vote.
  const report = expectProblem(fixture.disk, segmentOf(2), "the body of record 1 of batch 10");
  expect(report.problems[0]!.offset).toBe(offset!);
  expect(states(report)).toBe("closed damaged closed closed unused");
  expect(ranges(report)).toBe("1-8 10-20");
});

test("every damaged batch is told, not only the first", () => {
  const fixture = filled();
  fixture.close();
  const { disk } = fixture;
  const offsets = rot(disk, 8, 10, 13, 20);
  const report = inspect(fixture.disk);
  expect(report.problems.map(({ offset }) => offset)).toEqual(offsets);
  expect(ranges(report)).toBe("1-7 9-9 11-12 14-19");
});

test("any flipped bit of a log at rest is told, with file and offset", () => {
  const fixture = new Fixture();
  fixture.write({ hardState: { term: 1, votedFor: 7 }, entries: [command(1, 1, 61)] });
  fixture.write({ entries: [command(2, 1, 300), { type: "noop", index: 3, term: 1 }] });
  fixture.write({ truncateFrom: 3, entries: [command(3, 2, 33)] });
  fixture.close();
  const { end } = inspect(fixture.disk).segments[0]!;
  expect(end).toBeGreaterThan(SEGMENT_DATA_AT + 600);
  for (let offset = SEGMENT_DATA_AT; offset < end; offset++) {
    const disk = fixture.disk.platter();
    disk.damage(segmentOf(1), offset, (byte) => byte ^ (1 << offset % 8));
    const { problems } = inspect(disk);
    expect([offset, problems[0]?.path]).toEqual([offset, segmentOf(1)]);
    expect(problems[0]!.offset).toBeLessThanOrEqual(offset);
  }
});

test("a missing segment, a lost header, a short file and a damaged slot are told", () => {
  const changes: [string, string, (disk: MemoryDisk) => void][] = [
    [segmentOf(2), "a segment, as the next one names it", (disk) => disk.remove(segmentOf(2))],
    [segmentOf(1), "the first segment", (disk) => disk.remove(segmentOf(1))],
    [segmentOf(4), "the last segment", (disk) => disk.remove(segmentOf(4))],
    [segmentOf(3), "the header of a segment", (disk) => {
      for (const at of [40, 4136]) disk.damage(segmentOf(3), at, (byte) => byte ^ 1);
    }],
    [segmentOf(3), "65536 bytes", (disk) => {
      const file = disk.open(segmentOf(3), { create: false });
      file.truncate(30_000);
      file.close();
    }],
    [
      `${FOLDER}/state.a`,
      "a valid hard state",
      (disk) => disk.damage(`${FOLDER}/state.a`, 60, (byte) => byte ^ 1),
    ],
    [`${FOLDER}/state.b`, "it is absent", (disk) => disk.remove(`${FOLDER}/state.b`)],
  ];
  const fixture = filled();
  fixture.close();
  for (const [path, expected, change] of changes) {
    const disk = fixture.disk.platter();
    change(disk);
    expectProblem(disk, path, expected);
  }
});

test("files of another node are told", () => {
  const fixture = filled();
  fixture.close();
  const report = inspectLog(fixture.disk, FOLDER, { ...OWNER, nodeId: 8 });
  expect(report.problems.length).toBe(6);
  expect(report.problems[0]).toEqual({
    path: `${FOLDER}/state.a`,
    offset: 16,
    expected: `node 8 of cluster ${CLUSTER}, not node 7 of cluster ${CLUSTER}`,
  });
});

test("a short log without the configuration before it is told", () => {
  const fixture = filled();
  fixture.close();
  for (const name of SLOT_NAMES) {
    const file = fixture.disk.open(`${FOLDER}/${name}`, { create: false });
    const slot = decodeSlot(file.read(0, BLOCK_BYTES));
    if (typeof slot === "string") throw new Error(slot);
    file.write(0, encodeSlot({ ...slot, firstSegment: 3 }));
    file.close();
  }
  expectProblem(fixture.disk, segmentOf(3), "the configuration at entry 12");
});
