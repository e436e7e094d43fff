import { expect, test } from "bun:test";
import { SNAPSHOT_PIN_MS } from "../../lib/base/limits.ts";
import { boundaryIndex } from "../../lib/replica/batch_boundary.ts";
import { compactionIndex, compactLog } from "../../lib/replica/compaction.ts";
import { LogPins } from "../../lib/replica/log_pins.ts";
import { command, Fixture } from "../log/harness.ts";
import { FakeMachine } from "./fake_machine.ts";

const SIZE = 100;

/** Entries 1 to 20; the first byte of each tells which part of a batch it is. */
function filled(parts: Readonly<Record<number, number>> = {}, size = SIZE) {
  const fixture = new Fixture();
  for (let index = 1; index <= 20; index++) {
    const entry = command(index, 1, size);
    if (entry.type === "command") entry.payload[0] = parts[index] ?? 3;
    fixture.write({ entries: [index === 10 ? { type: "noop", index, term: 1 } : entry] });
  }
  const machine = new FakeMachine();
  const { log, loop: { clock } } = fixture;
  return { fixture, log, machine, pins: new LogPins(), clock };
}

test("a boundary lies before the batch in parts that an index is inside of", () => {
  const { log, machine } = filled({ 7: 1, 8: 0, 11: 2, 12: 1, 15: 1, 16: 2 });
  const boundaries = [6, 7, 8, 9, 10, 11, 12, 13, 15, 16].map((at) =>
    boundaryIndex(at, log, machine)
  );
  expect(boundaries).toEqual([6, 6, 6, 9, 10, 11, 11, 13, 14, 16]);
});

test("a batch whose leader is not in office any more is inside of nothing", () => {
  const { fixture, log, machine } = filled({ 19: 1, 20: 0 });
  expect(boundaryIndex(20, log, machine)).toBe(18);
  fixture.write({ entries: [{ type: "noop", index: 21, term: 2 }] });
  expect([20, 21].map((at) => boundaryIndex(at, log, machine))).toEqual([18, 21]);
});

test("only what a complete checkpoint holds may go, less a trailing part", () => {
  const { log, machine, pins, clock } = filled();
  const index = (entries: number, bytes = 1e6) =>
    compactionIndex({ log, machine, pins, clock, trailing: { entries, bytes } });
  expect(index(0)).toBe(0);
  machine.checkpointIndex = 15;
  machine.consistentIndex = 20;
  expect([index(0), index(4), index(30)]).toEqual([15, 11, 0]);
  // Five entries of a hundred bytes, and one without a payload.
  expect([index(30, 5 * SIZE), index(30, 5 * SIZE - 1)]).toEqual([9, 11]);
  machine.installing = true;
  expect(index(0)).toBe(0);
});

test("a checkpoint inside a batch in parts keeps all of its parts", () => {
  const { log, machine, pins, clock } = filled({ 13: 1, 14: 0, 15: 0, 16: 2 });
  machine.checkpointIndex = 15;
  const trailing = { entries: 0, bytes: 1e6 };
  expect(compactionIndex({ log, machine, pins, clock, trailing })).toBe(12);
});

test("a log never begins inside a batch in parts", () => {
  /** Compacts a log with one batch in parts; none stands for entries that are whole. */
  const compacted = (first?: number, last?: number) => {
    const parts: Record<number, number> = {};
    if (first !== undefined && last !== undefined) {
      for (let at = first + 1; at < last; at++) parts[at] = 0;
      Object.assign(parts, { [first]: 1, [last]: 2 });
    }
    const { log, machine, pins, clock } = filled(parts, 9_000);
    machine.checkpointIndex = 20;
    const raft = { commitIndex: 20, onCompacted: () => {} };
    const trailing = { entries: 0, bytes: 1e6 };
    const isShorter = compactLog({ raft, log, machine, pins, clock, trailing });
    return { isShorter, baseIndex: log.baseIndex };
  };
  const { baseIndex: third } = compacted();
  const { baseIndex: second } = compacted(third, third + 1);
  const { baseIndex: first } = compacted(second, third + 1);
  expect([first, second, third].every((index, at, all) => index > (all[at - 1] ?? 0))).toBe(true);
  expect(compacted(first, third + 1)).toEqual({ isShorter: false, baseIndex: 0 });
});

test("what is not durable here stays", () => {
  const { fixture, log, machine, pins, clock } = filled();
  log.append(
    { hardState: undefined, truncateFrom: undefined, entries: [command(21, 1)] },
    () => {},
  );
  machine.checkpointIndex = 21;
  const trailing = { entries: 0, bytes: 1e6 };
  expect(compactionIndex({ log, machine, pins, clock, trailing })).toBe(0);
  fixture.loop.settle();
  expect(compactionIndex({ log, machine, pins, clock, trailing })).toBe(21);
});

test("pins hold a compaction back until their time is over", () => {
  const { fixture, log, machine, pins, clock } = filled();
  machine.checkpointIndex = 20;
  const index = () =>
    compactionIndex({ log, machine, pins, clock, trailing: { entries: 0, bytes: 1e6 } });
  pins.pin(2, 8, clock.nowMs());
  pins.pin(3, 5, clock.nowMs());
  expect(index()).toBe(5);
  pins.pin(3, 12, clock.nowMs());
  expect(index()).toBe(8);
  fixture.loop.pass(SNAPSHOT_PIN_MS - 1);
  pins.renew(3, clock.nowMs());
  expect(index()).toBe(8);
  fixture.loop.pass(1);
  expect(index()).toBe(12);
  fixture.loop.pass(SNAPSHOT_PIN_MS);
  expect(index()).toBe(20);
});
