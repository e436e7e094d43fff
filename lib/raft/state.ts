/** The whole state of the core, plain, and the few primitives that every rule shares. */
import { assert } from "../base/assert.ts";
import { below, type Random } from "../base/random.ts";
import { ConfigurationStack, isVoter, type PlacedConfiguration } from "./configuration.ts";
import { LogOutline } from "./log_outline.ts";
import { limitsOf, type RaftLimits, type RaftOptions, type RestoredState } from "./options.ts";
import { extraWaits } from "./priority.ts";
import type { Progress } from "./progress.ts";
import type { Vote } from "./quorum.ts";
import type {
  Configuration,
  Effects,
  Entry,
  LogIndex,
  LogMark,
  NodeId,
  Outbound,
  Role,
  SnapshotBase,
  Term,
} from "./types.ts";

/** What only a leader knows. */
export interface Leadership {
  /** The no-op that began this term: once it is committed, the leader is established. */
  readonly startIndex: LogIndex;
  readonly startTick: number;
  established: boolean;
  heartbeatElapsed: number;
  /** The leader's view of every other member. */
  readonly progress: Map<NodeId, Progress>;
  /** The values of `progress`, by increasing id. */
  peers: readonly Progress[];
  transfer: Transfer | undefined;
  /** Another node was told to campaign in this term: it may do so at any time. */
  orderedCampaign: boolean;
  /** The first round that began in each tick, oldest first, as far as a lease may need it. */
  readonly leaseRounds: { readonly round: number; readonly tick: number }[];
}

/** A leadership on its way to another node. */
export interface Transfer {
  readonly to: NodeId;
  elapsed: number;
  /** The target holds the whole log and was told to campaign. */
  told: boolean;
}

/** A read that waits for the leader to confirm that it still leads. */
export interface PendingRead {
  readonly ticket: number;
  /** The node that asked: this one, or a follower. */
  readonly from: NodeId;
}

/** Reads that are confirmed together. */
export interface ReadRound {
  readonly round: number;
  /** The commit index when the round began. */
  readonly index: LogIndex;
  readonly reads: readonly PendingRead[];
}

/** Reads that a follower asked its leader for, under one ticket. */
export interface ForwardedReads {
  readonly ticket: number;
  readonly sentTick: number;
  readonly tickets: readonly number[];
}

/** Linearizable reads, on a leader and on a follower. */
export interface ReadState {
  nextTicket: number;
  /** The latest confirmation round; it only grows, over all terms. */
  round: number;
  /** Leader: reads that no round covers yet. */
  waiting: PendingRead[];
  /** Leader: rounds that await a quorum, oldest first. */
  rounds: ReadRound[];
  /** Follower: reads that were not sent to the leader yet. */
  collected: number[];
  /** Follower: reads that await the leader's answer, oldest first. */
  forwarded: ForwardedReads[];
  /** How many reads the four lists hold. */
  pendingCount: number;
}

/** How far a log that was cut at damage has been made good; see recovery.ts. */
export interface Recovery {
  readonly nonce: number;
  /** The term whose leader said where its log ends. */
  readonly term: Term;
  readonly goalIndex: LogIndex | undefined;
}

/** What the disk owes. */
export interface PendingWrite {
  /** The mark of the latest write. */
  readonly mark: LogMark;
  /** When the disk last made progress, or the oldest of these writes was handed to it. */
  readonly sinceTick: number;
}

export interface State {
  readonly id: NodeId;
  readonly random: Random;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly leaseTicks: number;
  readonly limits: RaftLimits;
  readonly log: LogOutline;
  readonly configurations: ConfigurationStack;
  /** Set while this node is recovering. */
  recovery: Recovery | undefined;

  term: Term;
  votedFor: NodeId | undefined;
  /** The latest write that is known to be durable. */
  durable: LogMark;
  /** Set while a write is not known to be durable. */
  writing: PendingWrite | undefined;
  commitIndex: LogIndex;

  role: Role;
  leader: NodeId | undefined;
  removed: boolean;
  /** Ticks since the start. */
  tick: number;
  /** Ticks since the last sign of a leader, or since the last campaign began. */
  electionElapsed: number;
  /** Ticks of silence after which this node campaigns. */
  electionTimeout: number;
  /** What a leader told this node as a spare: the latest committed configuration. */
  told: PlacedConfiguration | undefined;
  /** The base of a leader's log, as last offered. */
  offered: { readonly index: LogIndex; readonly term: Term } | undefined;
  /** Answers to the campaign under way. */
  votes: Map<NodeId, Vote>;
  /** The tick of the last sign of any leader; the start counts as one. */
  promisedAtTick: number;
  /** Set exactly while `role` is `leader`. */
  leadership: Leadership | undefined;
  readonly reads: ReadState;
  /** What is to be done since the last `takeEffects`. */
  effects: Effects;
}

