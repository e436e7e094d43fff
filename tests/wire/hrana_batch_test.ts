import { expect, test } from "bun:test";
import { stepRuns, type StepState } from "../../lib/wire/hrana/batch.ts";
import type { BatchCondition } from "../../lib/wire/hrana/types.ts";

const states: StepState[] = ["ok", "error", "skipped"];
const ok = (step: number): BatchCondition => ({ type: "ok", step });
const error = (step: number): BatchCondition => ({ type: "error", step });
const runs = (condition: BatchCondition | undefined, autocommit = false) =>
  stepRuns(condition, states, autocommit);

test("a step without a condition always runs", () => {
  expect(runs(undefined)).toBe(true);
});

test("a skipped step is neither ok nor error", () => {
  expect(states.map((_, step) => runs(ok(step)))).toEqual([true, false, false]);
  expect(states.map((_, step) => runs(error(step)))).toEqual([false, true, false]);
  expect(runs({ type: "not", cond: ok(2) })).toBe(true);
  expect(runs({ type: "not", cond: error(2) })).toBe(true);
});

test("conditions combine as in logic, also when they are empty", () => {
  expect(runs({ type: "and", conds: [ok(0), error(1)] })).toBe(true);
  expect(runs({ type: "and", conds: [ok(0), error(0)] })).toBe(false);
  expect(runs({ type: "or", conds: [ok(1), error(1)] })).toBe(true);
  expect(runs({ type: "or", conds: [ok(1), ok(2)] })).toBe(false);
  expect(runs({ type: "and", conds: [] })).toBe(true);
  expect(runs({ type: "or", conds: [] })).toBe(false);
});

test("is_autocommit asks the connection", () => {
  expect(runs({ type: "is_autocommit" }, true)).toBe(true);
  expect(runs({ type: "not", cond: { type: "is_autocommit" } }, true)).toBe(false);
});
