/**
 * Snapshots: how a peer comes by what the leader's log does not hold any more.
 *
 * The leader offers; the offer names the base of its log, which is committed. A node that lacks
 * it has its driver fetch a snapshot, and everything else goes on meanwhile. Once the snapshot is
 * durably in place, the driver installs its base here. What the log holds beyond that base stays
 * only when it holds the base too: otherwise it is another history, and all of it goes.
 */
import { commitByHint, commitTo } from "./commit.ts";
import { isRemovedBy } from "./configuration.ts";
import { acknowledge, heardFromLeader } from "./follow.ts";
import { becomeFollower } from "./role.ts";
import { resetLog, type State } from "./state.ts";
import type { Message, NodeId, SnapshotBase } from "./types.ts";

/** The leader says that its log begins after an entry. */
export function onSnapshotOffer(
  state: State,
  from: NodeId,
  message: Extract<Message, { type: "snapshot_offer" }>,
): void {
  heardFromLeader(state, from);
  const { baseIndex, baseTerm } = message;
  state.offered = { index: baseIndex, term: baseTerm };
  if (lacksOffered(state)) {
    state.effects.snapshotNeeded = from;
    return;
  }
  // Whoever holds that very entry holds all before it, and the leader knows it to be committed.
  commitTo(state, baseIndex);
  acknowledge(state, from, baseIndex, state.commitIndex);
}

/**
 * Whether the log lacks the entry that was last offered. That entry is committed, so there is a
 * quorum without this node that holds it: what this node holds, others hold as well.
 */
export function lacksOffered(state: State): boolean {
  const { offered } = state;
  if (offered === undefined || offered.index <= state.commitIndex) return false;
  return state.log.termAt(offered.index) !== offered.term;
}

/** A snapshot is durably in place: the log goes on from there, or from where it is already. */
export function installSnapshot(state: State, base: SnapshotBase): void {
  // Leaders of the terms before may not know yet that its last entry is committed.
  if (base.knownInTerm > state.term) becomeFollower(state, base.knownInTerm, undefined);
  if (base.index > state.commitIndex && state.leadership === undefined) {
    if (state.log.termAt(base.index) === base.term) commitByHint(state, base.index, base.term);
    else replaceLog(state, base);
  }
  const { leader } = state;
  if (leader === undefined || leader === state.id) return;
  acknowledge(state, leader, state.commitIndex, state.commitIndex);
}

/** The log does not hold the base, so nothing in it can be, or become, committed beyond it. */
function replaceLog(state: State, base: SnapshotBase): void {
  // Votes were asked for with the log that goes.
  if (state.role !== "follower") becomeFollower(state, state.term, undefined);
  const before = state.configurations.at(state.commitIndex).configuration;
  resetLog(state, base);
  const removed = isRemovedBy(base.configuration, before, state.id, state.removed);
  if (removed !== state.removed) {
    state.removed = removed;
    state.effects.changed = true;
  }
}