/**
 * The state of a node that starts.
 *
 * @throws {AssertionError} when what was restored contradicts itself.
 */
export function createState(options: RaftOptions, restored: RestoredState): State {
  const { id, random, electionTicks, heartbeatTicks, leaseTicks = 0 } = options;
  assert(Number.isSafeInteger(id) && id > 0, `bad node id ${id}`);
  assert(heartbeatTicks > 0, `bad heartbeat interval ${heartbeatTicks}`);
  assert(electionTicks > heartbeatTicks, `election timeout ${electionTicks} is too short`);
  assert(leaseTicks >= 0 && leaseTicks < electionTicks, `a lease of ${leaseTicks} is too long`);
  const log = new LogOutline(restored.baseIndex, restored.baseTerm);
  assert(restored.firstIndex === log.firstIndex, `log starts at ${restored.firstIndex}`);
  const base = { index: restored.baseIndex, configuration: restored.baseConfiguration };
  const configurations = new ConfigurationStack(base);
  for (const { index, term, sizeBytes, configuration } of restored.entries) {
    assert(index === log.lastIndex + 1, `entry ${index} follows ${log.lastIndex}`);
    log.append(term, sizeBytes);
    if (configuration !== undefined) configurations.push({ index, configuration });
  }
  const { term, votedFor } = restored.hardState;
  assert(term >= log.lastTerm, `term ${term} is behind the log's ${log.lastTerm}`);
  const { recoveryNonce: nonce } = restored;
  assert(nonce !== 0, "a nonce is positive");
  const commitIndex = nonce === undefined
    ? Math.max(restored.commitIndex, restored.baseIndex)
    : restored.baseIndex;
  const { configuration } = configurations.latest;
  assert(commitIndex <= log.lastIndex, `commit ${commitIndex} is beyond ${log.lastIndex}`);
  return {
    id,
    random,
    electionTicks,
    heartbeatTicks,
    leaseTicks,
    limits: limitsOf(options.limits),
    log,
    configurations,
    recovery: nonce === undefined ? undefined : { nonce, term, goalIndex: undefined },
    term,
    votedFor,
    durable: { leaderTerm: term, index: log.lastIndex },
    writing: undefined,
    commitIndex,
    role: "follower",
    leader: undefined,
    removed: false,
    tick: 0,
    electionElapsed: 0,
    electionTimeout: drawTimeout(options, configuration),
    told: undefined,
    offered: undefined,
    votes: new Map(),
    promisedAtTick: 0,
    leadership: undefined,
    reads: createReads(random),
    effects: noEffects(),
  };
}

/**
 * Ticks of silence after which a node campaigns: a random number, so that campaigns seldom meet,
 * beyond the waits that leave voters of higher weights the first chance.
 */
export function drawTimeout(
  { id, random, electionTicks }: Pick<RaftOptions, "id" | "random" | "electionTicks">,
  configuration: Configuration,
): number {
  const waits = 1 + extraWaits(configuration, id);
  return waits * electionTicks + below(random, electionTicks);
}

function createReads(random: Random): ReadState {
  return {
    // A response to a request of an earlier life of this node must not fit one of this life.
    nextTicket: random.next() * 0x10_0000 + 1,
    round: 0,
    waiting: [],
    rounds: [],
    collected: [],
    forwarded: [],
    pendingCount: 0,
  };
}

export function noEffects(): Effects {
  return {
    hardState: undefined,
    reset: undefined,
    truncateFrom: undefined,
    append: [],
    recovered: false,
    mark: undefined,
    send: [],
    sendOnSync: [],
    commitIndex: undefined,
    snapshotNeeded: undefined,
    reads: [],
    changed: false,
  };
}

export function isEmpty(effects: Effects): boolean {
  return !effects.changed && effects.mark === undefined && effects.send.length === 0 &&
    effects.sendOnSync.length === 0 && effects.commitIndex === undefined &&
    effects.snapshotNeeded === undefined && effects.reads.length === 0;
}

/** The configuration in force: the latest in the log, committed or not. */
export function configurationOf(state: State): Configuration {
  return state.configurations.latest.configuration;
}

/**
 * The latest configuration that this node knows of: a spare may have been told of one that its log
 * does not hold. That one is committed, so it is behind every leader to come.
 */
export function knownConfiguration(state: State): PlacedConfiguration {
  const { told, configurations } = state;
  if (told === undefined || told.index <= state.commitIndex) return configurations.latest;
  return configurations.at(told.index).index === told.index ? configurations.latest : told;
}

/**
 * Whether this node may campaign: a voter may, and not once it learned of its removal. While the
 * entry that removes it is not known to be committed, it still may: when only this node holds that
 * entry, nobody else can win (thesis, §4.2.2). It does not count itself then. For the same reason a
 * learner may, as a last resort (see priority.ts): others may know it as a voter already and need
 * its vote, which it denies them when its log is the longer one.
 */
