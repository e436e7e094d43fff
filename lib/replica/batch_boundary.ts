import type { LogIndex } from "../raft/types.ts";
import type { RaftLog } from "../log/types.ts";
import type { StateMachine } from "./state_machine.ts";

/**
 * The last entry at or before `index` that does not lie inside a batch in parts: whoever begins
 * behind it sees every batch whole. Reads the log backwards, over the parts of one batch at most.
 */
export function boundaryIndex(
  index: LogIndex,
  log: Pick<RaftLog, "baseIndex" | "entries" | "termAt">,
  machine: Pick<StateMachine, "partOf">,
): LogIndex {
  let isInside = false;
  for (let at = index; at > log.baseIndex; at--) {
    const entry = log.entries(at, at, Infinity)?.[0];
    if (entry?.type !== "command") continue;
    const { first, last } = machine.partOf(entry.payload);
    // A batch is over with the office of its leader. Within it, only the next batch would show that
    // this one was given up.
    if (!isInside && (last || entry.term !== log.termAt(index))) return index;
    if (first) return at - 1;
    isInside = true;
  }
  // A log never begins inside a batch.
  return isInside ? log.baseIndex : index;
}
