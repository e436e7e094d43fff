/**
 * The leader's side of replication (Raft, §5.3): what to send to each peer, and what its answers
 * mean. Entries travel by index; the driver puts them in.
 */
import { advanceCommit } from "./commit.ts";
import { confirmLease } from "./lease.ts";
import type { Progress } from "./progress.ts";
import { notePeerRecovery } from "./recovery.ts";
import { onRoundConfirmed } from "./reads.ts";
import { type Leadership, send, type State } from "./state.ts";
import { continueTransfer } from "./transfer.ts";
import type { LogIndex, Message, NodeId } from "./types.ts";

/** Sends every peer what it lacks, as far as flow control allows. */
export function flushAppends(state: State, leadership: Leadership): void {
  const { log } = state;
  for (const peer of leadership.peers) {
    if (peer.spare) continue;
    if (peer.state !== "replicate" && !peer.paused) sendAppend(state, peer);
    while (
      peer.state === "replicate" && peer.nextIndex <= log.lastIndex && !peer.inflight.full
    ) {
      sendAppend(state, peer);
    }
  }
}

function sendAppend(state: State, peer: Progress): void {
  const { log, limits } = state;
  const first = peer.nextIndex;
  if (first <= log.baseIndex) {
    if (peer.state !== "snapshot") state.effects.changed = true;
    peer.awaitSnapshot();
    const { baseIndex } = log;
    const baseTerm = log.termAt(baseIndex)!;
    send(state, peer.id, { type: "snapshot_offer", term: state.term, baseIndex, baseTerm });
    peer.sent(baseIndex, 0);
    return;
  }
  const last = first > log.lastIndex
    ? first - 1
    : log.fit(first, limits.appendEntriesMax, limits.appendBytesMax);
  sendRange(state, peer, first, last);
  peer.sent(last, log.sizeOf(first, last));
}

function sendRange(state: State, peer: Progress, first: LogIndex, last: LogIndex): void {
  const prevIndex = first - 1;
  const { commitIndex } = state;
  peer.toldCommitIndex = Math.max(peer.toldCommitIndex, Math.min(commitIndex, last));
  send(state, peer.id, {
    type: "append_range",
    term: state.term,
    prevIndex,
    prevTerm: state.log.termAt(prevIndex)!,
    commitIndex,
    first,
    last,
    ...(peer.recovery === undefined ? {} : { recovery: peer.recovery }),
  });
}

/** A peer took, or refused, entries. */
export function onAppendResponse(
  state: State,
  leadership: Leadership,
  peer: Progress,
  message: Extract<Message, { type: "append_response" }>,
): void {
  const { log } = state;
  const before = peer.state;
  const counts = notePeerRecovery(state, peer, message.nonce);
  if (!message.success) {
    const agreeIndex = log.lastWithTermAtMost(message.hintIndex, message.hintTerm);
    if (peer.refused(message.prevIndex, agreeIndex)) {
      if (before !== peer.state) state.effects.changed = true;
    }
    return;
  }
  if (message.matchIndex > log.lastIndex) return;
  const changed = peer.acknowledged(message.matchIndex, log.baseIndex);
  if (peer.recovery !== undefined) askAgain(state, peer);
  if (!changed && !counts) return;
  if (before !== peer.state) state.effects.changed = true;
  advanceCommit(state, leadership);
  if (state.leadership !== leadership) return;
  continueTransfer(state, leadership, peer);
}

/** A peer answered a heartbeat: it can be reached, and confirms a round of reads. */
export function onHeartbeatResponse(
  state: State,
  leadership: Leadership,
  peer: Progress,
  round: number,
): void {
  if (round > peer.confirmedRound && round <= state.reads.round) {
    peer.confirmedRound = round;
    confirmLease(leadership, peer, round);
    onRoundConfirmed(state, leadership, peer);
  }
  if (peer.state !== "replicate") {
    // The probe, or its answer, may be lost.
    peer.paused = false;
  } else {
    if (peer.recovery !== undefined) askAgain(state, peer);
    const stalled = peer.matchIndex === peer.matchAtHeartbeat && peer.inflight.count > 0;
    // An empty append behind everything sent is refused when something in between was lost; when
    // the log begins later by now, what was lost is gone.
    if (stalled && peer.nextIndex <= state.log.baseIndex) sendAppend(state, peer);
    else if (stalled) sendRange(state, peer, peer.nextIndex, peer.nextIndex - 1);
    peer.matchAtHeartbeat = peer.matchIndex;
  }
}

/** A peer that is recovering is told where the log ends, though there is nothing else to send. */
function askAgain(state: State, peer: Progress): void {
  const { lastIndex } = state.log;
  if (peer.state !== "replicate" || peer.nextIndex <= lastIndex) return;
  if (peer.inflight.count === 0) sendRange(state, peer, lastIndex + 1, lastIndex);
}

/** The connection to a peer broke: what was on its way may be lost. */
export function onPeerUnreachable(state: State, leadership: Leadership, id: NodeId): void {
  const peer = leadership.progress.get(id);
  if (peer === undefined || peer.state !== "replicate") return;
  peer.probe();
  // A heartbeat's answer shows that the peer is back.
  peer.paused = true;
  state.effects.changed = true;
}