export function isPromotable(state: State): boolean {
  if (state.removed || state.recovery !== undefined) return false;
  const latest = knownConfiguration(state);
  if (isVoter(latest.configuration, state.id)) return true;
  if (latest.configuration.learners.includes(state.id)) return latest !== state.told;
  if (latest === state.told || latest.index <= state.commitIndex) return false;
  return isVoter(state.configurations.at(latest.index - 1).configuration, state.id);
}

/** Sends a message as soon as the term that it reveals is durable. */
export function send(state: State, to: NodeId, message: Outbound["message"]): void {
  const { effects } = state;
  const durable = state.durable.leaderTerm >= state.term;
  const queue = durable ? effects.send : effects.sendOnSync;
  queue.push({ to, message } as Outbound);
}

/** Sends a message once everything that was decided up to now is durable. */
export function sendOnSync(state: State, to: NodeId, message: Outbound["message"]): void {
  state.effects.sendOnSync.push({ to, message } as Outbound);
}

/** Has the term and the vote written, in front of everything else of this batch. */
export function writeHardState(state: State): void {
  state.effects.hardState = { term: state.term, votedFor: state.votedFor };
  markWrite(state);
}

/** Has it written, behind everything else of this batch, that the log misses nothing any more. */
export function writeRecovered(state: State): void {
  state.effects.recovered = true;
  state.effects.changed = true;
  markWrite(state);
}

/** Adds an entry to the log. */
export function appendEntry(state: State, entry: Entry): void {
  assert(entry.index === state.log.lastIndex + 1, `entry ${entry.index} leaves a gap`);
  assert(entry.term <= state.term, `entry of term ${entry.term} in term ${state.term}`);
  state.log.append(entry.term, payloadBytes(entry));
  state.effects.append.push(entry);
  if (entry.type === "configuration") {
    state.configurations.push({ index: entry.index, configuration: entry.configuration });
    state.effects.changed = true;
  }
  markWrite(state);
}

/** Forgets entries that contradict the leader's. */
export function truncateLog(state: State, index: LogIndex): void {
  assert(index > state.commitIndex, `truncation at ${index}, committed is ${state.commitIndex}`);
  assert(state.leadership === undefined, "a leader never truncates");
  const { effects } = state;
  state.log.truncate(index);
  if (state.configurations.truncate(index)) effects.changed = true;
  const firstNew = effects.append[0]?.index;
  if (firstNew !== undefined && firstNew <= index) {
    effects.append.length = index - firstNew;
  } else {
    effects.append.length = 0;
    effects.truncateFrom = Math.min(effects.truncateFrom ?? index, index);
  }
  markWrite(state);
}

/** Replaces the whole log by what comes after a committed entry that it does not hold. */
export function resetLog(state: State, base: SnapshotBase): void {
  assert(base.index > state.commitIndex, `reset to ${base.index} behind ${state.commitIndex}`);
  assert(base.term <= state.term, `base of term ${base.term} in term ${state.term}`);
  const { effects } = state;
  const { index, configuration } = base;
  state.log.reset(index, base.term);
  state.configurations.reset({ index, configuration });
  effects.reset = base;
  effects.truncateFrom = undefined;
  effects.append = [];
  // Entries of this batch are not written any more, so nobody may be told that they are.
  effects.sendOnSync = effects.sendOnSync.filter(({ message }) =>
    message.type !== "append_response" || !message.success
  );
  effects.changed = true;
  state.commitIndex = index;
  effects.commitIndex = index;
  markWrite(state);
}

function markWrite(state: State): void {
  const mark = { leaderTerm: state.term, index: state.log.lastIndex };
  state.effects.mark = mark;
  state.writing = { mark, sinceTick: state.writing?.sinceTick ?? state.tick };
}

/** Notes that the disk made progress: everything up to `mark` is durable. */
export function noteProgress(state: State, mark: LogMark): void {
  const { writing } = state;
  if (writing === undefined) return;
  state.writing = isBehind(mark, writing.mark)
    ? { mark: writing.mark, sinceTick: state.tick }
    : undefined;
}

/** Whether `mark` comes before `other`. */
function isBehind(mark: LogMark, other: LogMark): boolean {
  if (mark.leaderTerm !== other.leaderTerm) return mark.leaderTerm < other.leaderTerm;
  return mark.index < other.index;
}

/**
 * Whether the disk owes a write and has made no progress for the longest election timeout. Such a
 * node must not pass for a healthy one: it keeps nothing it is told.
 */
export function isStalled(state: State): boolean {
  const { writing } = state;
  return writing !== undefined && state.tick - writing.sinceTick >= 2 * state.electionTicks;
}

/** Bytes of an entry's payload, as the bounds of the core count them. */
export function payloadBytes(entry: Entry): number {
  return entry.type === "command" ? entry.payload.length : 0;
}
