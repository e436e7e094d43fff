/**
 * Elections: pre-vote always, and voters that hear from a leader do not help to replace it
 * (thesis, §9.6, §4.2.3). A vote is durable before anybody learns of it.
 */
import { isMember, votersOf } from "./configuration.ts";
import { isPromised } from "./lease.ts";
import { answerStranger } from "./membership.ts";
import { tally } from "./quorum.ts";
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  resetElectionTimer,
} from "./role.ts";
import {
  configurationOf,
  isPromotable,
  isStalled,
  send,
  sendOnSync,
  type State,
  writeHardState,
} from "./state.ts";
import type { Message, NodeId, Term } from "./types.ts";

/** Starts with the question whether an election would succeed. Does nothing on a non-voter. */
export function startPreVote(state: State): void {
  if (state.role === "leader" || !isPromotable(state) || isPromised(state)) return;
  becomePreCandidate(state);
  requestVotes(state, { preVote: true, transfer: false });
  decide(state);
}

/**
 * Starts an election.
 *
 * @param transfer The leader asked for it, so its lease does not stand in the way.
 */
export function startElection(state: State, transfer: boolean): void {
  if (state.role === "leader" || !isPromotable(state)) return;
  becomeCandidate(state);
  requestVotes(state, { preVote: false, transfer });
}

function requestVotes(state: State, kind: { preVote: boolean; transfer: boolean }): void {
  const { log } = state;
  for (const voter of votersOf(configurationOf(state))) {
    if (voter === state.id) continue;
    send(state, voter, {
      type: "vote_request",
      term: kind.preVote ? state.term + 1 : state.term,
      preVote: kind.preVote,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      ...commitHint(state),
      transfer: kind.transfer,
    });
  }
}

/** The candidate's own vote became durable. */
export function onOwnVoteDurable(state: State): void {
  if (state.votes.has(state.id)) return;
  state.votes.set(state.id, "yes");
  decide(state);
}

/** Whether this node has a leader that it heard from within the shortest election timeout. */
export function hasLease(state: State): boolean {
  if (state.role === "leader" || isPromised(state)) return true;
  return state.leader !== undefined && state.electionElapsed < state.electionTicks;
}

type VoteRequest = Extract<Message, { type: "vote_request" }>;

/** Answers a request of the current term, or a pre-vote for a later one. */
export function onVoteRequest(state: State, from: NodeId, message: VoteRequest): void {
  if (!message.preVote && !message.transfer && isPromised(state)) {
    refuseVote(state, from, false);
    return;
  }
  const granted = message.preVote
    ? message.term > state.term && !hasLease(state) && isUpToDate(state, message)
    : mayVoteFor(state, from) && isUpToDate(state, message);
  if (!granted) {
    refuseVote(state, from, message.preVote);
    return;
  }
  if (!message.preVote) {
    if (state.votedFor === undefined) {
      state.votedFor = from;
      writeHardState(state);
    }
    state.electionElapsed = 0;
  }
  // A granted pre-vote is about the term that was asked for; a refusal tells the voter's own.
  const recovering = state.recovery === undefined ? {} : { recovering: true };
  respond(state, from, message.term, { preVote: message.preVote, granted: true, ...recovering });
}

/** Denies a vote, telling the own term, which may be higher, and what is committed. */
export function refuseVote(state: State, to: NodeId, preVote: boolean): void {
  respond(state, to, state.term, { preVote, granted: false });
  if (!isMember(configurationOf(state), to)) answerStranger(state, to);
}

function respond(
  state: State,
  to: NodeId,
  term: Term,
  answer: { preVote: boolean; granted: boolean; recovering?: boolean },
): void {
  sendOnSync(state, to, { type: "vote_response", term, ...answer, ...commitHint(state) });
}

function mayVoteFor(state: State, candidate: NodeId): boolean {
  if (state.votedFor !== undefined) return state.votedFor === candidate;
  return state.leader === undefined;
}

/**
 * "The voter denies its vote if its own log is more up-to-date" (Raft, §5.4.1). A weak vote vouches
 * for no log, so that what is left of a damaged one is nothing to compare with: of two voters, the
 * damaged one may hold more than the other, which then could never lead.
 */
function isUpToDate(state: State, message: VoteRequest): boolean {
  if (state.recovery !== undefined) return true;
  const { lastTerm, lastIndex } = state.log;
  if (message.lastTerm !== lastTerm) return message.lastTerm > lastTerm;
  return message.lastIndex >= lastIndex;
}

/** Counts an answer to the campaign under way; the first one of each voter counts. */
export function onVoteResponse(
  state: State,
  from: NodeId,
  message: Extract<Message, { type: "vote_response" }>,
): void {
  const campaign = message.preVote ? "pre_candidate" : "candidate";
  if (state.role !== campaign || state.votes.has(from)) return;
  state.votes.set(from, !message.granted ? "no" : message.recovering === true ? "weak" : "yes");
  decide(state);
}

function decide(state: State): void {
  const result = tally(configurationOf(state), state.votes);
  if (result === "pending") return;
  if (result === "lost") {
    becomeFollower(state, state.term, undefined);
  } else if (state.role === "pre_candidate") {
    startElection(state, false);
  } else {
    // Without the own vote on disk, a restart could vote again in this term.
    if (state.votes.has(state.id)) becomeLeader(state);
  }
}

function commitHint(state: State): { commitIndex: number; commitTerm: Term } {
  return { commitIndex: state.commitIndex, commitTerm: state.log.termAt(state.commitIndex) ?? 0 };
}

/**
 * A node that cannot lead stops trusting a leader that fell silent; so does one whose disk stands
 * still, as its own vote would never count.
 */
export function onElectionTimeout(state: State): void {
  if (isPromotable(state) && !isStalled(state)) {
    startPreVote(state);
    return;
  }
  resetElectionTimer(state);
  if (state.leader !== undefined) becomeFollower(state, state.term, undefined);
}
