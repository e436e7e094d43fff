/**
 * Copies of the whole state, so that a test can go on from one state in many ways. Values that
 * never change, such as messages, entries and configurations, are shared; so is the source of
 * random numbers.
 */
import type { Progress } from "./progress.ts";
import type { Leadership, ReadState, State } from "./state.ts";
import type { Effects, NodeId } from "./types.ts";

/** A state that equals `state` and shares nothing with it that can change. */
export function copyState(state: State): State {
  return {
    ...state,
    log: state.log.copy(),
    configurations: state.configurations.copy(),
    votes: new Map(state.votes),
    leadership: state.leadership === undefined ? undefined : copyLeadership(state.leadership),
    reads: copyReads(state.reads),
    effects: copyEffects(state.effects),
  };
}

function copyLeadership(leadership: Leadership): Leadership {
  const progress = new Map<NodeId, Progress>();
  for (const [id, peer] of leadership.progress) progress.set(id, peer.copy());
  const { transfer } = leadership;
  return {
    ...leadership,
    progress,
    peers: leadership.peers.map(({ id }) => progress.get(id)!),
    transfer: transfer === undefined ? undefined : { ...transfer },
    leaseRounds: [...leadership.leaseRounds],
  };
}

function copyReads(reads: ReadState): ReadState {
  return {
    ...reads,
    waiting: [...reads.waiting],
    rounds: [...reads.rounds],
    collected: [...reads.collected],
    forwarded: [...reads.forwarded],
  };
}

function copyEffects(effects: Effects): Effects {
  return {
    ...effects,
    append: [...effects.append],
    send: [...effects.send],
    sendOnSync: [...effects.sendOnSync],
    reads: [...effects.reads],
  };
}
