/**
 * Handing leadership over (thesis, §3.10): the leader takes no more proposals, brings the target
 * up to date, and tells it to campaign at once. It gives up after an election timeout.
 */
import { weightIn } from "./priority.ts";
import type { Progress } from "./progress.ts";
import { becomeFollower } from "./role.ts";
import { configurationOf, type Leadership, send, type State } from "./state.ts";
import type { NodeId, ProposalResult } from "./types.ts";

/** Starts a transfer. Accepted means begun: watch the leader to see it done. */
export function startTransfer(state: State, to: NodeId): ProposalResult {
  const { leadership } = state;
  if (leadership === undefined) {
    return { accepted: false, refusal: "not_leader", reason: `Node ${state.id} does not lead` };
  }
  const accepted = { accepted: true, index: state.log.lastIndex, term: state.term } as const;
  const { transfer } = leadership;
  if (transfer !== undefined) {
    if (transfer.to === to) return accepted;
    const reason = `Leadership is on its way to node ${transfer.to}`;
    return { accepted: false, refusal: "transferring", reason };
  }
  const peer = leadership.progress.get(to);
  if (peer === undefined || !configurationOf(state).voters.includes(to)) {
    const reason = to === state.id ? `Node ${to} leads already` : `Node ${to} is not a voter`;
    return { accepted: false, refusal: "invalid", reason };
  }
  if (peer.recovery !== undefined) {
    return { accepted: false, refusal: "invalid", reason: `Node ${to} is recovering its log` };
  }
  leadership.transfer = { to, elapsed: 0, told: false };
  state.effects.changed = true;
  // What is on its way may be lost, and there is no time to wait for a heartbeat to tell.
  if (peer.state === "replicate" && peer.matchIndex < state.log.lastIndex) peer.probe();
  continueTransfer(state, leadership, peer);
  return accepted;
}

/** Tells the target to campaign as soon as it holds the whole log. */
export function continueTransfer(state: State, leadership: Leadership, peer: Progress): void {
  const { transfer } = leadership;
  if (transfer === undefined || transfer.told || transfer.to !== peer.id) return;
  if (peer.heldIndex < state.log.lastIndex) return;
  transfer.told = true;
  leadership.orderedCampaign = true;
  send(state, peer.id, { type: "timeout_now", term: state.term });
}

/** Gives up a transfer that takes too long; proposals are taken again. */
export function tickTransfer(state: State, leadership: Leadership): void {
  const { transfer } = leadership;
  if (transfer === undefined) return;
  transfer.elapsed++;
  if (transfer.elapsed < state.electionTicks) return;
  leadership.transfer = undefined;
  state.effects.changed = true;
}

/** Drops a transfer whose target left the configuration. */
export function dropTransferOfStranger(state: State, leadership: Leadership): void {
  const { transfer } = leadership;
  if (transfer === undefined || configurationOf(state).voters.includes(transfer.to)) return;
  leadership.transfer = undefined;
  state.effects.changed = true;
}

/** Stops leading at once; the voter that is best prepared is told to campaign. */
export function resign(state: State, leadership: Leadership): void {
  const successor = bestSuccessor(state, leadership);
  if (successor !== undefined) {
    send(state, successor.id, { type: "timeout_now", term: state.term });
  }
  becomeFollower(state, state.term, undefined);
}

/**
 * Of the voters that answer and were sent all that is committed, the one of the highest weight, and
 * of those the one that holds most of the log. Should there be none, the others in the same order.
 */
function bestSuccessor(state: State, leadership: Leadership): Progress | undefined {
  const { voters } = configurationOf(state);
  let best: Progress | undefined;
  for (const peer of leadership.peers) {
    if (!voters.includes(peer.id) || peer.recovery !== undefined) continue;
    if (best === undefined || isBetter(state, peer, best)) best = peer;
  }
  return best;
}

function isBetter(state: State, peer: Progress, best: Progress): boolean {
  const one = ranks(state, peer);
  const other = ranks(state, best);
  const at = one.findIndex((rank, place) => rank !== other[place]);
  return at >= 0 && one[at]! > other[at]!;
}

/** What speaks for a successor, the most important first. */
function ranks(state: State, peer: Progress): readonly number[] {
  return [
    Number(peer.isActive(state.tick, state.electionTicks)),
    // What is on its way arrives before the order to campaign.
    Number(peer.state === "replicate" && peer.nextIndex > state.commitIndex),
    weightIn(configurationOf(state), peer.id),
    peer.matchIndex,
  ];
}
