import { expect, test } from "bun:test";
import { HEALED_AGAIN_MS_MIN } from "../../lib/base/limits.ts";
import { Healing, type HealingOptions } from "../../lib/integrity/healing.ts";
import { ManualClock } from "../session/manual_clock.ts";
import { Lines } from "../node/lines.ts";

function healing(options: Partial<HealingOptions> = {}) {
  const clock = new ManualClock();
  const log = new Lines();
  const heals: number[] = [];
  const errors: Error[] = [];
  const state = { takenPages: 10, verifiedIndex: 0 };
  const subject = new Healing({
    clock,
    log,
    unfinished: undefined,
    mayHeal: () => true,
    heal: (index) => heals.push(index) > 0,
    takenPages: () => state.takenPages,
    verifiedIndex: () => state.verifiedIndex,
    onFatal: (error) => errors.push(error),
    ...options,
  });
  return { subject, clock, log, heals, errors, state };
}

test("the log and the status name what was found, and how many pages were fetched", () => {
  const { subject, log, heals, state } = healing();
  expect(subject.status).toBeUndefined();
  expect(subject.found(7)).toBe(true);
  state.takenPages = 13;
  expect([heals, subject.status]).toEqual([[7], { index: 7, done: false, fetchedPages: 3 }]);
  subject.healed();
  state.takenPages = 20;
  expect(subject.status).toEqual({ index: 7, done: true, fetchedPages: 3 });
  expect(log.with("healed: this node holds again what the others hold"))
    .toMatchObject([{ index: 7, fetchedPages: 3 }]);
});

test("one that differs again soon, or never agreed since, stops", () => {
  for (const [verifiedIndex, elapsedMs] of [[9, HEALED_AGAIN_MS_MIN - 1], [0, 1e7]] as const) {
    const { subject, clock, heals, errors, state } = healing();
    subject.found(7);
    subject.healed();
    state.verifiedIndex = verifiedIndex;
    clock.pass(elapsedMs);
    subject.found(10);
    expect([heals, errors.length]).toEqual([[7], 1]);
    expect(errors[0]).toMatchObject({ code: "CORRUPT" });
    expect(errors[0]!.message).toContain("after entry 10");
  }
  const { subject, clock, heals, errors, state } = healing();
  subject.found(7);
  subject.healed();
  state.verifiedIndex = 9;
  clock.pass(HEALED_AGAIN_MS_MIN);
  subject.found(10);
  expect([heals, errors]).toEqual([[7, 10], []]);
});

test("the only voter stops, as nobody else can lead", () => {
  const { subject, heals, errors } = healing({ mayHeal: () => false });
  subject.found(7);
  expect([heals, errors.length]).toEqual([[], 1]);
});

test("what an earlier start found is gone on with", () => {
  const { subject } = healing({ unfinished: 4 });
  expect(subject.status).toEqual({ index: 4, done: false, fetchedPages: 0 });
});

test("a database that is being replaced already needs nothing more", () => {
  const { subject } = healing({ heal: () => false });
  expect([subject.found(4), subject.status]).toEqual([false, undefined]);
});
