/**
 * Linearizable reads without the log (thesis, §6.4).
 *
 * A leader notes its commit index, then confirms by a round of heartbeats that a majority still
 * follows it; it asks no more than a majority. A round confirms only the reads that were asked for
 * before it began. One round is under way at a time; the reads that arrive meanwhile share the next
 * one. A new leader does not know what is committed until its own no-op is, so reads wait for that.
 *
 * A follower asks its leader. Every ticket, local or on the wire, is used once.
 */
import { hasQuorum, quorumValue } from "./quorum.ts";
import { announceCommitTo, askQuorum, broadcastHeartbeats } from "./heartbeat.ts";
import { holdsLease, noteRound } from "./lease.ts";
import type { Progress } from "./progress.ts";
import {
  configurationOf,
  type Leadership,
  type PendingRead,
  send,
  sendOnSync,
  type State,
} from "./state.ts";
import type { LogIndex, Message, NodeId, Term } from "./types.ts";

/** Asks for a read index; returns the ticket under which it is answered. */
export function requestRead(state: State): number {
  const { reads } = state;
  const ticket = reads.nextTicket++;
  const refused = reads.pendingCount >= state.limits.pendingReadsMax ||
    state.leader === undefined;
  if (refused) {
    state.effects.reads.push({ ticket, index: undefined });
    return ticket;
  }
  reads.pendingCount++;
  if (state.leadership === undefined) reads.collected.push(ticket);
  else reads.waiting.push({ ticket, from: state.id });
  return ticket;
}

/** A follower asks this node. */
export function onReadRequest(
  state: State,
  from: NodeId,
  message: Extract<Message, { type: "read_request" }>,
): void {
  const { reads } = state;
  const read = { ticket: message.ticket, from };
  if (state.leadership === undefined || reads.pendingCount >= state.limits.pendingReadsMax) {
    answer(state, read, undefined, state.term);
    return;
  }
  reads.pendingCount++;
  reads.waiting.push(read);
}

/** The leader answers reads that this node forwarded. */
export function onReadResponse(
  state: State,
  message: Extract<Message, { type: "read_response" }>,
): void {
  const { reads } = state;
  const at = reads.forwarded.findIndex(({ ticket }) => ticket === message.ticket);
  if (at < 0) return;
  const [group] = reads.forwarded.splice(at, 1);
  answerOwn(state, group!.tickets, message.index);
}

/** Starts what can start: a round on a leader, a request on a follower. */
export function flushReads(state: State): void {
  const { reads, leadership } = state;
  if (leadership === undefined) {
    if (reads.collected.length > 0) forward(state);
  } else if (reads.waiting.length > 0 && holdsLease(state, leadership)) {
    answerAll(state, reads.waiting.splice(0), state.commitIndex, state.term);
  } else if (reads.waiting.length > 0 && reads.rounds.length === 0) {
    if (beginRound(state, leadership)) askQuorum(state, leadership);
  }
}

/**
 * Begins a round for every read that waits, when a heartbeat is due: should messages of an earlier
 * round be lost, the later one confirms it as well.
 */
export function startRound(state: State, leadership: Leadership): void {
  if (beginRound(state, leadership)) broadcastHeartbeats(state, leadership);
}

/** Returns whether there is something to ask the others. */
function beginRound(state: State, leadership: Leadership): boolean {
  const { reads } = state;
  if (!leadership.established || reads.waiting.length === 0) return false;
  const waiting = reads.waiting;
  reads.waiting = [];
  if (hasQuorum(configurationOf(state), (id) => id === state.id)) {
    answerAll(state, waiting, state.commitIndex, state.term);
    return false;
  }
  reads.round++;
  noteRound(state, leadership);
  reads.rounds.push({ round: reads.round, index: state.commitIndex, reads: waiting });
  return true;
}

/** A peer confirmed a round. */
export function onRoundConfirmed(state: State, leadership: Leadership, peer: Progress): void {
  const oldest = state.reads.rounds[0];
  if (oldest !== undefined && oldest.round <= peer.confirmedRound) {
    peer.decidedRound = peer.confirmedRound;
  }
  confirmRounds(state, leadership);
}

