/**
 * Three nodes and every message ever sent. A message stays after it was delivered: it may come
 * late, again, in any order, or never, so loss, repetition and reordering need no further moves.
 */
import { isJoint, isMember } from "../../../lib/raft/configuration.ts";
import { hasLease } from "../../../lib/raft/election.ts";
import type { ConfigurationChange, Entry, NodeId } from "../../../lib/raft/types.ts";
import { encodeEntries, Numbering } from "./encode.ts";
import { findViolation } from "./invariants.ts";
import type { Bounds, Budget, Move, Start, Successor, World } from "./model.ts";
import type { Input, Letter, ModelNode, Nodes } from "./node.ts";

const NOTHING_USED: Budget = {
  campaigns: 0,
  proposals: 0,
  changes: 0,
  transfers: 0,
  beats: 0,
  damages: 0,
};
const BUDGET_OF: Readonly<Record<Input["type"], keyof Budget | undefined>> = {
  deliver: undefined,
  sync: undefined,
  crash: undefined,
  silence: undefined,
  damage: "damages",
  campaign: "campaigns",
  propose: "proposals",
  change: "changes",
  transfer: "transfers",
  beat: "beats",
};

export function initialWorld(nodes: readonly ModelNode[]): World {
  return { nodes, inboxes: nodes.map(() => []), committed: [], used: NOTHING_USED };
}

/** Everything that can happen next, and change anything. */
export function* successors(
  nodes: Nodes,
  world: World,
  bounds: Bounds,
  start: Start,
): Generator<Successor> {
  for (let at = 0; at < world.nodes.length; at++) {
    if (isMirrored(world, start, at)) continue;
    const node = world.nodes[at]!;
    for (const input of inputs(world, bounds, at)) {
      const successor = advance(nodes, world, { at, input });
      if (successor !== undefined) yield successor;
    }
    if (node.writes.length >= bounds.writes) continue;
    for (const letter of world.inboxes[at]!) {
      const move: Move = { at, input: { type: "deliver", letter } };
      const successor = advance(nodes, world, move);
      if (successor !== undefined) yield successor;
    }
  }
}

/**
 * Of nodes in the same position to which nothing happened yet it is enough that the first begins.
 * Not once something named one of them.
 */
function isMirrored(world: World, start: Start, at: number): boolean {
  const mirror = start.mirrors[at];
  if (mirror === undefined || world.used.changes > 0 || world.used.transfers > 0) return false;
  const isUntouched = (place: number) => world.nodes[place] === start.world.nodes[place];
  return isUntouched(at) && isUntouched(mirror);
}

/** What can happen to a node apart from messages. */
function inputs(world: World, bounds: Bounds, at: number): Input[] {
  const { used } = world;
  const node = world.nodes[at]!;
  const { core } = node;
  const found: Input[] = [];
  if (node.writes.length > 0) found.push({ type: "sync" });
  if (node.crashes < bounds.crashes) found.push({ type: "crash" });
  if (used.damages < bounds.damages) {
    for (let keep = 0; keep < node.disk.entries.length; keep++) {
      found.push({ type: "damage", keep });
    }
  }
  if (node.writes.length >= bounds.writes) return found;
  if (core.leadership === undefined) {
    if (used.campaigns < bounds.campaigns && node.isVoter) found.push({ type: "campaign" });
    if (hasLease(core)) found.push({ type: "silence" });
    return found;
  }
  if (used.beats < bounds.beats) found.push({ type: "beat" });
  // The size tells the commands of a run apart.
  if (used.proposals < bounds.proposals) {
    found.push({ type: "propose", sizeBytes: used.proposals + 1 });
  }
  for (const { id } of world.nodes) {
    if (used.transfers < bounds.transfers && id !== node.id) {
      found.push({ type: "transfer", to: id });
    }
    const change = used.changes < bounds.changes ? changeOf(node, bounds, id) : undefined;
    if (change !== undefined) found.push({ type: "change", change });
  }
  return found;
}

function changeOf(node: ModelNode, bounds: Bounds, id: NodeId): ConfigurationChange | undefined {
  const { configuration } = node.core.configurations.latest;
  if (isJoint(configuration)) return undefined;
  if (bounds.change === "remove" && isMember(configuration, id)) return { type: "remove", id };
  if (bounds.change === "promote" && configuration.standbys.includes(id)) {
    return { type: "assign", id, role: "voter" };
  }
  if (bounds.change === "demote" && configuration.voters.includes(id)) {
    return { type: "assign", id, role: "spare" };
  }
  return undefined;
}

