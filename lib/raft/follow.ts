/**
 * Following a leader: its appends and heartbeats (Raft, §5.3).
 *
 * An append is taken only when its predecessor is in the log. What is in the log already stays;
 * only an entry of another term makes way, and never one that is committed.
 */
import { assert } from "../base/assert.ts";
import { commitTo } from "./commit.ts";
import { noteMatch, noteStatement } from "./recovery.ts";
import { becomeFollower, resetElectionTimer } from "./role.ts";
import { appendEntry, isStalled, send, sendOnSync, type State, truncateLog } from "./state.ts";
import { isMember } from "./configuration.ts";
import type { Entry, LogIndex, Message, NodeId } from "./types.ts";

type AppendRequest = Extract<Message, { type: "append_request" }>;

/** Takes, or refuses, entries from the leader of the current term. */
export function onAppendRequest(state: State, from: NodeId, message: AppendRequest): void {
  // A refused append is a sign of the leader as well: it must not cost it its office.
  heardFromLeader(state, from);
  if (!isWellFormed(message)) return;
  noteStatement(state, message.recovery);
  const { prevIndex, prevTerm } = message;
  const ownTerm = state.log.termAt(prevIndex);
  if (prevIndex > state.commitIndex) {
    if (ownTerm !== prevTerm) {
      refuseAppend(state, from, message);
      return;
    }
  } else {
    // Up to the commit index the leader's log is the own one, even where the own one is gone.
    assert(
      ownTerm === undefined || ownTerm === prevTerm,
      `entry ${prevIndex} is committed in term ${ownTerm}, the leader has term ${prevTerm}`,
    );
  }
  for (const entry of message.entries) takeEntry(state, entry);
  // What the log holds beyond this message may stem from another leader.
  const matchIndex = prevIndex + message.entries.length;
  assert(matchIndex <= state.log.lastIndex, `matched ${matchIndex} beyond the log's end`);
  commitTo(state, Math.min(message.commitIndex, matchIndex));
  noteMatch(state, matchIndex);
  acknowledge(state, from, prevIndex, matchIndex);
}

/** Answers with success; appends that follow one another in one batch share the answer. */
export function acknowledge(
  state: State,
  to: NodeId,
  prevIndex: LogIndex,
  matchIndex: LogIndex,
): void {
  const { sendOnSync: answers } = state.effects;
  const last = answers.at(-1);
  let first = prevIndex;
  if (last?.to === to && last.message.type === "append_response" && last.message.success) {
    const { term, prevIndex: lastPrev, matchIndex: lastMatch } = last.message;
    if (term === state.term && lastPrev <= prevIndex && lastMatch === prevIndex) {
      answers.pop();
      first = lastPrev;
    }
  }
  sendOnSync(state, to, {
    type: "append_response",
    term: state.term,
    prevIndex: first,
    success: true,
    matchIndex,
    hintIndex: 0,
    hintTerm: 0,
    ...nonceOf(state),
  });
}

/** Tells the leader, while it is so, that what this node holds does not count. */
function nonceOf({ recovery }: State): { readonly nonce?: number } {
  return recovery === undefined ? {} : { nonce: recovery.nonce };
}

function takeEntry(state: State, entry: Entry): void {
  const { log } = state;
  if (entry.index <= log.baseIndex) return;
  if (entry.index <= log.lastIndex) {
    const term = log.termAt(entry.index);
    if (term === entry.term) return;
    assert(
      entry.index > state.commitIndex,
      `entry ${entry.index} is committed in term ${term}, the leader has term ${entry.term}`,
    );
    truncateLog(state, entry.index);
  }
  appendEntry(state, entry);
  if (entry.type === "configuration" && isMember(entry.configuration, state.id)) {
    state.removed = false;
  }
}

/** The entries follow `prevIndex` without a gap, and their terms fit. */
function isWellFormed(message: AppendRequest): boolean {
  let { prevIndex: index, prevTerm: term } = message;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < term) return false;
    index = entry.index;
    term = entry.term;
  }
  return term <= message.term;
}

/** Refuses, with the latest place where the logs may agree. */
function refuseAppend(state: State, to: NodeId, message: AppendRequest): void {
  const { log } = state;
  const hintIndex = Math.max(
    log.lastWithTermAtMost(Math.min(message.prevIndex, log.lastIndex), message.prevTerm),
    state.commitIndex,
  );
  sendOnSync(state, to, {
    type: "append_response",
    term: state.term,
    prevIndex: message.prevIndex,
    success: false,
    matchIndex: 0,
    hintIndex,
    hintTerm: log.termAt(hintIndex) ?? 0,
    ...nonceOf(state),
  });
}

/** Answers a heartbeat, and commits what the leader knows this node to hold. */
export function onHeartbeatRequest(
  state: State,
  from: NodeId,
  message: Extract<Message, { type: "heartbeat_request" }>,
): void {
  heardFromLeader(state, from);
  const { commitIndex, round } = message;
  // What the leader knows a recovering node to hold, it may have forgotten; appends tell as well.
  if (state.recovery === undefined) {
    assert(
      commitIndex <= state.log.lastIndex,
      `node ${from} knows entry ${commitIndex} to be here, but the log ends at ` +
        `${state.log.lastIndex}: acknowledged entries were lost`,
    );
    commitTo(state, commitIndex);
  }
  // Nothing that it is sent can count: to the leader it is as good as gone.
  if (isStalled(state)) return;
  send(state, from, { type: "heartbeat_response", term: state.term, round });
}

/** Tells the sender of an old term about the current one, so that it stops or catches up. */
export function answerOldLeader(
  state: State,
  from: NodeId,
  message: Extract<
    Message,
    { type: "append_request" | "heartbeat_request" | "snapshot_offer" | "configuration" }
  >,
): void {
  if (message.type === "append_request") {
    sendOnSync(state, from, {
      type: "append_response",
      term: state.term,
      prevIndex: message.prevIndex,
      success: false,
      matchIndex: 0,
      hintIndex: 0,
      hintTerm: 0,
    });
  } else {
    send(state, from, { type: "heartbeat_response", term: state.term, round: 0 });
  }
}

/** A sign of the leader of the current term. */
export function heardFromLeader(state: State, from: NodeId): void {
  assert(state.role !== "leader", `nodes ${from} and ${state.id} lead in term ${state.term}`);
  assert(
    state.leader === undefined || state.leader === from,
    `nodes ${from} and ${state.leader} lead in term ${state.term}`,
  );
  becomeFollower(state, state.term, from);
  resetElectionTimer(state);
  state.promisedAtTick = state.tick;
}