/** Answers what a quorum has confirmed. */
export function confirmRounds(state: State, leadership: Leadership): void {
  const { reads } = state;
  if (reads.rounds.length === 0) return;
  const { progress } = leadership;
  const confirmed = quorumValue(
    configurationOf(state),
    (id) => id === state.id ? reads.round : progress.get(id)?.confirmedRound ?? 0,
  );
  while (reads.rounds.length > 0 && reads.rounds[0]!.round <= confirmed) {
    const { index, reads: confirmedReads } = reads.rounds.shift()!;
    answerAll(state, confirmedReads, index, state.term);
  }
}

/** Forgets the reads of a peer that restarted: nobody there waits for the answers. */
export function dropReadsOf(state: State, peer: NodeId): void {
  const { reads } = state;
  const isOther = (read: PendingRead) => read.from !== peer;
  reads.waiting = reads.waiting.filter(isOther);
  reads.rounds = reads.rounds.map((round) => ({ ...round, reads: round.reads.filter(isOther) }));
  reads.pendingCount = countPending(state);
}

/**
 * Answers every pending read with "ask again": the leader changed.
 *
 * @param term The term in which this node led, which those who asked still believe in.
 */
export function dropReads(state: State, term: Term): void {
  const { reads } = state;
  if (reads.pendingCount === 0) return;
  for (const round of reads.rounds) answerAll(state, round.reads, undefined, term);
  answerAll(state, reads.waiting, undefined, term);
  for (const group of reads.forwarded) answerOwn(state, group.tickets, undefined);
  answerOwn(state, reads.collected, undefined);
  reads.rounds = [];
  reads.waiting = [];
  reads.forwarded = [];
  reads.collected = [];
  reads.pendingCount = 0;
}

/** Gives up requests that the leader did not answer within an election timeout. */
export function expireForwardedReads(state: State): void {
  const { reads } = state;
  while (reads.forwarded.length > 0) {
    const oldest = reads.forwarded[0]!;
    if (state.tick - oldest.sentTick < state.electionTicks) return;
    reads.forwarded.shift();
    answerOwn(state, oldest.tickets, undefined);
  }
}

function forward(state: State): void {
  const { reads, leader } = state;
  const last = reads.forwarded.at(-1);
  // One request at a time, unless it seems lost.
  if (last !== undefined && state.tick - last.sentTick < state.heartbeatTicks) return;
  if (leader === undefined) return;
  const ticket = reads.nextTicket++;
  reads.forwarded.push({ ticket, sentTick: state.tick, tickets: reads.collected });
  reads.collected = [];
  send(state, leader, { type: "read_request", term: state.term, ticket });
}

function answerAll(
  state: State,
  pending: readonly PendingRead[],
  index: LogIndex | undefined,
  term: Term,
): void {
  state.reads.pendingCount -= pending.length;
  for (const read of pending) answer(state, read, index, term);
}

function answer(state: State, read: PendingRead, index: LogIndex | undefined, term: Term): void {
  if (read.from === state.id) {
    state.effects.reads.push({ ticket: read.ticket, index });
    return;
  }
  const message = { type: "read_response", term, ticket: read.ticket, index } as const;
  // A refusal waits for the write that ended the leadership; an answer reveals nothing new.
  if (index === undefined) sendOnSync(state, read.from, message);
  else send(state, read.from, message);
  const peer = state.leadership?.progress.get(read.from);
  // The follower cannot serve the read before it knows that the index is committed.
  if (peer !== undefined) announceCommitTo(state, peer);
}

function answerOwn(state: State, tickets: readonly number[], index: LogIndex | undefined): void {
  state.reads.pendingCount -= tickets.length;
  for (const ticket of tickets) state.effects.reads.push({ ticket, index });
}

function countPending(state: State): number {
  const { waiting, rounds, collected, forwarded } = state.reads;
  let count = waiting.length + collected.length;
  for (const round of rounds) count += round.reads.length;
  for (const group of forwarded) count += group.tickets.length;
  return count;
}
