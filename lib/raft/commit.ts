/**
 * The commit index. It only grows, and a leader moves it only over an entry of its own term that
 * a quorum holds durably (Raft, §5.4.2, Figure 8); earlier entries are committed along with it.
 */
import { assert } from "../base/assert.ts";
import { isRemovedBy, type PlacedConfiguration } from "./configuration.ts";
import { continueChange } from "./membership.ts";
import { quorumValue } from "./quorum.ts";
import { becomeFollower } from "./role.ts";
import { configurationOf, isPromotable, type Leadership, type State } from "./state.ts";
import type { LogIndex, Term } from "./types.ts";

/** Moves the commit index forward to `index`; anything lower changes nothing. */
export function commitTo(state: State, index: LogIndex): void {
  if (index <= state.commitIndex) return;
  assert(index <= state.log.lastIndex, `commit ${index} is beyond the log's end`);
  const previous = state.commitIndex;
  state.commitIndex = index;
  state.effects.commitIndex = index;
  for (const placed of state.configurations.between(previous, index)) noteCommitted(state, placed);
}

/** A committed configuration is certain: this node knows whether it was removed. */
export function noteCommitted(state: State, placed: PlacedConfiguration): void {
  const { configuration: before } = state.configurations.at(placed.index - 1);
  const removed = isRemovedBy(placed.configuration, before, state.id, state.removed);
  if (removed === state.removed) return;
  state.removed = removed;
  state.effects.changed = true;
}

/** Commits what a quorum holds. The leader's own part is what its disk holds. */
export function advanceCommit(state: State, leadership: Leadership): void {
  const { progress } = leadership;
  const { durable, id: self } = state;
  // A leader's term is durable, and in its own term its log only grows.
  assert(durable.leaderTerm === state.term, `mark of term ${durable.leaderTerm}`);
  const held = quorumValue(
    configurationOf(state),
    (id) => id === self ? durable.index : progress.get(id)?.heldIndex ?? 0,
  );
  // Entries of earlier terms lie before the first of the own, and terms never decrease.
  if (held <= state.commitIndex || held < leadership.startIndex) return;
  assert(state.log.termAt(held) === state.term, `entry ${held} is not of term ${state.term}`);
  const previous = state.commitIndex;
  commitTo(state, held);
  if (!leadership.established) {
    leadership.established = true;
    state.effects.changed = true;
  }
  continueChange(state, leadership, previous);
}

/**
 * Another node knows that the entry `(index, term)` is committed. Whoever holds that very entry
 * holds everything before it too, so this is as good as a leader's word.
 */
export function commitByHint(state: State, index: LogIndex, term: Term): void {
  if (index <= state.commitIndex || state.leadership !== undefined) return;
  if (state.log.termAt(index) !== term) return;
  commitTo(state, index);
  // A candidate may learn just so that it was removed, or that it votes no more.
  if (state.role !== "follower" && !isPromotable(state)) {
    becomeFollower(state, state.term, undefined);
  }
}
