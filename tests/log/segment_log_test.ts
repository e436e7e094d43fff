import { expect, test } from "bun:test";
import { LOG_BATCH_BYTES_MAX } from "../../lib/base/limits.ts";
import { SEGMENT_DATA_AT } from "../../lib/wire/segment_header.ts";
import {
  command,
  commands,
  CONFIGURATION,
  contents,
  failure,
  Fixture,
  FOLDER,
  fullBatch,
  SEGMENT,
} from "./harness.ts";

test("a new log is empty, in term 0, and nobody has its vote", () => {
  const { log } = new Fixture();
  expect([log.firstIndex, log.lastIndex, log.durableIndex]).toEqual([1, 0, 0]);
  expect(log.hardState).toEqual({ term: 0, votedFor: undefined });
  expect(log.termAt(0)).toBeUndefined();
  expect(log.termAt(1)).toBeUndefined();
});

test("an entry can be read before it is durable, and is durable only with its callback", () => {
  const { log, loop } = new Fixture();
  const calls: number[] = [];
  log.append(fullBatch({ entries: commands(1, 2, 1) }), () => calls.push(1));
  expect(log.lastIndex).toBe(2);
  expect(contents(log)).toEqual(commands(1, 2, 1));
  loop.turn();
  expect([log.durableIndex, calls.length, loop.completions.length]).toEqual([0, 0, 1]);
  loop.complete();
  expect([log.durableIndex, calls.length]).toEqual([2, 1]);
});

test("what arrives while a write is under way shares the next one, in order", () => {
  const { log, loop } = new Fixture();
  const calls: string[] = [];
  log.append(fullBatch({ entries: commands(1, 1, 1) }), () => calls.push("a"));
  loop.turn();
  log.append(fullBatch({ entries: commands(2, 3, 1) }), () => calls.push("b"));
  log.append(fullBatch({}), () => calls.push("empty"));
  log.append(fullBatch({ entries: commands(4, 4, 1) }), () => calls.push("c"));
  loop.turn();
  expect(loop.completions.length).toBe(1);
  loop.complete();
  expect(calls).toEqual(["a"]);
  expect(loop.completions.length).toBe(1);
  loop.complete();
  expect(calls).toEqual(["a", "b", "empty", "c"]);
  expect(loop.completions.length).toBe(0);
});

test("appends of one turn share one write, which does not begin before the turn ends", () => {
  const { log, loop } = new Fixture();
  const calls: string[] = [];
  log.append(fullBatch({ entries: commands(1, 1, 1) }), () => calls.push("a"));
  log.append(fullBatch({ entries: commands(2, 2, 1) }), () => calls.push("b"));
  expect(loop.completions.length).toBe(0);
  loop.complete();
  expect(calls).toEqual(["a", "b"]);
});

test("an empty batch calls back on its own, later", () => {
  const { log, loop } = new Fixture();
  let called = false;
  log.append(fullBatch({}), () => called = true);
  expect(called).toBe(false);
  loop.turn();
  expect(called).toBe(true);
});

test("every type of entry, term, vote and configuration are there after a restart", () => {
  const before = new Fixture();
  const entries = [
    { type: "noop", index: 1, term: 2 } as const,
    { type: "configuration", index: 2, term: 2, configuration: CONFIGURATION } as const,
    command(3, 2, 5000),
    command(4, 3, 0),
    command(5, 3, 13),
  ];
  before.write({ hardState: { term: 3, votedFor: 9 }, entries });
  const { log } = before.restart();
  expect(contents(log)).toEqual(entries);
  expect(log.hardState).toEqual({ term: 3, votedFor: 9 });
  expect([0, 1, 2, 3, 4, 5, 6].map((index) => log.termAt(index))).toEqual(
    [undefined, 2, 2, 2, 3, 3, undefined],
  );
  const visited: unknown[] = [];
  log.forEach((...entry) => visited.push(entry));
  expect(visited.map((entry) => (entry as unknown[]).slice(0, 2))).toEqual(
    [[1, 2], [2, 2], [3, 2], [4, 3], [5, 3]],
  );
  expect((visited[1] as unknown[])[3]).toEqual(CONFIGURATION);
  expect((visited[2] as unknown[]).slice(2)).toEqual([5000, undefined]);
});

