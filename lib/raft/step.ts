/** One message from a peer: the rules of terms, then the rule of its type. */
import { unreachable } from "../base/assert.ts";
import { commitByHint } from "./commit.ts";
import { isMember } from "./configuration.ts";
import { hasLease, onVoteRequest, onVoteResponse, refuseVote, startElection } from "./election.ts";
import { answerOldLeader, onAppendRequest, onHeartbeatRequest } from "./follow.ts";
import { onRemoved } from "./membership.ts";
import { onReadRequest, onReadResponse } from "./reads.ts";
import { onAppendResponse, onHeartbeatResponse } from "./replication.ts";
import { becomeFollower } from "./role.ts";
import { onSnapshotOffer } from "./snapshot.ts";
import { onConfiguration } from "./spare.ts";
import { configurationOf, send, type State } from "./state.ts";
import type { Message, NodeId } from "./types.ts";

/** Takes a message in. Old, repeated and reordered messages do no harm. */
export function stepMessage(state: State, from: NodeId, message: Message): void {
  if (from === state.id) return;
  if (message.type === "removed") {
    onRemoved(state, message);
    return;
  }
  if (message.type === "vote_request" || message.type === "vote_response") {
    commitByHint(state, message.commitIndex, message.commitTerm);
  }
  if (message.term > state.term) {
    if (!enterTerm(state, from, message)) return;
  } else if (message.term < state.term) {
    answerOldTerm(state, from, message);
    return;
  }
  dispatch(state, from, message);
}

/** Handles a later term. Returns false when the message ends here. */
function enterTerm(state: State, from: NodeId, message: Message): boolean {
  switch (message.type) {
    case "vote_request":
      if (message.preVote) return true;
      if (!message.transfer && hasLease(state)) {
        refuseVote(state, from, false);
        return false;
      }
      becomeFollower(state, message.term, undefined);
      return true;
    case "vote_response":
      // A granted pre-vote names the term that was asked for, which nobody entered yet.
      if (message.preVote && message.granted) return message.term === state.term + 1;
      break;
    case "append_request":
    case "heartbeat_request":
    case "configuration":
    case "snapshot_offer":
    case "timeout_now":
      becomeFollower(state, message.term, from);
      return true;
    default:
      break;
  }
  // A node that left the cluster must not unseat its leader.
  if (state.role === "leader" && !isMember(configurationOf(state), from)) return false;
  becomeFollower(state, message.term, undefined);
  return true;
}

/** Tells a node that is behind; without it, a node alone in a later term could never come back. */
function answerOldTerm(state: State, from: NodeId, message: Message): void {
  switch (message.type) {
    case "append_request":
    case "heartbeat_request":
    case "configuration":
    case "snapshot_offer":
      answerOldLeader(state, from, message);
      break;
    case "vote_request":
      refuseVote(state, from, message.preVote);
      break;
    case "read_request":
      send(state, from, {
        type: "read_response",
        term: state.term,
        ticket: message.ticket,
        index: undefined,
      });
      break;
    default:
      break;
  }
}

function dispatch(state: State, from: NodeId, message: Message): void {
  switch (message.type) {
    case "vote_request":
      onVoteRequest(state, from, message);
      break;
    case "vote_response":
      onVoteResponse(state, from, message);
      break;
    case "append_request":
      onAppendRequest(state, from, message);
      break;
    case "heartbeat_request":
      onHeartbeatRequest(state, from, message);
      break;
    case "append_response":
    case "heartbeat_response":
      onPeerResponse(state, from, message);
      break;
    case "read_request":
      onReadRequest(state, from, message);
      break;
    case "read_response":
      onReadResponse(state, message);
      break;
    case "timeout_now":
      if (state.leader === undefined || state.leader === from) startElection(state, true);
      break;
    case "snapshot_offer":
      onSnapshotOffer(state, from, message);
      break;
    case "configuration":
      onConfiguration(state, from, message);
      break;
    case "removed":
      onRemoved(state, message);
      break;
    default:
      unreachable(message);
  }
}

function onPeerResponse(
  state: State,
  from: NodeId,
  message: Extract<Message, { type: "append_response" | "heartbeat_response" }>,
): void {
  const { leadership } = state;
  const peer = leadership?.progress.get(from);
  if (leadership === undefined || peer === undefined) return;
  peer.heardAtTick = state.tick;
  if (message.type === "append_response") onAppendResponse(state, leadership, peer, message);
  else onHeartbeatResponse(state, leadership, peer, message.round);
  const counts = !peer.spare && peer.recovery === undefined;
  if (counts && peer.matchIndex >= state.commitIndex) peer.caughtUp = true;
}
