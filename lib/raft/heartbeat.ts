/**
 * Heartbeats: apart from appends, so that a full pipe or a large entry never delays them. They
 * keep the leader in office, tell the commit index, and confirm rounds of reads.
 */
import type { Progress } from "./progress.ts";
import { majority } from "./quorum.ts";
import { configurationOf, type Leadership, send, type State } from "./state.ts";

export function broadcastHeartbeats(state: State, leadership: Leadership): void {
  leadership.heartbeatElapsed = 0;
  for (const peer of leadership.peers) sendHeartbeat(state, peer);
}

/**
 * Asks as many voters as make a quorum with this node, and no more: rounds of reads follow each
 * other closely, and each message wakes a node. It asks those whose answers decided the latest
 * rounds; should one not answer, the next heartbeat goes to everybody and confirms the round.
 */
export function askQuorum(state: State, leadership: Leadership): void {
  const { voters, votersOutgoing } = configurationOf(state);
  const needed = majority(voters.length) - (voters.includes(state.id) ? 1 : 0);
  const recentTicks = 2 * state.heartbeatTicks;
  const peers = leadership.peers.filter((peer) =>
    voters.includes(peer.id) && peer.isActive(state.tick, recentTicks)
  );
  if (votersOutgoing.length > 0 || peers.length < needed) {
    broadcastHeartbeats(state, leadership);
    return;
  }
  peers.sort((a, b) => b.decidedRound - a.decidedRound);
  for (const peer of peers.slice(0, needed)) sendHeartbeat(state, peer);
}

/** Tells the commit index to the peers that were not told by an append. */
export function announceCommit(state: State, leadership: Leadership): void {
  for (const peer of leadership.peers) announceCommitTo(state, peer);
}

export function announceCommitTo(state: State, peer: Progress): void {
  const commitIndex = peer.spare
    ? state.configurations.at(state.commitIndex).index
    : Math.min(state.commitIndex, peer.matchIndex);
  if (commitIndex > peer.toldCommitIndex) sendHeartbeat(state, peer);
}

function sendHeartbeat(state: State, peer: Progress): void {
  if (peer.spare) {
    const { index, configuration } = state.configurations.at(state.commitIndex);
    peer.toldCommitIndex = index;
    send(state, peer.id, { type: "configuration", term: state.term, index, configuration });
    return;
  }
  // Beyond its match the peer may hold entries of another leader.
  const commitIndex = Math.min(state.commitIndex, peer.matchIndex);
  peer.toldCommitIndex = Math.max(peer.toldCommitIndex, commitIndex);
  send(state, peer.id, {
    type: "heartbeat_request",
    term: state.term,
    commitIndex,
    round: state.reads.round,
  });
}
