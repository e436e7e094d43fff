/** Commands enter the log on the leader, within the bound of what is not committed yet. */
import { appendEntry, configurationOf, type State } from "./state.ts";
import type { ProposalRefusal, ProposalResult } from "./types.ts";

/** A command to be replicated. */
export interface Proposal {
  readonly payload: Uint8Array;
  /** CRC-32C of the payload. */
  readonly checksum: number;
}

/** Appends commands, all or none; the result names the last one. */
export function proposeCommands(state: State, proposals: readonly Proposal[]): ProposalResult {
  const { leadership, log, term } = state;
  if (leadership === undefined) return refuse("not_leader", `Node ${state.id} does not lead`);
  if (proposals.length === 0) return refuse("invalid", "There is nothing to propose");
  if (leadership.transfer !== undefined) {
    return refuse("transferring", `Leadership is on its way to node ${leadership.transfer.to}`);
  }
  if (!configurationOf(state).voters.includes(state.id)) {
    return refuse("transferring", `Node ${state.id} gives leadership up`);
  }
  if (!fits(state, proposals)) {
    const waiting = log.lastIndex - state.commitIndex;
    return refuse("busy", `${waiting} entries wait to be committed already`);
  }
  for (const { payload, checksum } of proposals) {
    appendEntry(state, { type: "command", index: log.lastIndex + 1, term, payload, checksum });
  }
  return { accepted: true, index: log.lastIndex, term };
}

/** An empty pipe takes a proposal of any size, so that none is refused forever. */
function fits(state: State, proposals: readonly Proposal[]): boolean {
  const { log, commitIndex, limits } = state;
  const entries = log.lastIndex - commitIndex;
  if (entries === 0) return true;
  let bytes = log.sizeOf(commitIndex + 1, log.lastIndex);
  for (const { payload } of proposals) bytes += payload.length;
  return entries + proposals.length <= limits.uncommittedEntriesMax &&
    bytes <= limits.uncommittedBytesMax;
}

function refuse(refusal: ProposalRefusal, reason: string): ProposalResult {
  return { accepted: false, refusal, reason };
}
