/**
 * Configurations as values, and the ones a log holds.
 *
 * A change of voters takes two entries (thesis, §4.3): the joint one, then the one that leaves it.
 * Everybody else, addresses and weights are outside every quorum, so changing them takes one.
 */
import { assert, present, unreachable } from "../base/assert.ts";
import { MEMBERS_MAX } from "../base/limits.ts";
import { DEFAULT_WEIGHT, isWeight, WEIGHT_MAX, weightOf } from "./priority.ts";
import type {
  Configuration,
  ConfigurationChange,
  LogIndex,
  Member,
  MemberRole,
  NodeId,
  NonVoter,
} from "./types.ts";

/** Nobody takes part: what a node knows before its first entry. */
export const EMPTY_CONFIGURATION: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  standbys: [],
  spares: [],
  members: [],
};

/** The configuration of a new cluster: every member votes. */
export function initialConfiguration(members: readonly Member[]): Configuration {
  const sorted = [...members].sort((a, b) => a.id - b.id);
  const configuration = {
    voters: sorted.map((member) => member.id),
    votersOutgoing: [],
    learners: [],
    standbys: [],
    spares: [],
    members: sorted,
  };
  checkConfiguration(configuration);
  return configuration;
}

/** Whether two sets of voters decide together. */
export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** Whether `id` votes, in either half. */
export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
}

/** Whether `id` takes part at all. */
export function isMember(configuration: Configuration, id: NodeId): boolean {
  return configuration.members.some((member) => member.id === id);
}

/**
 * Whether `id` was removed, once `configuration` is committed.
 *
 * @param before The configuration that it replaces.
 * @param wasRemoved What was known before.
 */
export function isRemovedBy(
  configuration: Configuration,
  before: Configuration,
  id: NodeId,
  wasRemoved: boolean,
): boolean {
  if (isMember(configuration, id)) return false;
  // A joiner that replays the time before it was added was not removed.
  return wasRemoved || isMember(before, id);
}

/** Whether `id` is sent the log: every member is, but a spare that does not vote any more. */
export function isReplica(configuration: Configuration, id: NodeId): boolean {
  if (configuration.votersOutgoing.includes(id)) return true;
  return isMember(configuration, id) && !configuration.spares.includes(id);
}

/** The role of `id` now; undefined when it is no member. */
export function roleOf(configuration: Configuration, id: NodeId): MemberRole | undefined {
  if (isVoter(configuration, id)) return "voter";
  if (configuration.learners.includes(id)) return "learner";
  if (configuration.standbys.includes(id)) return "standby";
  return configuration.spares.includes(id) ? "spare" : undefined;
}

/** The voters of both halves, sorted, each once. */
export function votersOf(configuration: Configuration): readonly NodeId[] {
  if (!isJoint(configuration)) return configuration.voters;
  const ids = new Set([...configuration.voters, ...configuration.votersOutgoing]);
  return [...ids].sort((a, b) => a - b);
}

/** The outcome of {@linkcode applyChange}. */
export type ChangeResult =
  | { readonly configuration: Configuration }
  | { readonly invalid: string };

/**
 * The configuration that starts `change`: a joint one when voters change.
 *
 * @param current A configuration that is not joint.
 */
export function applyChange(current: Configuration, change: ConfigurationChange): ChangeResult {
  assert(!isJoint(current), "a change starts from a configuration that is not joint");
  switch (change.type) {
    case "add":
      return add(current, change.member, change.role);
    case "assign":
      return assign(current, change.id, change.role);
    case "remove":
      return remove(current, change.id);
    case "update_member":
      return updateMember(current, change.member);
    default:
      return unreachable(change);
  }
}

/** The configuration after a joint one: who only was an outgoing voter is no member any more. */
export function leaveJoint(joint: Configuration): Configuration {
  assert(isJoint(joint), "only a joint configuration can be left");
  const { voters, learners, standbys, spares } = joint;
  const staying = new Set([...voters, ...learners, ...standbys, ...spares]);
  const members = joint.members.filter(({ id }) => staying.has(id));
  return { ...joint, votersOutgoing: [], members };
}

function add(current: Configuration, member: Member, role: NonVoter): ChangeResult {
  if (!Number.isSafeInteger(member.id) || member.id <= 0) {
    return { invalid: `Cannot add node ${member.id}: an id is a positive integer` };
  }
  if (isMember(current, member.id)) return { invalid: `Node ${member.id} is a member already` };
  if (!isWeight(weightOf(member))) return { invalid: invalidWeight(member) };
  if (current.members.length >= MEMBERS_MAX) {
    return {
      invalid: `Cannot add node ${member.id}: a cluster has at most ${MEMBERS_MAX} members`,
    };
  }
  const members = [...current.members, member].sort((a, b) => a.id - b.id);
  return { configuration: withRole({ ...current, members }, member.id, role) };
}

function assign(current: Configuration, id: NodeId, role: MemberRole): ChangeResult {
  const present = roleOf(current, id);
  if (present === undefined) return { invalid: `Node ${id} is not a member` };
  if (present === role) return { invalid: `Node ${id} is a ${role} already` };
  if (present === "voter") {
    if (role === "learner") return { invalid: `Node ${id} is a voter already` };
    if (current.voters.length === 1) {
      return { invalid: `Cannot make node ${id} a ${role}: it is the only voter` };
    }
  }
  if (present === "spare" && role === "voter") {
    return { invalid: `Node ${id} is a spare and has no log: make it a standby first` };
  }
  const changed = withRole(current, id, role);
  const isDecisive = present === "voter" || role === "voter";
  if (!isDecisive) return { configuration: changed };
  return { configuration: { ...changed, votersOutgoing: current.voters } };
}