/** Makes a move; undefined when it changes nothing. */
export function advance(nodes: Nodes, world: World, move: Move): Successor | undefined {
  const { at, input } = move;
  const node = world.nodes[at]!;
  const { next, letters, violation } = nodes.run(node, input);
  if (violation !== undefined) return { move, world, violation };
  if (next === node && letters.length === 0) return undefined;
  const fresh = letters.filter((letter) => !world.inboxes[letter.to - 1]!.includes(letter));
  if (next === node && fresh.length === 0) return undefined;
  const budget = BUDGET_OF[input.type];
  const after: World = {
    nodes: world.nodes.with(at, next),
    inboxes: deliverable(
      input.type === "damage" ? closeConnections(world, at) : world,
      next,
      fresh,
    ),
    committed: commit(world.committed, next),
    used: budget === undefined ? world.used : { ...world.used, [budget]: world.used[budget] + 1 },
  };
  return { move, world: after, violation: findViolation(world, after, move, fresh) };
}

function commit(committed: readonly Entry[], node: ModelNode): readonly Entry[] {
  const { commitIndex } = node.core;
  return commitIndex <= committed.length
    ? committed
    : [...committed, ...node.entries.slice(committed.length, commitIndex)];
}

/**
 * Its peers hear of its start before they hear anything else: what it acknowledged before does not
 * arrive after that (`Raft.onPeerRestarted`).
 */
function closeConnections(world: World, at: number): World {
  const isOld = ({ from, message }: Letter) =>
    from === at + 1 && message.type === "append_response";
  const inboxes = world.inboxes.map((inbox) => inbox.filter((letter) => !isOld(letter)));
  return { ...world, inboxes };
}

function deliverable(
  { nodes, inboxes }: World,
  changed: ModelNode,
  fresh: readonly Letter[],
): readonly (readonly Letter[])[] {
  const before = nodes[changed.id - 1]!;
  let result = inboxes;
  if (changed.disk.term > before.disk.term) {
    const at = changed.id - 1;
    result = result.with(at, result[at]!.filter((letter) => !isDead(letter, changed)));
  }
  for (const letter of fresh) {
    const at = letter.to - 1;
    const receiver = at === changed.id - 1 ? changed : nodes[at]!;
    if (!isDead(letter, receiver)) result = result.with(at, [...result[at]!, letter]);
  }
  return result;
}

/** Whether a message can never do anything again: a durable term stays. */
function isDead({ message }: Letter, receiver: ModelNode): boolean {
  if (message.term >= receiver.disk.term) return false;
  switch (message.type) {
    case "append_response":
    case "heartbeat_response":
    case "timeout_now":
      return true;
    case "vote_response":
      // A later commit index would be taken over even from an old answer.
      return message.commitIndex === 0;
    default:
      return false;
  }
}

/** A number below 2^53 for each world; equal worlds have equal numbers. */
export class Fingerprints {
  readonly #committed = new Numbering();
  readonly #numbers = new Map<readonly Entry[], number>();

  of({ nodes, inboxes, committed, used }: World): number {
    let low = 0x2545_f491;
    let high = 0x9e37_79b9;
    const { campaigns, proposals, changes, transfers, beats, damages } = used;
    const rest = transfers + 16 * (beats + 16 * damages);
    const counts = campaigns + 16 * (proposals + 16 * (changes + 16 * rest));
    for (const value of [counts, this.#numberOf(committed), ...nodes.map(({ number }) => number)]) {
      low = mix(low ^ value, 0x85eb_ca6b);
      high = mix(high ^ value, 0xc2b2_ae35);
    }
    let sumLow = 0;
    let sumHigh = 0;
    for (const inbox of inboxes) {
      for (const { number } of inbox) {
        sumLow = (sumLow + mix(number + 1, 0x27d4_eb2f)) | 0;
        sumHigh = (sumHigh + mix(number + 1, 0x1656_67b1)) | 0;
      }
    }
    low = mix(low ^ sumLow, 0x27d4_eb2f);
    high = mix(high ^ sumHigh, 0x1656_67b1);
    return (high >>> 11) * 0x1_0000_0000 + (low >>> 0);
  }

  #numberOf(committed: readonly Entry[]): number {
    let number = this.#numbers.get(committed);
    if (number === undefined) {
      number = this.#committed.of(encodeEntries(committed));
      this.#numbers.set(committed, number);
    }
    return number;
  }
}

/** The end of MurmurHash3 (Appleby), with a multiplier of choice. */
function mix(value: number, multiplier: number): number {
  let x = value ^ (value >>> 16);
  x = Math.imul(x, multiplier);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2_ae35);
  return (x ^ (x >>> 16)) + 0x9e37_79b9 | 0;
}
