/**
 * Changing who takes part. A configuration is in force as soon as it is in the log, and a leader
 * starts one change at a time, after an entry of its own term is committed (thesis, §4.1, §4.3,
 * and the erratum to single-server changes).
 */
import { assert } from "../base/assert.ts";
import { applyChange, isJoint, isMember, isVoter, leaveJoint } from "./configuration.ts";
import { announceCommit } from "./heartbeat.ts";
import { hasQuorum } from "./quorum.ts";
import { confirmRounds } from "./reads.ts";
import { becomeFollower, syncPeers } from "./role.ts";
import {
  appendEntry,
  configurationOf,
  isPromotable,
  knownConfiguration,
  type Leadership,
  send,
  type State,
} from "./state.ts";
import { dropTransferOfStranger, resign } from "./transfer.ts";
import type {
  Configuration,
  ConfigurationChange,
  LogIndex,
  Message,
  NodeId,
  ProposalRefusal,
  ProposalResult,
} from "./types.ts";

/** Begins a change, when it is valid and nothing stands in its way. */
export function proposeChange(state: State, change: ConfigurationChange): ProposalResult {
  const { leadership, configurations: { latest } } = state;
  if (leadership === undefined) return refuse("not_leader", `Node ${state.id} does not lead`);
  if (leadership.transfer !== undefined) {
    return refuse("transferring", `Leadership is on its way to node ${leadership.transfer.to}`);
  }
  if (!leadership.established) return refuse("changing", "The leader is new: nothing is committed");
  if (latest.index > state.commitIndex || isJoint(latest.configuration)) {
    return refuse("changing", `The change of entry ${latest.index} is under way`);
  }
  const result = applyChange(latest.configuration, change);
  if ("invalid" in result) return refuse("invalid", result.invalid);
  const next = result.configuration;
  const promoted = change.type === "assign" && change.role === "voter" ? change.id : undefined;
  if (promoted !== undefined && leadership.progress.get(promoted)?.caughtUp !== true) {
    return refuse("changing", `Node ${promoted} has not caught up`);
  }
  if (isJoint(next) && !isSurvivable(state, leadership, next)) {
    return refuse("changing", "Too few of the remaining voters answer");
  }
  return { accepted: true, index: appendConfiguration(state, leadership, next), term: state.term };
}

/** Whether the voters that answered lately decide in `configuration`, in both halves. */
function isSurvivable(state: State, leadership: Leadership, configuration: Configuration): boolean {
  const { progress } = leadership;
  return hasQuorum(
    configuration,
    (id) => {
      const peer = progress.get(id);
      const counts = peer?.recovery === undefined &&
        peer?.isActive(state.tick, state.electionTicks) === true;
      return id === state.id || counts;
    },
  );
}

function refuse(refusal: ProposalRefusal, reason: string): ProposalResult {
  return { accepted: false, refusal, reason };
}

function appendConfiguration(
  state: State,
  leadership: Leadership,
  configuration: Configuration,
): LogIndex {
  const index = state.log.lastIndex + 1;
  appendEntry(state, { type: "configuration", index, term: state.term, configuration });
  syncPeers(state, leadership);
  dropTransferOfStranger(state, leadership);
  // Nobody may be left whose answer a round awaits.
  confirmRounds(state, leadership);
  return index;
}

/**
 * Goes on with a change after the commit index moved: whoever leads when the joint configuration
 * is committed leaves it, even if another node began.
 *
 * @param previousCommit The commit index before.
 */
export function continueChange(
  state: State,
  leadership: Leadership,
  previousCommit: LogIndex,
): void {
  const { latest } = state.configurations;
  if (!leadership.established || latest.index > state.commitIndex) return;
  if (isJoint(latest.configuration)) {
    appendConfiguration(state, leadership, leaveJoint(latest.configuration));
    return;
  }
  if (latest.index > previousCommit) dismissRemoved(state);
  // A learner that was elected has brought a majority up to date by now.
  const isDue = latest.index > previousCommit || leadership.startIndex > previousCommit;
  if (isDue && !latest.configuration.voters.includes(state.id)) retire(state, leadership);
}

/** Tells the nodes that the configuration just committed left out. */
function dismissRemoved(state: State): void {
  const { latest } = state.configurations;
  const { configuration: previous } = state.configurations.at(latest.index - 1);
  for (const { id } of previous.members) {
    if (id !== state.id && !isMember(latest.configuration, id)) sendRemoved(state, id);
  }
}

/** A leader that is no voter any more hands over to the best one. */
function retire(state: State, leadership: Leadership): void {
  assert(!isVoter(configurationOf(state), state.id), "a voter does not retire");
  announceCommit(state, leadership);
  resign(state, leadership);
}

/** Tells a node that asks for votes that it was removed, when that is certain here. */
export function answerStranger(state: State, from: NodeId): void {
  const { latest } = state.configurations;
  const { configuration } = latest;
  if (latest.index > state.commitIndex || configuration.members.length === 0) return;
  if (!isMember(configuration, from)) sendRemoved(state, from);
}

function sendRemoved(state: State, to: NodeId): void {
  const configurationIndex = state.configurations.latest.index;
  send(state, to, { type: "removed", term: state.term, configurationIndex });
}

/** Another node says that a committed configuration leaves this node out. */
export function onRemoved(
  state: State,
  message: Extract<Message, { type: "removed" }>,
): void {
  const latest = knownConfiguration(state);
  // The sender may be behind: a later configuration here may have added this node (again).
  if (message.configurationIndex < latest.index || state.removed) return;
  // A joiner that does not know of its part yet asks nobody, so this is an answer to others.
  if (!isMember(latest.configuration, state.id) && !isPromotable(state)) return;
  state.removed = true;
  state.effects.changed = true;
  becomeFollower(state, state.term, undefined);
}
