import type { LogIndex } from "../raft/types.ts";
import type { RaftLog } from "../log/types.ts";
import type { StateMachine } from "./state_machine.ts";

/**
 * The last entry at or before `index` that does not lie inside a batch in parts, of any database:
 * whoever begins behind it sees every batch whole. Reads the log backwards, over the parts of the
 * batches that are open there at most.
 */
export function boundaryIndex(
  index: LogIndex,
  log: Pick<RaftLog, "baseIndex" | "entries" | "termAt">,
  machine: Pick<StateMachine, "partOf">,
): LogIndex {
  let boundary = index;
  /** The office whose batches are looked at: with it, they are over. */
  let term = log.termAt(index);
  for (let at = index; at > log.baseIndex; at--) {
    const entry = log.entries(at, at, Infinity)?.[0];
    if (entry?.type !== "command") continue;
    const { first, last, interleaved = false } = machine.partOf(entry.payload);
    if (entry.term !== term || last && !interleaved) return boundary;
    if (first && !interleaved) return at - 1;
    boundary = at - 1;
    term = entry.term;
  }
  // A log never begins inside a batch.
  return boundary === index ? index : log.baseIndex;
}
