/** One line of text for each value of the core: for logs, operators and tests. */
import { DEFAULT_WEIGHT, weightOf } from "./priority.ts";
import type {
  Configuration,
  Effects,
  Entry,
  Message,
  NodeId,
  Outbound,
  PeerStatus,
  RecoveryStatement,
  Status,
} from "./types.ts";

/** `7@3 command 12B`: index, term, and what it is. */
export function describeEntry(entry: Entry): string {
  const place = `${entry.index}@${entry.term}`;
  switch (entry.type) {
    case "noop":
      return `${place} noop`;
    case "command":
      return `${place} command ${entry.payload.length}B`;
    case "configuration":
      return `${place} ${describeConfiguration(entry.configuration)}`;
  }
}

/** `voters=1 outgoing=1 learners=3 standbys=4 spares=5 weights=2:0`; empty parts are left out. */
export function describeConfiguration(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, standbys, spares, members } = configuration;
  let text = `voters=${voters.join()}`;
  if (votersOutgoing.length > 0) text += ` outgoing=${votersOutgoing.join()}`;
  if (learners.length > 0) text += ` learners=${learners.join()}`;
  if (standbys.length > 0) text += ` standbys=${standbys.join()}`;
  if (spares.length > 0) text += ` spares=${spares.join()}`;
  const weighed = members.filter((member) => weightOf(member) !== DEFAULT_WEIGHT);
  if (weighed.length > 0) {
    text += ` weights=${weighed.map((member) => `${member.id}:${weightOf(member)}`).join()}`;
  }
  return text;
}

/** `1→2 append_request term=3 prev=6@3 [7@3 command 12B] commit=6`. */
export function describeMessage(
  from: NodeId,
  to: NodeId,
  message: Message | Outbound["message"],
): string {
  return `${from}→${to} ${message.type} term=${message.term}${describeBody(message)}`;
}

function describeBody(message: Message | Outbound["message"]): string {
  switch (message.type) {
    case "vote_request": {
      const flags = (message.preVote ? " pre" : "") + (message.transfer ? " transfer" : "");
      return `${flags} last=${message.lastIndex}@${message.lastTerm}` +
        ` commit=${message.commitIndex}@${message.commitTerm}`;
    }
    case "vote_response":
      return `${message.preVote ? " pre" : ""} ${message.granted ? "granted" : "refused"}` +
        (message.recovering === true ? " recovering" : "") +
        ` commit=${message.commitIndex}@${message.commitTerm}`;
    case "append_request": {
      const entries = message.entries.map(describeEntry).join(", ");
      return ` prev=${message.prevIndex}@${message.prevTerm} [${entries}]` +
        ` commit=${message.commitIndex}${describeRecovery(message.recovery)}`;
    }
    case "append_range": {
      const range = message.last < message.first ? "" : `${message.first}..${message.last}`;
      return ` prev=${message.prevIndex}@${message.prevTerm} [${range}]` +
        ` commit=${message.commitIndex}${describeRecovery(message.recovery)}`;
    }
    case "append_response":
      return ` prev=${message.prevIndex}` +
        (message.success
          ? ` match=${message.matchIndex}`
          : ` refused hint=${message.hintIndex}@${message.hintTerm}`) +
        (message.nonce === undefined ? "" : ` recovering=${message.nonce}`);
    case "heartbeat_request":
      return ` commit=${message.commitIndex} round=${message.round}`;
    case "heartbeat_response":
      return ` round=${message.round}`;
    case "read_request":
      return ` ticket=${message.ticket}`;
    case "read_response":
      return ` ticket=${message.ticket} index=${message.index ?? "unknown"}`;
    case "timeout_now":
      return "";
    case "snapshot_offer":
      return ` base=${message.baseIndex}@${message.baseTerm}`;
    case "removed":
      return ` configuration=${message.configurationIndex}`;
    case "configuration":
      return ` ${message.index}: ${describeConfiguration(message.configuration)}`;
  }
}

/** `n1@3 leader last=7@3 commit=6 {2:7→8 replicate 3:4→5 probe silent}`. */
export function describeStatus(status: Status): string {
  const leader = status.role === "follower" && status.leader !== undefined
    ? `(${status.leader})`
    : "";
  let text = `n${status.id}@${status.term} ${status.role}${leader}` +
    ` last=${status.lastIndex}@${status.lastTerm} commit=${status.commitIndex}`;
  if (status.role === "leader" && !status.established) text += " new";
  if (status.votedFor !== undefined) text += ` voted=${status.votedFor}`;
  if (status.removed) text += " removed";
  if (status.recovering) text += " recovering";
  if (status.transferTarget !== undefined) text += ` transfer=${status.transferTarget}`;
  if (status.peers.length > 0) text += ` {${status.peers.map(describePeer).join(", ")}}`;
  return text;
}

/** ` recovery=17:9`: the nonce of the receiver's start, and where the leader's log ended. */
function describeRecovery(statement: RecoveryStatement | undefined): string {
  return statement === undefined ? "" : ` recovery=${statement.nonce}:${statement.lastIndex}`;
}

function describePeer(peer: PeerStatus): string {
  const silent = peer.active ? "" : " silent";
  const recovering = peer.recovering ? " recovering" : "";
  return `${peer.id}:${peer.matchIndex}→${peer.nextIndex} ${peer.state}${silent}${recovering}`;
}

/** One line for each thing to be done, in the order of the contract. */
export function describeEffects(from: NodeId, effects: Effects): string[] {
  const lines: string[] = [];
  const { hardState, reset, truncateFrom, append, mark, commitIndex, snapshotNeeded } = effects;
  if (hardState !== undefined) {
    lines.push(`hard state term=${hardState.term} vote=${hardState.votedFor ?? "none"}`);
  }
  if (reset !== undefined) lines.push(`reset to ${reset.index}@${reset.term}`);
  if (truncateFrom !== undefined) lines.push(`truncate from ${truncateFrom}`);
  for (const entry of append) lines.push(`append ${describeEntry(entry)}`);
  if (effects.recovered) lines.push("recovered");
  if (mark !== undefined) lines.push(`mark ${mark.index} of term ${mark.leaderTerm}`);
  for (const { to, message } of effects.send) {
    lines.push(`send ${describeMessage(from, to, message)}`);
  }
  for (const { to, message } of effects.sendOnSync) {
    lines.push(`send on sync ${describeMessage(from, to, message)}`);
  }
  if (commitIndex !== undefined) lines.push(`commit ${commitIndex}`);
  if (snapshotNeeded !== undefined) lines.push(`needs a snapshot of n${snapshotNeeded}`);
  for (const { ticket, index } of effects.reads) {
    lines.push(`read ${ticket} index=${index ?? "unknown"}`);
  }
  return lines;
}
