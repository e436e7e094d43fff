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
 *
 * *Healing* is the same way, taken by a node whose log is whole and whose database differs from
 * those of the others:
 *
 * ```text
 *   idle ── found ──▶ sessions let go, durably marked ──▶ fetching ──▶ copying ──▶ … ──▶ idle
 * ```
 *
 * It gives the database up only when a source is there; until then a restart finds the mark, and
 * nobody reads. The snapshot may be older than what was applied: the log, which is not compacted
 * meanwhile, has what follows. The argument above does not hold for such a node, as its log is not
 * behind. It goes on to take entries, to vote and to stand for election, for all of that is about
 * logs alone, and its log is as good as any: were it to keep out, a cluster that has lost another
 * voter might elect nobody, although a database is left. What it must not do is lead its database.
 * It does not, as only a node that is `following` begins to; and as the leader of the log it brings
 * the other voters up to date and hands over to one after another, until the one that leads has a
 * database. Each of these steps keeps all that was committed, as any change of leader does.
 */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { SNAPSHOT_RETRY_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import { isReplica } from "../raft/configuration.ts";
import type { Raft } from "../raft/raft.ts";
import type { LogIndex, Message, NodeId, SnapshotBase } from "../raft/types.ts";
import type { DatabaseList } from "../wire/database_list.ts";
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
   * Every page is in the files.
   *
   * @param fuzzyIndex The last entry that any page may show.
   * @param databases All that came; undefined for the first one alone.
   */
  done(fuzzyIndex: LogIndex, databases?: DatabaseList): void;
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
   * Takes the database away from everybody, for good, then calls `quiet`. A leader leads no more.
   *
   * @returns False when it cannot be now; to be tried again.
   */
  takeAway(quiet: () => void): boolean;
  /** The database holds everything up to `index`, and is not to be applied to yet. */
  replaced(index: LogIndex): void;
  /** Everything goes on. */
  giveBack(): void;
  /** A database that differed is one again that does not. */
  healed(): void;
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
  /** Attempts that came to nothing since the last one that did not. */
  #failures = 0;
  /** The entry after which the database was found to differ, from then on until it is replaced. */
  #found: LogIndex | undefined;
  #handovers = 0;

  constructor(options: InstallOptions, host: InstallHost) {
    this.#options = options;
    this.#host = host;
    this.#found = options.machine.diverged;
  }

  /** Whether there is no database, or none that the log knows of, or one that differs. */
  get isPending(): boolean {
    const { log, machine } = this.#options;
    return this.#isWanting || isAhead(log, machine);
  }

  /** Whether the database is known to differ: nobody may read it. */
  get isHealing(): boolean {
    return this.#found !== undefined;
  }

  /** Whether only a snapshot helps, and nobody uses the database. */
  get #isWanting(): boolean {
    const { machine } = this.#options;
    return machine.installing || machine.diverged !== undefined;
  }

  /** Goes on where a stop of any kind cut an installation off. */
  start(): void {
    const { log, machine } = this.#options;
    if (machine.installed !== undefined && isAhead(log, machine)) this.#reset(machine.installed);
  }

  /** The leader offered what this node lacks. */
  offered(by: NodeId): void {
    if (this.#step !== "idle" || this.#options.clock.nowMs() < this.#retryAtMs) return;
    // Sessions still let go of it.
    if (this.isHealing && !this.#isWanting) return;
    this.#fetch(this.#sourceBeside(by));
  }

  /**
   * The database was found to differ from those of the others after an entry.
   *
   * @returns False when it is being replaced already.
   */
  heal(index: LogIndex): boolean {
    const isReplaced = this.#step !== "idle" && this.#step !== "fetching";
    if (this.isHealing || isReplaced || this.isPending) return false;
    if (this.#step === "fetching") this.#abandon();
    this.#found = index;
    this.#failures = 0;
    this.#retryAtMs = 0;
    this.#mark(index, ++this.#attempt);
    return true;
  }

  /** Time passed: without a database, the node asks by itself, and does not lead for long. */
  tick(): void {
    const { raft } = this.#options;
    if (!this.#isWanting) return;
    if (raft.role === "leader") this.#handOver();
    else if (raft.leader !== undefined) this.offered(raft.leader);
  }

  /**
   * Whether the core may see a message: no entries while the database is away. They count as lost,
   * so that the leader tries again at the pace of its heartbeats.
   */
  takes(message: Message): boolean {
    if (message.type !== "append_request" || message.entries.length === 0) return true;
    if (this.isHealing) return true;
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
      done: (fuzzyIndex, databases) => {
        if (isCurrent()) this.#done(fuzzyIndex, databases);
      },
      failed: () => {
        if (isCurrent()) this.#giveUp();
      },
    });
  }

  /**
   * The first entry that a snapshot must hold to be of use. The databases do not go back, unless
   * they are given up already, or differ, or the log was cut behind them: the leader may only learn
   * with this node's help that all that they held is committed, or be in the middle of a batch that
   * no later snapshot can hold. It has all of that in its log, as every leader does, and sends it
   * again.
   */
  #least(): LogIndex {
    const { log, machine } = this.#options;
    const appliedIndex = this.#host.appliedIndex();
    const isAhead = log.recovering && appliedIndex > log.lastIndex;
    const mayGoBack = isAhead || machine.installing || this.isHealing;
    return Math.max(1, log.baseIndex, mayGoBack ? 1 : appliedIndex);
  }

  /**
   * Whom to ask. When the leader failed, as its own file may be damaged, others are asked as well,
   * every second time.
   */
  #sourceBeside(leader: NodeId): NodeId {
    if (this.#failures % 2 === 0) return leader;
    const { id: own, configuration } = this.#options.raft.status();
    const others = configuration.members
      .map(({ id }) => id)
      .filter((id) => id !== own && id !== leader && isReplica(configuration, id));
    return others[(this.#failures - 1) / 2 % others.length] ?? leader;
  }

  /** Takes the database away, and says durably that it is not to be used. */
  #mark(index: LogIndex, attempt: number): void {
    if (attempt !== this.#attempt) return;
    const { machine, clock } = this.#options;
    const isGoing = this.#host.takeAway(() => {
      try {
        machine.markDiverged(index);
      } catch (error) {
        this.#host.fail(error);
      }
    });
    if (!isGoing) clock.after(CLEAR_RETRY_MS, () => this.#mark(index, attempt));
  }

  /** As the leader of the log: another voter that answers is to lead, one after another. */
  #handOver(): void {
    const { raft } = this.#options;
    const { id: own, peers, configuration: { voters }, transferTarget } = raft.status();
    if (transferTarget !== undefined) return;
    const heirs = peers.filter((peer) =>
      voters.includes(peer.id) && peer.active && !peer.recovering
    );
    if (voters.every((id) => id === own)) return this.#host.fail(nobodyLeft());
    const heir = heirs[this.#handovers++ % heirs.length];
    if (heir !== undefined) raft.transfer(heir.id);
  }

  #begin(base: SnapshotBase, least: LogIndex, proceed: () => void): void {
    assert(this.#step === "fetching", `a snapshot begins while ${this.#step}`);
    this.#base = base;
    if (base.index < least) this.#abandon();
    else if (this.#isWanting) this.#copy(proceed);
    else this.#clear(base, this.#attempt, proceed);
  }

  /** Entries may have come after all, as long as none were kept out. */
  #clear(base: SnapshotBase, attempt: number, proceed: () => void): void {
    if (attempt !== this.#attempt) return;
    const { raft, clock } = this.#options;
    if (!raft.lacksSnapshot || base.index < this.#least()) return this.#abandon();
    this.#step = "clearing";
    const isGoing = this.#host.takeAway(() => {
      if (attempt !== this.#attempt) return;
      if (raft.lacksSnapshot) this.#copy(proceed);
      else this.#abandon();
    });
    if (isGoing) return;
    this.#step = "fetching";
    clock.after(CLEAR_RETRY_MS, () => this.#clear(base, attempt, proceed));
  }

  /** Pages may be overwritten: nobody uses the database, and there is somebody who gives them. */
  #copy(proceed: () => void): void {
    const { machine } = this.#options;
    try {
      if (!machine.installing) machine.beginInstall();
      this.#step = "copying";
      proceed();
    } catch (error) {
      this.#host.fail(error);
    }
  }

  #done(fuzzyIndex: LogIndex, databases: DatabaseList | undefined): void {
    const base = this.#base;
    assert(this.#step === "copying" && base !== undefined, `a snapshot ends while ${this.#step}`);
    this.#attempt++;
    this.#failures = 0;
    try {
      this.#options.machine.completeInstall(base, fuzzyIndex, databases);
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
    this.#failures++;
    this.#retryAtMs = this.#options.clock.nowMs() + SNAPSHOT_RETRY_MS;
    const isAway = this.#step === "clearing";
    this.#step = "idle";
    this.#base = undefined;
    if (isAway) this.#host.giveBack();
  }

  #end(): void {
    const wasHealing = this.isHealing;
    this.#step = "idle";
    this.#base = undefined;
    this.#found = undefined;
    this.#host.giveBack();
    if (wasHealing) this.#host.healed();
  }
}

/** The other voters left while this node was healing. */
function nobodyLeft(): DatabaseError {
  return new DatabaseError(
    "CORRUPT",
    "The database of this node differs from those of the others, and no other voter is left",
    { hint: "Bring another voter back, or see `dqlite recover`" },
  );
}
