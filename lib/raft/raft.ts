/**
 * The consensus core's face. Everything is synchronous: inputs change the state at once, and
 * `takeEffects` says what the driver has to do. There is no clock, randomness, I/O or payload
 * inside.
 */
import { advanceCommit, noteCommitted } from "./commit.ts";
import { tickState } from "./clock.ts";
import { isMember, isReplica } from "./configuration.ts";
import { onOwnVoteDurable, startPreVote } from "./election.ts";
import { proposeChange } from "./membership.ts";
import type { RaftOptions, RestoredState } from "./options.ts";
import { type Proposal, proposeCommands } from "./propose.ts";
import { dropReadsOf, flushReads, requestRead } from "./reads.ts";
import { flushAppends, onPeerUnreachable } from "./replication.ts";
import { installSnapshot, lacksOffered } from "./snapshot.ts";
import {
  createState,
  isEmpty,
  knownConfiguration,
  noEffects,
  noteProgress,
  type State,
} from "./state.ts";
import { copyState } from "./state_copy.ts";
import { stepMessage } from "./step.ts";
import { startTransfer } from "./transfer.ts";
import type {
  ConfigurationChange,
  Effects,
  LogIndex,
  LogMark,
  Message,
  NodeId,
  ProposalResult,
  Role,
  SnapshotBase,
  Status,
  Term,
} from "./types.ts";

/** One node's part in consensus. */
export class Raft {
  #state: State;

  /**
   * Starts as a follower that knows what was durable.
   *
   * @throws {AssertionError} when options or restored state contradict themselves.
   */
  constructor(options: RaftOptions, restored: RestoredState) {
    const state = createState(options, restored);
    const known = state.configurations.between(restored.baseIndex, state.commitIndex);
    for (const placed of known) noteCommitted(state, placed);
    state.effects = noEffects();
    this.#state = state;
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): Term {
    return this.#state.term;
  }

  /** The node that leads, as far as this one knows. */
  get leader(): NodeId | undefined {
    return this.#state.leader;
  }

