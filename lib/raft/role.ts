/** Becoming a follower, candidate or leader: what each transition resets. */
import { assert } from "../base/assert.ts";
import { isReplica } from "./configuration.ts";
import { Progress } from "./progress.ts";
import { dropReads } from "./reads.ts";
import {
  appendEntry,
  configurationOf,
  drawTimeout,
  isPromotable,
  type Leadership,
  type State,
  writeHardState,
} from "./state.ts";
import type { NodeId, Term } from "./types.ts";

/** A sign of a valid leader, or a new wait: starts the election timer with a fresh timeout. */
export function resetElectionTimer(state: State): void {
  state.electionElapsed = 0;
  state.electionTimeout = drawTimeout(state, configurationOf(state));
}

/**
 * Follows `leader` in `term`, or waits for one. The vote of a term is never taken back in it.
 *
 * @param term At least the current one.
 */
export function becomeFollower(state: State, term: Term, leader: NodeId | undefined): void {
  assert(term >= state.term, `term ${term} is behind ${state.term}`);
  assert(leader !== state.id, "a follower follows another node");
  const { term: oldTerm, leader: oldLeader, role: oldRole } = state;
  if (term > oldTerm) {
    state.term = term;
    state.votedFor = undefined;
    writeHardState(state);
  }
  if (term === oldTerm && leader === oldLeader && oldRole === "follower") return;
  if (oldRole === "leader") resetElectionTimer(state);
  state.role = "follower";
  state.leader = leader;
  state.leadership = undefined;
  state.votes.clear();
  if (term !== oldTerm || leader !== oldLeader) dropReads(state, oldTerm);
  state.effects.changed = true;
}

/** Asks whether an election would succeed, without a new term (thesis, §9.6). */
export function becomePreCandidate(state: State): void {
  assert(state.role !== "leader", "a leader does not campaign");
  loseLeader(state);
  state.role = "pre_candidate";
  state.votes.clear();
  // Asking changes nothing, so the own answer needs no write.
  state.votes.set(state.id, "yes");
  resetElectionTimer(state);
}

/** Starts an election. The own vote counts only once it is durable. */
export function becomeCandidate(state: State): void {
  assert(state.role !== "leader", "a leader does not campaign");
  loseLeader(state);
  state.role = "candidate";
  state.term++;
  state.votedFor = state.id;
  state.votes.clear();
  writeHardState(state);
  resetElectionTimer(state);
  // A split vote is tried again soon: there is no leader whose silence would have to be sure.
  state.electionTimeout -= Math.floor(state.electionTicks / 2);
}

/** Takes office: a no-op of the own term lets everything before it be committed (Raft, §5.4.2). */
export function becomeLeader(state: State): void {
  assert(state.role === "candidate", `a ${state.role} won an election`);
  assert(state.votedFor === state.id, "a candidate votes for itself");
  assert(isPromotable(state), "who votes no more does not lead");
  assert(state.durable.leaderTerm >= state.term, "a leader's term is durable");
  const index = state.log.lastIndex + 1;
  state.role = "leader";
  state.leader = state.id;
  state.votes.clear();
  state.leadership = {
    startIndex: index,
    startTick: state.tick,
    established: false,
    heartbeatElapsed: 0,
    progress: new Map(),
    peers: [],
    transfer: undefined,
    orderedCampaign: false,
    leaseRounds: [],
  };
  syncPeers(state, state.leadership);
  appendEntry(state, { type: "noop", index, term: state.term });
  state.effects.changed = true;
}

/** Makes the leader's view match the configuration in force. */
export function syncPeers(state: State, leadership: Leadership): void {
  const { progress } = leadership;
  const peers: Progress[] = [];
  const known = new Set<NodeId>();
  for (const { id } of configurationOf(state).members) {
    if (id === state.id) continue;
    let peer = progress.get(id);
    if (peer === undefined) {
      peer = new Progress(id, state.log.lastIndex + 1, state.limits);
      progress.set(id, peer);
    }
    peer.setSpare(!isReplica(configurationOf(state), id));
    peers.push(peer);
    known.add(id);
  }
  for (const id of [...progress.keys()]) if (!known.has(id)) progress.delete(id);
  leadership.peers = peers;
}

function loseLeader(state: State): void {
  state.leader = undefined;
  dropReads(state, state.term);
  state.effects.changed = true;
}