test("a log goes on after a restart where it stopped, however it was stopped", () => {
  let fixture = new Fixture();
  for (let start = 0; start < 6; start++) {
    fixture.write({ entries: commands(start * 2 + 1, start * 2 + 2, start + 1) });
    if (start % 2 === 0) fixture.close();
    fixture = fixture.restart();
    expect(fixture.log.lastIndex).toBe(start * 2 + 2);
  }
  const expected = [1, 2, 3, 4, 5, 6].flatMap((term) => commands(term * 2 - 1, term * 2, term));
  expect(contents(fixture.log)).toEqual(expected);
});

test("the log rolls over many segments and reads from all of them", () => {
  const before = new Fixture({ cacheBytesMax: 1 });
  for (let index = 1; index <= 100; index++) before.write({ entries: [command(index, 1, 4100)] });
  expect(before.disk.list(FOLDER).length).toBeGreaterThan(8);
  expect(contents(before.log)).toEqual(commands(1, 100, 1, 4100));
  const after = before.restart();
  expect(contents(after.log)).toEqual(commands(1, 100, 1, 4100));
  expect(after.log.last).toEqual(before.log.last);
});

test("an append larger than a segment is spread over several, and acknowledged once", () => {
  const fixture = new Fixture();
  const entries = commands(1, 60, 4, 3000);
  let calls = 0;
  fixture.log.append(fullBatch({ entries }), () => calls++);
  fixture.loop.complete();
  expect([calls, fixture.log.durableIndex]).toEqual([0, 0]);
  fixture.loop.settle();
  expect([calls, fixture.log.durableIndex]).toEqual([1, 60]);
  expect(contents(fixture.restart().log)).toEqual(entries);
});

test("an entry of the largest size fits a segment of the usual size", () => {
  const fixture = new Fixture({ segmentBytes: 2 * LOG_BATCH_BYTES_MAX });
  fixture.write({ entries: [command(1, 1, 4 * 1024 * 1024)] });
  expect(contents(fixture.restart().log)[0]?.index).toBe(1);
});

test("truncated entries are gone at once and after a restart, across segments too", () => {
  const before = new Fixture({ cacheBytesMax: 1 });
  for (let index = 1; index <= 40; index++) before.write({ entries: [command(index, 1, 4100)] });
  before.write({ truncateFrom: 5, entries: commands(5, 6, 2) });
  const expected = [...commands(1, 4, 1, 4100), ...commands(5, 6, 2)];
  expect(before.log.lastIndex).toBe(6);
  expect(contents(before.log)).toEqual(expected);
  const after = before.restart();
  expect(contents(after.log)).toEqual(expected);
  after.write({ truncateFrom: 6, entries: [] });
  expect(contents(after.restart().log)).toEqual(expected.slice(0, 5));
});

test("an entry that was replaced while it waited is not read from the old one's place", () => {
  const fixture = new Fixture({ cacheBytesMax: 1 });
  const { log, loop } = fixture;
  const durable: number[] = [];
  log.append(fullBatch({ entries: commands(1, 3, 1) }), () => durable.push(log.durableIndex));
  loop.turn();
  log.append(fullBatch({ truncateFrom: 2, entries: commands(2, 2, 2) }), () => {
    durable.push(log.durableIndex);
  });
  log.append(fullBatch({ truncateFrom: 2, entries: commands(2, 5, 3) }), () => {
    durable.push(log.durableIndex);
  });
  loop.settle();
  // The first write made three entries durable, two of which were gone by then.
  expect(durable).toEqual([1, 1, 5]);
  const expected = [command(1, 1), ...commands(2, 5, 3)];
  expect(contents(log)).toEqual(expected);
  expect(contents(fixture.restart().log)).toEqual(expected);
});

test("a reader gets as many entries as fit, and at least one", () => {
  const fixture = new Fixture();
  fixture.write({ entries: commands(1, 10, 1, 1000) });
  const count = (bytesMax: number) => fixture.log.entries(1, 10, bytesMax)?.length;
  expect([count(1), count(1000), count(2999), count(3000), count(99_999)])
    .toEqual([1, 1, 2, 3, 10]);
  expect(fixture.log.entries(5, 11, 1000)).toBeUndefined();
  expect(fixture.log.entries(0, 1, 1000)).toBeUndefined();
});

