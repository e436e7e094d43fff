/** What must hold in every state, looked at where the last move changed something. */
import { EMPTY_CONFIGURATION } from "../../../lib/raft/configuration.ts";
import { hasQuorum } from "../../../lib/raft/quorum.ts";
import type { Configuration, Entry } from "../../../lib/raft/types.ts";
import type { Move, World } from "./model.ts";
import type { Letter, ModelNode } from "./node.ts";

/** The first rule that `after` breaks; undefined when all hold. */
export function findViolation(
  before: World,
  after: World,
  move: Move,
  fresh: readonly Letter[],
): string | undefined {
  const previous = before.nodes[move.at]!;
  const node = after.nodes[move.at]!;
  const crashed = move.input.type === "crash" || move.input.type === "damage";
  if (!crashed && node.core.commitIndex < previous.core.commitIndex) {
    return `commit index: node ${node.id} goes back to ${node.core.commitIndex}`;
  }
  return voteSafety(after, fresh) ?? electionSafety(after, previous, node) ??
    logMatching(after, previous, node) ?? stateMachineSafety(after, node) ??
    committedIsDurable(before, after, previous, node);
}

/** A node votes for one candidate in a term. */
function voteSafety(after: World, fresh: readonly Letter[]): string | undefined {
  for (const letter of fresh) {
    const { message, from, to } = letter;
    if (message.type !== "vote_response" || !message.granted || message.preVote) continue;
    for (const inbox of after.inboxes) {
      for (const { message: other, from: voter, to: candidate } of inbox) {
        const isSecond = voter === from && candidate !== to && other.term === message.term &&
          other.type === "vote_response" && other.granted && !other.preVote;
        if (isSecond) {
          return `vote safety: node ${from} votes for ${to} and ${candidate} in ${message.term}`;
        }
      }
    }
  }
  return undefined;
}

/** One leader in a term, for ever, and it holds everything that was committed before. */
function electionSafety(
  after: World,
  previous: ModelNode,
  node: ModelNode,
): string | undefined {
  const { term, leadership } = node.core;
  const isNew = leadership !== undefined &&
    (previous.core.leadership === undefined || previous.core.term !== term);
  if (!isNew) return undefined;
  const other = after.nodes.find(({ id, core }) =>
    id !== node.id && core.leadership !== undefined && core.term === term
  );
  const trace = after.inboxes.flat().find(({ from, message }) =>
    from !== node.id && message.term === term &&
    (message.type === "append_request" || message.type === "heartbeat_request")
  );
  if (other !== undefined || trace !== undefined) {
    return `election safety: nodes ${node.id} and ${other?.id ?? trace?.from} lead term ${term}`;
  }
  const missing = after.committed.findIndex((entry, at) => node.entries[at] !== entry);
  return missing < 0
    ? undefined
    : `leader completeness: node ${node.id} leads term ${term} without entry ${missing + 1}`;
}

/** Where two logs have an entry of the same index and term, they are equal up to it. */
function logMatching(
  after: World,
  previous: ModelNode,
  node: ModelNode,
): string | undefined {
  const isSame = node.entries.length === previous.entries.length &&
    node.entries.every((entry, at) => previous.entries[at] === entry);
  if (isSame) return undefined;
  for (const other of after.nodes) {
    if (other === node) continue;
    const at = mismatch(node.entries, other.entries) ?? mismatch(node.entries, other.disk.entries);
    if (at !== undefined) return `log matching: nodes ${node.id}, ${other.id} differ at ${at}`;
  }
  for (const inbox of after.inboxes) {
    for (const { message, text } of inbox) {
      if (message.type !== "append_request") continue;
      for (const entry of message.entries) {
        const own = node.entries[entry.index - 1];
        if (own !== undefined && own.term === entry.term && own !== entry) {
          return `log matching: node ${node.id} has another entry than "${text}"`;
        }
      }
    }
  }
  return undefined;
}

/** The index of an entry that differs before one of equal index and term. */
function mismatch(a: readonly Entry[], b: readonly Entry[]): number | undefined {
  let at = Math.min(a.length, b.length) - 1;
  while (at >= 0 && a[at]!.term !== b[at]!.term) at--;
  for (; at >= 0; at--) if (a[at] !== b[at]) return at + 1;
  return undefined;
}

/** All nodes commit the same entries. */
function stateMachineSafety(after: World, node: ModelNode): string | undefined {
  for (let at = 0; at < node.core.commitIndex; at++) {
    if (node.entries[at] !== after.committed[at] || node.entries[at] === undefined) {
      return `state machine safety: node ${node.id} commits another entry ${at + 1}`;
    }
  }
  return undefined;
}

/** What is committed is on the disks of a quorum. */
function committedIsDurable(
  before: World,
  after: World,
  previous: ModelNode,
  node: ModelNode,
): string | undefined {
  const { committed } = after;
  if (committed.length === 0) return undefined;
  if (committed === before.committed && previous.disk.entries === node.disk.entries) {
    return undefined;
  }
  const holds = (id: number) => {
    // What a recovering node holds does not count; what it acknowledged before may be counted.
    const { entries, promised } = after.nodes[id - 1]!.disk;
    const held = promised ?? entries;
    return committed.every((entry, at) => held[at] === entry);
  };
  if (hasQuorum(latest(committed), holds)) return undefined;
  return `durability: entry ${committed.length} is committed without a quorum`;
}

function latest(entries: readonly Entry[]): Configuration {
  const entry = entries.findLast(({ type }) => type === "configuration");
  return entry?.type === "configuration" ? entry.configuration : EMPTY_CONFIGURATION;
}
