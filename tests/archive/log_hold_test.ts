import { expect, test } from "bun:test";
import { LogHold } from "../../lib/archive/log_hold.ts";

/** A log whose entry at `i` has `i` bytes. */
class FakeLog {
  baseIndex = 0;
  lastIndex = 0;
  space: "ok" | "low" = "ok";
  looked = 0;

  bodySizeBytes(index: number): number {
    this.looked++;
    if (index <= this.baseIndex || index > this.lastIndex) throw new Error(`no entry ${index}`);
    return index;
  }
}

test("what is not archived is kept, up to a bound", () => {
  const log = new FakeLog();
  const hold = new LogHold(log, 100);
  log.lastIndex = 10;
  expect(hold.keepAfter(0)).toBe(0);
  expect(hold.bytes).toBe(55);
  log.lastIndex = 14;
  expect(hold.keepAfter(0)).toBe(Infinity);
  expect(hold.isOver).toBe(true);
  // Once more is archived, the rest is kept again.
  expect(hold.keepAfter(10)).toBe(10);
  expect(hold.bytes).toBe(11 + 12 + 13 + 14);
  expect(hold.isOver).toBe(false);
  expect(hold.keepAfter(14)).toBe(14);
  expect(hold.bytes).toBe(0);
  // Beyond what this node holds itself.
  expect(hold.keepAfter(50)).toBe(50);
  expect(hold.bytes).toBe(0);
});

test("a full disk is not kept full for an archive", () => {
  const log = new FakeLog();
  const hold = new LogHold(log, 100);
  log.lastIndex = 3;
  log.space = "low";
  expect(hold.keepAfter(0)).toBe(Infinity);
  expect(hold.keepAfter(3)).toBe(3);
  log.space = "ok";
  expect(hold.keepAfter(0)).toBe(0);
});

test("a log that was cut, behind or before what is kept, is counted anew", () => {
  const log = new FakeLog();
  const hold = new LogHold(log, 1_000);
  log.lastIndex = 20;
  expect(hold.keepAfter(5)).toBe(5);
  log.baseIndex = 10;
  expect(hold.keepAfter(5)).toBe(10);
  expect(hold.bytes).toBe(155);
  log.lastIndex = 12;
  expect(hold.keepAfter(5)).toBe(10);
  expect(hold.bytes).toBe(11 + 12);
});

test("each entry is looked at twice, however often it is asked", () => {
  const log = new FakeLog();
  const hold = new LogHold(log, Infinity);
  for (log.lastIndex = 1; log.lastIndex <= 500; log.lastIndex++) {
    hold.keepAfter(Math.max(0, log.lastIndex - 100));
  }
  expect(log.looked).toBeLessThan(1_000);
});