  get commitIndex(): LogIndex {
    return this.#state.commitIndex;
  }

  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex;
  }

  /** True when leading and an entry of the own term is committed. */
  get established(): boolean {
    return this.#state.leadership?.established === true;
  }

  /** Whether this node receives nothing of the log, as far as it knows. */
  get isSpare(): boolean {
    const { configuration } = knownConfiguration(this.#state);
    return isMember(configuration, this.#state.id) && !isReplica(configuration, this.#state.id);
  }

  /** The term of the entry at `index`, that of the log's base included; undefined outside. */
  termAt(index: LogIndex): Term | undefined {
    return this.#state.log.termAt(index);
  }

  /** Lets one unit of time pass. */
  tick(): void {
    tickState(this.#state);
  }

  /**
   * Takes a message from another node, whose identity the transport has verified.
   *
   * @throws {AssertionError} when it shows that consensus was broken: stop the node.
   */
  step(from: NodeId, message: Message): void {
    stepMessage(this.#state, from, message);
  }

  /** Appends commands, all or none. Accepted ones may still be lost until they are committed. */
  propose(payloads: readonly Proposal[]): ProposalResult {
    return proposeCommands(this.#state, payloads);
  }

  /** Begins a change of the membership; one at a time. */
  proposeConfiguration(change: ConfigurationChange): ProposalResult {
    return proposeChange(this.#state, change);
  }

  /**
   * Asks for the index that a linearizable read has to wait for.
   *
   * @returns A ticket; `effects.reads` answers it exactly once, on every node.
   */
  read(): number {
    return requestRead(this.#state);
  }

  /** Hands leadership to another voter. Accepted means begun; it may fail by timeout. */
  transfer(to: NodeId): ProposalResult {
    return startTransfer(this.#state, to);
  }

  /** A write, and all before it, is durable. Marks may be skipped, later ones stand for them. */
  onDurable(mark: LogMark): void {
    const state = this.#state;
    noteProgress(state, mark);
    const { durable } = state;
    const isNewer = mark.leaderTerm > durable.leaderTerm ||
      (mark.leaderTerm === durable.leaderTerm && mark.index > durable.index);
    if (!isNewer) return;
    state.durable = mark;
    if (mark.leaderTerm !== state.term) return;
    if (state.role === "candidate") onOwnVoteDurable(state);
    else if (state.leadership !== undefined) advanceCommit(state, state.leadership);
  }

  /** The connection to `peer` broke; messages on their way may be lost. */
  onUnreachable(peer: NodeId): void {
    const { leadership } = this.#state;
    if (leadership !== undefined) onPeerUnreachable(this.#state, leadership, peer);
  }

  /** `peer` has a new boot id. Call this before its first message of the new life. */
  onPeerRestarted(peer: NodeId): void {
    const state = this.#state;
    state.leadership?.progress.get(peer)?.restart(state.log.lastIndex + 1);
    dropReadsOf(state, peer);
    if (state.leadership !== undefined) state.effects.changed = true;
  }

  /** Whether this node lacks the entry after which its leader's log begins, as last offered. */
  get lacksSnapshot(): boolean {
    return lacksOffered(this.#state);
  }

  /**
   * A snapshot is in place, durably: the databases hold what its last entry, and all before it,
   * made of them. The log is kept when it holds that entry, and replaced otherwise; one that is
   * behind what is committed here changes nothing. The leader is told in any case.
   */
  installSnapshot(base: SnapshotBase): void {
    installSnapshot(this.#state, base);
  }

  /** The log forgot the entries before `firstIndex`; all of them are committed. */
  onCompacted(firstIndex: LogIndex): void {
    this.#state.log.compact(Math.min(firstIndex, this.#state.commitIndex + 1));
    this.#state.configurations.compact(this.#state.log.baseIndex);
  }

  /**
   * Campaigns without waiting for the election timeout. Does nothing on a non-voter, nor, where
   * leases are in use, on a node that heard from a leader.
   */
  campaign(): void {
    startPreVote(this.#state);
  }

  /**
   * Hands over what is to be done and starts anew. The result belongs to the caller, except when
   * there is nothing to do: then it is one shared, frozen value.
   */
  takeEffects(): Effects {
    const state = this.#state;
    this.#flush();
    const { effects } = state;
    if (isEmpty(effects)) return NOTHING;
    state.effects = noEffects();
    return effects;
  }

  /**
   * Whether `takeEffects` would return anything. Messages are put together at this moment, so
   * ask once per batch of inputs.
   */
  hasEffects(): boolean {
    this.#flush();
    return !isEmpty(this.#state.effects);
  }

  /** Everything worth knowing, as a copy. */
  status(): Status {
    const state = this.#state;
    const { leadership, log } = state;
    const { index, configuration } = knownConfiguration(state);
    return {
      id: state.id,
      role: state.role,
      term: state.term,
      votedFor: state.votedFor,
      leader: state.leader,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      commitIndex: state.commitIndex,
      established: this.established,
      configuration,
      configurationIndex: index,
      removed: state.removed,
      recovering: state.recovery !== undefined,
      transferTarget: leadership?.transfer?.to,
      peers: (leadership?.peers ?? []).map((peer) => ({
        id: peer.id,
        state: peer.state,
        matchIndex: peer.matchIndex,
        nextIndex: peer.nextIndex,
        active: peer.isActive(state.tick, state.electionTicks),
        recovering: peer.recovery !== undefined,
      })),
    };
  }

  /** The whole state as a copy, to be looked at or given to `restoreState`. */
  copyState(): State {
    return copyState(this.#state);
  }

  /** Goes back, or over, to a state that was copied; the copy stays as it is. */
  restoreState(state: State): void {
    this.#state = copyState(state);
  }

  #flush(): void {
    const state = this.#state;
    if (state.leadership !== undefined) flushAppends(state, state.leadership);
    flushReads(state);
  }
}

const NOTHING: Effects = frozenEffects();

function frozenEffects(): Effects {
  const effects = noEffects();
  for (const list of [effects.append, effects.send, effects.sendOnSync, effects.reads]) {
    Object.freeze(list);
  }
  return Object.freeze(effects);
}