test("equal histories have equal chains, and one different entry changes all that follow", () => {
  const one = new Fixture();
  const other = new Fixture();
  one.write({ hardState: { term: 1, votedFor: 1 }, entries: commands(1, 5, 1) });
  for (let i = 1; i <= 5; i++) other.write({ entries: [command(i, 1)] });
  expect(one.log.pointAt(5)).toEqual(other.log.pointAt(5));
  other.write({ truncateFrom: 3, entries: [command(3, 2), ...commands(4, 5, 2)] });
  expect(one.log.pointAt(2)).toEqual(other.log.pointAt(2));
  expect(one.log.pointAt(5)?.chain).not.toEqual(other.log.pointAt(5)?.chain);
});

test("an idle log closes its last batch by a record of its own, once", () => {
  const fixture = new Fixture();
  const { loop } = fixture;
  fixture.write({ entries: [command(1, 1)] });
  loop.pass(29);
  expect(loop.completions.length).toBe(0);
  loop.pass(1);
  expect(loop.completions.length).toBe(1);
  loop.settle();
  loop.pass(1000);
  expect(loop.completions.length).toBe(0);
  fixture.write({ entries: [command(2, 1)] });
  expect(contents(fixture.restart().log)).toEqual(commands(1, 2, 1));
});

test("a failed write is fatal once: no acknowledgement, no retry, nothing accepted", () => {
  for (const operation of ["log batch", "hard state"]) {
    const fixture = new Fixture();
    fixture.write({ entries: [command(1, 1)] });
    fixture.disk.failNext(operation, new Error("EIO"));
    let calls = 0;
    const hardState = { term: 2, votedFor: 1 };
    fixture.log.append(fullBatch({ hardState, entries: [command(2, 1)] }), () => calls++);
    fixture.log.append(fullBatch({ entries: [command(3, 1)] }), () => calls++);
    fixture.loop.settle();
    fixture.log.append(fullBatch({ entries: [] }), () => calls++);
    fixture.loop.settle();
    expect(calls).toBe(0);
    expect(fixture.fatal.map((error) => error.code)).toEqual(["DISK"]);
    expect(fixture.fatal[0]!.message).toContain("EIO");
    expect(fixture.log.durableIndex).toBe(1);
    fixture.close();
  }
});

test("a failure while the next segment is made is fatal, and the log can still be closed", () => {
  for (const operation of ["prepare segment", "segment header", "active segment"]) {
    const fixture = new Fixture();
    fixture.disk.failNext(operation, new Error("ENOSPC"));
    let calls = 0;
    const entries = commands(1, 60, 1, 3000);
    fixture.log.append(fullBatch({ entries }), () => calls++);
    fixture.loop.settle();
    expect([operation, calls, fixture.fatal.length]).toEqual([operation, 0, 1]);
    fixture.close();
    expect(fixture.restart().log.lastIndex).toBeLessThan(60);
  }
});

test("closing waits for what was accepted", () => {
  const fixture = new Fixture();
  const calls: string[] = [];
  fixture.log.append(fullBatch({ entries: [command(1, 1)] }), () => calls.push("durable"));
  fixture.log.close(() => calls.push("closed"));
  fixture.loop.settle();
  expect(calls).toEqual(["durable", "closed"]);
  expect(contents(fixture.restart().log)).toEqual([command(1, 1)]);
});

test("a log that must exist is not made anew", () => {
  const error = failure(() => new Fixture({ create: false }));
  expect(error.code).toBe("DATA_FOLDER");
});

test("the term never goes back and a vote is never changed", () => {
  const { log } = new Fixture();
  log.append(fullBatch({ hardState: { term: 2, votedFor: 1 } }), () => {});
  for (const hardState of [{ term: 1, votedFor: 1 }, { term: 2, votedFor: 3 }]) {
    const error = failure(() => log.append(fullBatch({ hardState }), () => {}));
    expect(error.name).toBe("AssertionError");
  }
});

test("a batch never leaves the segment, and a roll leaves no gap in the history", () => {
  const fixture = new Fixture();
  // Sizes that end everywhere near the end of a segment.
  let index = 0;
  for (let size = 1; size < 400; size += 7) {
    fixture.write({ entries: [command(++index, 1, size * 41)] });
  }
  const { log } = fixture.restart();
  expect(log.lastIndex).toBe(index);
  expect(SEGMENT_DATA_AT).toBeLessThan(SEGMENT);
});
