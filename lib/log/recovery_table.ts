/**
 * What a start does with what it finds. Pure data: every combination of observations matches
 * exactly one row, and the tests enumerate them all.
 *
 * A batch is closed when something written after it was durable is there: a later batch, its close
 * record, or a later segment. Only the last batch may be open, so only that one may be torn, and
 * only when a sector is missing that a finished write would have filled. What was torn was never
 * acknowledged and may be cut. Anything else that is damaged may have been acknowledged: it is cut
 * too, but then the node takes part as one that may have forgotten (`lib/raft/recovery.ts`), and
 * only when term and vote are certain and somebody else holds copies.
 *
 * Term and vote are certain when both slots are valid, as every change is in a slot before anybody
 * learns of it; or when one is, and the stream, which has every change too, is whole.
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
  /** Segments that must be there, with a valid header: all, not all, not even the first. */
  readonly segments: "complete" | "gap" | "no_start";
  /** What lies behind the last valid batch. */
  readonly tail: "zeros" | "damaged" | "unreadable";
  /** A sector is all zeros that a finished write would have filled. */
  readonly unwrittenSector: boolean;
  /** Something is there that was written after the damaged batch was durable. */
  readonly closed: boolean;
  /** This node is the only voter, as the slots have it: nobody else need hold what is damaged. */
  readonly alone: boolean;
}

/**
 * - `start`: everything is there.
 * - `repair_slot`: the same, once the damaged slot of the hard state is written again.
 * - `cut`: the last batch is forgotten, the segment ends before it, a new one goes on.
 * - `recover`: the same with everything from the damage on; a leader has to make it good.
 * - `refuse`: not a log for this program or this node.
 * - `corrupt`: stop, touch nothing.
 */
export type Verdict = "start" | "repair_slot" | "cut" | "recover" | "refuse" | "corrupt";

/** One row: it matches when every field that it names has one of the values. */
export interface RecoveryRow {
  readonly name: string;
  readonly when: { readonly [Field in keyof Observation]?: readonly Observation[Field][] };
  readonly verdict: Verdict;
}

const OURS = { format: ["known"], owner: ["ours"] } as const satisfies RecoveryRow["when"];
const SOUND = {
  ...OURS,
  slots: [1, 2],
  segments: ["complete"],
} as const satisfies RecoveryRow["when"];

/** The rows, each true on its own; their order means nothing. */
export const RECOVERY_TABLE: readonly RecoveryRow[] = [
  { name: "newer format", when: { format: ["newer"] }, verdict: "refuse" },
  { name: "foreign files", when: { format: ["known"], owner: ["foreign"] }, verdict: "refuse" },
  { name: "hard state lost", when: { ...OURS, slots: [0] }, verdict: "corrupt" },
  {
    name: "start of the log missing",
    when: { ...OURS, slots: [1, 2], segments: ["no_start"] },
    verdict: "corrupt",
  },
  ...damaged("segment missing", { ...OURS, segments: ["gap"] }),
  { name: "clean end", when: { ...SOUND, slots: [2], tail: ["zeros"] }, verdict: "start" },
  {
    name: "clean end, one slot damaged",
    when: { ...SOUND, slots: [1], tail: ["zeros"] },
    verdict: "repair_slot",
  },
  ...damaged("unreadable", { ...SOUND, tail: ["unreadable"] }),
  {
    name: "torn open batch",
    when: { ...SOUND, tail: ["damaged"], closed: [false], unwrittenSector: [true] },
    verdict: "cut",
  },
  ...damaged("rotten open batch", {
    ...SOUND,
    tail: ["damaged"],
    closed: [false],
    unwrittenSector: [false],
  }),
  ...damaged("damaged closed batch", { ...SOUND, tail: ["damaged"], closed: [true] }),
];

/** What may have been acknowledged is damaged. */
function damaged(name: string, when: RecoveryRow["when"]): readonly RecoveryRow[] {
  return [
    { name: `${name}, one slot damaged`, when: { ...when, slots: [1] }, verdict: "corrupt" },
    {
      name: `${name}, the only voter`,
      when: { ...when, slots: [2], alone: [true] },
      verdict: "corrupt",
    },
    { name, when: { ...when, slots: [2], alone: [false] }, verdict: "recover" },
  ];
}

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
