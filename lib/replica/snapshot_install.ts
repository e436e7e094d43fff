/**
 * The taking end of a snapshot: from the leader's offer to a database and a log that begin with it.
 *
 * ```text
 *   idle ── offer ──▶ fetching ── the source names its base ──▶ clearing ── sessions let go ──▶
 *     copying ── every page is there ──▶ resetting ── the log begins behind it, durably ──▶ idle
 * ```
 *
 * Each step is durable before the next one: that the database is given up, before the first page is
 * overwritten; the pages, before they count again; that they do, before the log is replaced. From
 * `clearing` on the node takes no entries. So its log stays behind the base that it lacks, which a
 * quorum without it holds, and no node without a database can be elected.
 */
import { assert } from "../base/assert.ts";
import { SNAPSHOT_RETRY_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import type { Raft } from "../raft/raft.ts";
import type { LogIndex, Message, NodeId, SnapshotBase } from "../raft/types.ts";
import type { StateMachine } from "./state_machine.ts";

/** Takes what a source sends. Calls to one that was cancelled mean nothing. */
export interface SnapshotReceiver {
  /**
   * The source names what it has.
   *
   * @param proceed Called, perhaps later, when pages may be overwritten.
   */
  begin(base: SnapshotBase, proceed: () => void): void;
  /**
   * Every page is in the file.
   *
   * @param fuzzyIndex The last entry that any page may show.
   */
  done(fuzzyIndex: LogIndex): void;
  /** It ends here: the source is gone, or has nothing to give. */
  failed(): void;
}

/** How pages come from another node into the database file. */
export interface SnapshotEdge {
  /**
   * Asks a node for its snapshot. Exactly one of `done` and `failed` ends it, never before this
   * returns, unless it is cancelled by the function returned.
   *
   * @param least The first entry that a snapshot must hold to be of use.
   */
  fetch(from: NodeId, least: LogIndex, receiver: SnapshotReceiver): () => void;
}

/** What an installation needs of the loop around it. */
export interface InstallHost {
  appliedIndex(): LogIndex;
  /**
   * Takes the database away from everybody, for good, then calls `quiet`.
   *
   * @returns False when it cannot be now; to be tried again.
   */
  takeAway(quiet: () => void): boolean;
  /** The database holds everything up to `index`, and is not to be applied to yet. */
  replaced(index: LogIndex): void;
  /** Everything goes on. */
  giveBack(): void;
  /** Carries out what the core wants done. */
  process(): void;
  fail(error: unknown): void;
}

/** What an installation works with. */
export interface InstallOptions {
  readonly raft: Raft;
  readonly log: RaftLog;
  readonly machine: StateMachine;
  readonly clock: Clock;
  /** Undefined when this node takes no snapshots. */
  readonly edge: SnapshotEdge | undefined;
}

type Step = "idle" | "fetching" | "clearing" | "copying" | "resetting";

/** Pause between two attempts to take the database away. */
const CLEAR_RETRY_MS = 2;

/**
 * The index that a node which starts knows to be committed. A snapshot that the log does not know
 * of yet does not count: it is installed first.
 */
export function knownCommitIndex(
  log: Pick<RaftLog, "baseIndex" | "baseAt">,
  machine: Pick<StateMachine, "checkpointIndex" | "installed">,
): LogIndex {
  if (isAhead(log, machine)) return log.baseIndex;
  return Math.max(log.baseIndex, machine.checkpointIndex);
}

/** Whether the files hold a snapshot that the log does not know of. */
function isAhead(
  log: Pick<RaftLog, "baseAt">,
  { installed }: Pick<StateMachine, "installed">,
): boolean {
  return installed !== undefined && log.baseAt(installed.index)?.term !== installed.term;
}

/** See the file comment. */
export class SnapshotInstall {
  readonly #options: InstallOptions;
  readonly #host: InstallHost;
  #step: Step = "idle";
  #base: SnapshotBase | undefined;
  #cancel: () => void = () => {};
  /** Tells one attempt from another. */
  #attempt = 0;
  #retryAtMs = 0;

  constructor(options: InstallOptions, host: InstallHost) {
    this.#options = options;
    this.#host = host;
  }

  /** Whether there is no database, or none that the log knows of. */
  get isPending(): boolean {
    const { log, machine } = this.#options;
    return machine.installing || isAhead(log, machine);
  }

  /** Goes on where a stop of any kind cut an installation off. */
  start(): void {
    const { log, machine } = this.#options;
    if (machine.installed !== undefined && isAhead(log, machine)) this.#reset(machine.installed);
  }

  /** The leader offered what this node lacks. */
  offered(by: NodeId): void {
    if (this.#step === "idle" && this.#options.clock.nowMs() >= this.#retryAtMs) this.#fetch(by);
  }

  /** Time passed: without a database, the node asks by itself. */
  tick(): void {
    const { leader } = this.#options.raft;
    if (this.#options.machine.installing && leader !== undefined) this.offered(leader);
  }

  /**
   * Whether the core may see a message: no entries while the database is away. They count as lost,
   * so that the leader tries again at the pace of its heartbeats.
   */
  takes(message: Message): boolean {
    if (message.type !== "append_request" || message.entries.length === 0) return true;
    const away = this.#step !== "idle" && this.#step !== "fetching";
    return !away && !this.isPending;
  }

  /** It is durable that the log begins after `base`. */
  resetDurable(base: SnapshotBase): void {
    assert(this.#step === "resetting" && base === this.#base, `an unknown reset to ${base.index}`);
    this.#end();
  }

  stop(): void {
    this.#attempt++;
    this.#cancel();
  }

  #fetch(from: NodeId): void {
    const { edge } = this.#options;
    if (edge === undefined) return;
    const attempt = ++this.#attempt;
    const isCurrent = () => attempt === this.#attempt;
    this.#step = "fetching";
    const least = this.#least();
    this.#cancel = edge.fetch(from, least, {
      begin: (base, proceed) => {
        if (isCurrent()) this.#begin(base, least, proceed);
      },
      done: (fuzzyIndex) => {
        if (isCurrent()) this.#done(fuzzyIndex);
      },
      failed: () => {
        if (isCurrent()) this.#giveUp();
      },
    });
  }

  /**
   * The first entry that a snapshot must hold to be of use. The databases do not go back, unless
   * they are given up already, or the log was cut behind them: the leader may only learn with this
   * node's help that all that they held is committed, or be in the middle of a batch that no later
   * snapshot can hold. It has all of that in its log, as every leader does, and sends it again.
   */
  #least(): LogIndex {
    const { log, machine } = this.#options;
    const appliedIndex = this.#host.appliedIndex();
    const isAhead = log.recovering && appliedIndex > log.lastIndex;
    return Math.max(1, log.baseIndex, isAhead || machine.installing ? 1 : appliedIndex);
  }

  #begin(base: SnapshotBase, least: LogIndex, proceed: () => void): void {
    assert(this.#step === "fetching", `a snapshot begins while ${this.#step}`);
    this.#base = base;
    if (base.index < least) this.#abandon();
    else if (this.#options.machine.installing) {
      this.#step = "copying";
      proceed();
    } else this.#clear(base, this.#attempt, proceed);
  }

  /** Entries may have come after all, as long as none were kept out. */
  #clear(base: SnapshotBase, attempt: number, proceed: () => void): void {
    if (attempt !== this.#attempt) return;
    const { raft, machine, clock } = this.#options;
    if (!raft.lacksSnapshot || base.index < this.#least()) return this.#abandon();
    this.#step = "clearing";
    const isGoing = this.#host.takeAway(() => {
      if (attempt !== this.#attempt) return;
      try {
        if (!raft.lacksSnapshot) return this.#abandon();
        machine.beginInstall();
        this.#step = "copying";
        proceed();
      } catch (error) {
        this.#host.fail(error);
      }
    });
    if (isGoing) return;
    this.#step = "fetching";
    clock.after(CLEAR_RETRY_MS, () => this.#clear(base, attempt, proceed));
  }

  #done(fuzzyIndex: LogIndex): void {
    const base = this.#base;
    assert(this.#step === "copying" && base !== undefined, `a snapshot ends while ${this.#step}`);
    this.#attempt++;
    try {
      this.#options.machine.completeInstall(base, fuzzyIndex);
      this.#host.replaced(base.index);
      this.#reset(base);
    } catch (error) {
      this.#host.fail(error);
    }
  }

  /** The log is to begin behind the snapshot, or holds its last entry already. */
  #reset(base: SnapshotBase): void {
    const { raft } = this.#options;
    this.#step = "resetting";
    this.#base = base;
    const isKept = base.index <= raft.commitIndex || raft.termAt(base.index) === base.term;
    raft.installSnapshot(base);
    this.#host.process();
    if (isKept) this.#end();
  }

  /** The source has nothing of use: it is told to stop. */
  #abandon(): void {
    this.#cancel();
    this.#giveUp();
  }

  #giveUp(): void {
    this.#attempt++;
    this.#retryAtMs = this.#options.clock.nowMs() + SNAPSHOT_RETRY_MS;
    const isAway = this.#step === "clearing";
    this.#step = "idle";
    this.#base = undefined;
    if (isAway) this.#host.giveBack();
  }

  #end(): void {
    this.#step = "idle";
    this.#base = undefined;
    this.#host.giveBack();
  }
}
