/**
 * What a start does with what it finds. Pure data: every combination of observations matches
 * exactly one row, and the tests enumerate them all.
 *
 * A batch is closed when something written after it was durable is there: a later batch, its close
 * record, or a later segment. Only the last batch may be open, so only that one may be torn, and
 * only when a sector is missing that a finished write would have filled. What was torn was never
 * acknowledged and may be cut; anything else that is damaged may have been, and stays untouched.
 */

import { present } from "../base/assert.ts";

/** What the files of a log look like. */
export interface Observation {
  /** The format version of the files. */
  readonly format: "known" | "newer";
  /** Cluster and node that the files name. */
  readonly owner: "ours" | "foreign";
  /** Valid slots of the hard state. */
  readonly slots: 0 | 1 | 2;
  /** Whether every segment that must be there is there, with a valid header. */
  readonly segments: "complete" | "missing";
  /** What lies behind the last valid batch. */
  readonly tail: "zeros" | "damaged" | "unreadable";
  /** A sector is all zeros that a finished write would have filled. */
  readonly unwrittenSector: boolean;
  /** Something is there that was written after the damaged batch was durable. */
  readonly closed: boolean;
}

/**
 * - `start`: everything is there.
 * - `repair_slot`: the same, once the damaged slot of the hard state is written again.
 * - `cut`: the last batch is forgotten, the segment ends before it, a new one goes on.
 * - `refuse`: not a log for this program or this node.
 * - `corrupt`: stop, touch nothing.
 */
export type Verdict = "start" | "repair_slot" | "cut" | "refuse" | "corrupt";

/** One row: it matches when every field that it names has one of the values. */
export interface RecoveryRow {
  readonly name: string;
  readonly when: { readonly [Field in keyof Observation]?: readonly Observation[Field][] };
  readonly verdict: Verdict;
}

const SOUND = {
  format: ["known"],
  owner: ["ours"],
  slots: [1, 2],
  segments: ["complete"],
} as const satisfies RecoveryRow["when"];

/** The rows, each true on its own; their order means nothing. */
export const RECOVERY_TABLE: readonly RecoveryRow[] = [
  { name: "newer format", when: { format: ["newer"] }, verdict: "refuse" },
  { name: "foreign files", when: { format: ["known"], owner: ["foreign"] }, verdict: "refuse" },
  {
    name: "hard state lost",
    when: { format: ["known"], owner: ["ours"], slots: [0] },
    verdict: "corrupt",
  },
  {
    name: "segment missing",
    when: { ...SOUND, segments: ["missing"] },
    verdict: "corrupt",
  },
  { name: "clean end", when: { ...SOUND, slots: [2], tail: ["zeros"] }, verdict: "start" },
  {
    name: "clean end, one slot damaged",
    when: { ...SOUND, slots: [1], tail: ["zeros"] },
    verdict: "repair_slot",
  },
  { name: "unreadable", when: { ...SOUND, tail: ["unreadable"] }, verdict: "corrupt" },
  {
    name: "torn open batch",
    when: { ...SOUND, tail: ["damaged"], closed: [false], unwrittenSector: [true] },
    verdict: "cut",
  },
  {
    name: "rotten open batch",
    when: { ...SOUND, tail: ["damaged"], closed: [false], unwrittenSector: [false] },
    verdict: "corrupt",
  },
  {
    name: "damaged closed batch",
    when: { ...SOUND, tail: ["damaged"], closed: [true] },
    verdict: "corrupt",
  },
];

/** Whether `row` is about `observation`. */
export function matches(row: RecoveryRow, observation: Observation): boolean {
  const fields = Object.keys(row.when) as (keyof Observation)[];
  return fields.every((field) => {
    const values: readonly unknown[] | undefined = row.when[field];
    return values === undefined || values.includes(observation[field]);
  });
}

/** The row that decides about `observation`. */
export function decide(observation: Observation): RecoveryRow {
  const row = RECOVERY_TABLE.find((candidate) => matches(candidate, observation));
  return present(row, `row for ${JSON.stringify(observation)}`);
}