function remove(current: Configuration, id: NodeId): ChangeResult {
  const present = roleOf(current, id);
  if (present === undefined) return { invalid: `Node ${id} is not a member` };
  const changed = withRole(current, id, undefined);
  if (present !== "voter") {
    const members = current.members.filter((member) => member.id !== id);
    return { configuration: { ...changed, members } };
  }
  if (current.voters.length === 1) {
    return { invalid: `Cannot remove node ${id}: it is the only voter` };
  }
  return { configuration: { ...changed, votersOutgoing: current.voters } };
}

/** The same with `id` in the list of `role`, and in no other lasting one. */
function withRole(
  configuration: Configuration,
  id: NodeId,
  role: MemberRole | undefined,
): Configuration {
  const listFor = (listed: MemberRole, ids: readonly NodeId[]) =>
    listed === role ? withId(ids, id) : ids.filter((known) => known !== id);
  return {
    ...configuration,
    voters: listFor("voter", configuration.voters),
    learners: listFor("learner", configuration.learners),
    standbys: listFor("standby", configuration.standbys),
    spares: listFor("spare", configuration.spares),
  };
}

function updateMember(current: Configuration, member: Member): ChangeResult {
  if (!isMember(current, member.id)) return { invalid: `Node ${member.id} is not a member` };
  if (!isWeight(weightOf(member))) return { invalid: invalidWeight(member) };
  const members = current.members.map((known) =>
    known.id === member.id ? keepWeight(member, known) : known
  );
  return { configuration: { ...current, members } };
}

function keepWeight(member: Member, known: Member): Member {
  const isKept = member.weight === undefined && known.weight !== undefined;
  return isKept ? { ...member, weight: known.weight } : member;
}

function invalidWeight({ id, weight }: Member): string {
  return `Weight ${weight} of node ${id} is no whole number from 0 to ${WEIGHT_MAX}`;
}

function withId(ids: readonly NodeId[], id: NodeId): readonly NodeId[] {
  return [...ids, id].sort((a, b) => a - b);
}

/** The rule that a configuration breaks, with its values; undefined when its lists fit together. */
export function brokenRule(configuration: Configuration): string | undefined {
  const { voters, votersOutgoing, learners, standbys, spares, members } = configuration;
  const memberIds = members.map(({ id }) => id);
  for (const ids of [voters, votersOutgoing, learners, standbys, spares, memberIds]) {
    if (!ids.every((id, at) => id > (ids[at - 1] ?? 0))) return `ids are not sorted: ${ids.join()}`;
  }
  if (members.length > MEMBERS_MAX) return `${members.length} members are too many`;
  const lasting = [...voters, ...learners, ...standbys, ...spares];
  const named = new Set([...lasting, ...votersOutgoing]);
  if (new Set(lasting).size !== lasting.length) return `a node has two roles: ${lasting.join()}`;
  for (const id of named) {
    if (!memberIds.includes(id)) return `node ${id} has a role but is not a member`;
  }
  if (named.size !== members.length) return "a member has no role";
  for (const { id, weight = DEFAULT_WEIGHT } of members) {
    if (!isWeight(weight)) return `member ${id} has the weight ${weight}`;
  }
  return undefined;
}

/**
 * States what every configuration in a log satisfies.
 *
 * @throws {AssertionError} when it does not hold.
 */
export function checkConfiguration(configuration: Configuration): void {
  const problem = brokenRule(configuration);
  assert(problem === undefined, problem ?? "");
  assert(configuration.voters.length > 0, "a configuration needs a voter");
}

/** A configuration and the entry that holds it. */
export interface PlacedConfiguration {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

/**
 * The configurations a log holds, oldest first; the bottom one is that of the log's base. The
 * latest is in force from the moment it is appended, and truncation brings back the one before.
 */
export class ConfigurationStack {
  readonly #stack: PlacedConfiguration[];

  constructor(base: PlacedConfiguration) {
    this.#stack = [base];
  }

  get latest(): PlacedConfiguration {
    return present(this.#stack.at(-1), "base configuration");
  }

  /** The configuration in force at `index`. */
  at(index: LogIndex): PlacedConfiguration {
    const found = this.#stack.findLast((placed) => placed.index <= index);
    return present(found, `configuration at ${index}`);
  }

  /** The configurations with an index in `(after, upTo]`, oldest first. */
  between(after: LogIndex, upTo: LogIndex): readonly PlacedConfiguration[] {
    if (this.latest.index <= after) return [];
    return this.#stack.filter(({ index }) => index > after && index <= upTo);
  }

  push(placed: PlacedConfiguration): void {
    assert(placed.index > this.latest.index, `configuration ${placed.index} is not the newest`);
    checkConfiguration(placed.configuration);
    this.#stack.push(placed);
  }

  /** Forgets configurations from `index` on. Returns whether there were any. */
  truncate(index: LogIndex): boolean {
    const before = this.#stack.length;
    while (this.latest.index >= index) {
      assert(this.#stack.length > 1, `truncation at ${index} reaches the base`);
      this.#stack.pop();
    }
    return this.#stack.length < before;
  }

  /** Forgets everything: `base` is what the log begins after. */
  reset(base: PlacedConfiguration): void {
    checkConfiguration(base.configuration);
    this.#stack.splice(0, this.#stack.length, base);
  }

  /** Forgets configurations that were replaced at or before `index`. */
  compact(index: LogIndex): void {
    while (this.#stack.length > 1 && this.#stack[1]!.index <= index) this.#stack.shift();
  }

  copy(): ConfigurationStack {
    const copy = new ConfigurationStack(this.#stack[0]!);
    copy.#stack.push(...this.#stack.slice(1));
    return copy;
  }
}
