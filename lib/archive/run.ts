/**
 * Runs: parts of the log without a gap, as the names of objects tell. Objects may overlap, since a
 * node that led earlier may have uploaded what its successor uploaded as well: the same entries,
 * cut in another way.
 */
import type { LogIndex } from "../raft/types.ts";
import { type Chain, CHAIN_START, chainEquals } from "../wire/chain.ts";
import type { EntriesName } from "../wire/archive_keys.ts";

/** A place in the log. */
export interface Position {
  readonly index: LogIndex;
  /** Undefined where no name tells it. */
  readonly chain: Chain | undefined;
}

/** Before the first entry. */
export const LOG_START = { index: 0, chain: CHAIN_START } as const satisfies Position;

/**
 * How an object stands to a place: it goes on from there, all of it comes before, it begins later,
 * or it goes on from another history.
 */
export type Continuation = "continues" | "before" | "later" | "other";

/** See {@linkcode Continuation}. */
export function continuationOf(object: EntriesName, { index, chain }: Position): Continuation {
  if (object.last <= index) return "before";
  if (object.first > index + 1) return "later";
  // What overlaps is held against the chain when it is read.
  if (object.first <= index || chain === undefined) return "continues";
  return chainEquals(object.chainBefore, chain) ? "continues" : "other";
}

/** A part of the log without a gap. */
export interface Run {
  /** The first entry. */
  readonly first: LogIndex;
  /** Its end, and the latest time of a command up to there. */
  readonly last: LogIndex;
  readonly chain: Chain;
  readonly timeMs: number;
  /** The earliest time that its objects tell; 0 when none does. */
  readonly firstTimeMs: number;
  /** Size of its objects. */
  readonly sizeBytes: number;
}

/** The run that only this object makes. */
export function newRun(object: EntriesName, sizeBytes: number): Run {
  const { first, last, chainAfter: chain, timeAfterMs: timeMs } = object;
  return { first, last, chain, timeMs, firstTimeMs: timeMs, sizeBytes };
}

/** The run with an object that continues it. */
export function extendedRun(run: Run, object: EntriesName, sizeBytes: number): Run {
  const { last, chainAfter: chain, timeAfterMs } = object;
  const timeMs = Math.max(run.timeMs, timeAfterMs);
  // The first entries of a cluster carry no time.
  const firstTimeMs = run.firstTimeMs === 0 ? timeMs : run.firstTimeMs;
  return { ...run, last, chain, timeMs, firstTimeMs, sizeBytes: run.sizeBytes + sizeBytes };
}

/** Collects objects, by their first entry, into runs. Those of another history are left out. */
export async function* runsOf(
  objects: AsyncIterable<EntriesName & { readonly sizeBytes: number }>,
): AsyncGenerator<Run> {
  let run: Run | undefined;
  for await (const object of objects) {
    const how = run && continuationOf(object, { index: run.last, chain: run.chain });
    if (run !== undefined && how === "continues") run = extendedRun(run, object, object.sizeBytes);
    else if (how === undefined || how === "later") {
      if (run !== undefined) yield run;
      run = newRun(object, object.sizeBytes);
    }
  }
  if (run !== undefined) yield run;
}
