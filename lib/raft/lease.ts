/**
 * Reads without a round trip, when `RaftOptions.leaseTicks` says so; its comment has the assumption
 * about clocks that this needs.
 *
 * Whoever answers a leader promises to elect nobody for the shortest election timeout, across
 * changes of term and, by keeping still for that long, restarts. A leader counts the promises of a
 * quorum from the moment it asked for them, and counts them for less. Only an order to campaign
 * makes a node break its promise, so a leader that gave one has no lease until its term ends.
 */
import { quorumValue } from "./quorum.ts";
import type { Progress } from "./progress.ts";
import { configurationOf, type Leadership, type State } from "./state.ts";

/** Whether this node promised a leader to elect nobody yet. */
export function isPromised(state: State): boolean {
  return state.leaseTicks > 0 && state.tick - state.promisedAtTick < state.electionTicks;
}

/** Asks for promises with the heartbeats that follow. */
export function renewLease(state: State, leadership: Leadership): void {
  if (state.leaseTicks === 0) return;
  state.reads.round++;
  noteRound(state, leadership);
}

/** Notes when the latest round began. */
export function noteRound(state: State, leadership: Leadership): void {
  if (state.leaseTicks === 0) return;
  const { leaseRounds } = leadership;
  while (leaseRounds.length > 0 && isOver(state, leaseRounds[0]!.tick)) leaseRounds.shift();
  if (leaseRounds.at(-1)?.tick === state.tick) return;
  leaseRounds.push({ round: state.reads.round, tick: state.tick });
}

/** A peer answered a heartbeat of `round`: its promise counts from when that round began. */
export function confirmLease(leadership: Leadership, peer: Progress, round: number): void {
  const began = leadership.leaseRounds.findLast((known) => known.round <= round);
  if (began !== undefined) peer.promisedAtTick = Math.max(peer.promisedAtTick, began.tick);
}

/** Whether nobody else can lead at this moment, by the promises of a quorum. */
export function holdsLease(state: State, leadership: Leadership): boolean {
  if (state.leaseTicks === 0 || !leadership.established) return false;
  if (leadership.transfer !== undefined || leadership.orderedCampaign) return false;
  const { progress } = leadership;
  // Ticks count from 1 here, as 0 stands for no promise.
  const promised = quorumValue(
    configurationOf(state),
    (id) => (id === state.id ? state.tick : progress.get(id)?.promisedAtTick ?? -1) + 1,
  );
  return promised > 0 && !isOver(state, promised - 1);
}

function isOver(state: State, tick: number): boolean {
  return state.tick - tick >= state.leaseTicks;
}
