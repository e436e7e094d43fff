/** The conditions of a batch, decided from what the earlier steps came to. */
import { unreachable } from "../../base/assert.ts";
import type { BatchCondition } from "./types.ts";

/** What became of a step. */
export type StepState = "ok" | "error" | "skipped";

/**
 * Whether a step runs.
 *
 * @param condition Undefined for a step that always runs.
 * @param states What became of every earlier step, by position.
 * @param autocommit Whether the connection is outside of a transaction right now.
 */
export function stepRuns(
  condition: BatchCondition | undefined,
  states: readonly StepState[],
  autocommit: boolean,
): boolean {
  return condition === undefined || holds(condition, states, autocommit);
}

/** The nesting of conditions was bounded when they were decoded, so recursion is safe. */
function holds(
  condition: BatchCondition,
  states: readonly StepState[],
  autocommit: boolean,
): boolean {
  switch (condition.type) {
    case "ok":
    case "error":
      return states[condition.step] === condition.type;
    case "not":
      return !holds(condition.cond, states, autocommit);
    case "and":
      return condition.conds.every((cond) => holds(cond, states, autocommit));
    case "or":
      return condition.conds.some((cond) => holds(cond, states, autocommit));
    case "is_autocommit":
      return autocommit;
    default:
      return unreachable(condition);
  }
}
