/**
 * The loop of a node: what happens goes into the core, what the core wants done is done.
 *
 * ```text
 * message, tick, durable write, captured transactions ──▶ Raft ──▶ Effects
 *   Effects ──▶ log (one ordered stream) ──▶ send on sync, durable marks
 *           ──▶ transport (at once)
 *           ──▶ commit index ──▶ following: apply to the databases   leading: open the gate
 * ```
 *
 * The states of the node towards its databases:
 *
 * ```text
 *               established, all applied
 *   following ───────────────────────────▶ leading
 *       ▲                                     │ another term, or no leader any more
 *       │ sessions are quiet, WAL rewound     ▼
 *       └───────────────────────────────── retiring
 * ```
 *
 * A node that needs a snapshot is *installing* while it has no database, or one that differs; see
 * `snapshot_install.ts`.
 */
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import type { Raft } from "../raft/raft.ts";
import type { Effects, LogIndex, Message, NodeId, Term } from "../raft/types.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import { AppliedWaiters } from "./applied_waiters.ts";
import { ApplySlice } from "./apply_slice.ts";
import { ApplySpace } from "./apply_space.ts";
import { type DatabaseProgress, ProgressTable } from "./database_progress.ts";
import type { GateCallback } from "./gate.ts";
import { sendOutbound } from "./outbound.ts";
import { lostError, Proposals } from "./proposals.ts";
import { type ReadCallback, type ReadOptions, Reads } from "./reads.ts";
import type { MessageSender, ReplicaEvents, ReplicaOptions } from "./replica_options.ts";
import { Room } from "./room.ts";
import { SnapshotInstall } from "./snapshot_install.ts";
import { type CommandCallback, LeaderCommands, tooMuch } from "./leader_commands.ts";
import type { Captured, StateMachine } from "./state_machine.ts";
import { Ticker } from "./ticker.ts";

/** How the node stands towards its databases. */
export type ReplicaMode = "following" | "leading" | "retiring" | "installing" | "stopped";

/** Work done in one go before sockets and timers get their turn. */
const PROPOSE_SLICE_MS = 5;
/** Pause before a machine that waits is asked to apply again. */
const APPLY_WAIT_MS = 5;
/** Pause between two attempts to rewind while a reader is still in the way. */
const REWIND_RETRY_MS = 2;

/** Runs one node's consensus and its databases. */
export class Replica {
  readonly #raft: Raft;
  readonly #log: RaftLog;
  readonly #sender: MessageSender;
  readonly #machine: StateMachine;
  readonly #clock: Clock;
  readonly #events: ReplicaEvents;
  readonly #progress: ProgressTable;
  readonly #proposals = new Proposals();
  readonly #commands: LeaderCommands;
  readonly #applied = new AppliedWaiters();
  readonly #settled = new AppliedWaiters();
  readonly #reads: Reads;
  readonly #room: Room;
  readonly #applySpace: ApplySpace;
  readonly #install: SnapshotInstall;
  readonly #slice: ApplySlice;
  readonly #ticker: Ticker;

  #mode: ReplicaMode;
  #appliedIndex: LogIndex;
  /** The term this node leads in, while leading. */
  #leadingTerm: Term | undefined;
  /** Drained but not yet accepted by the core, since its uncommitted part is at the bound. */
  #stalled: Captured | undefined;
  #processing = false;
  #processScheduled = false;
  #applyScheduled = false;
  #applyPaused = 0;

  constructor(options: ReplicaOptions) {
    this.#raft = options.raft;
    this.#log = options.log;
    this.#sender = options.sender;
    this.#machine = options.machine;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#appliedIndex = options.machine.checkpointIndex;
    this.#applySpace = new ApplySpace(options.clock, options.events);
    this.#room = new Room(options.log);
    this.#reads = new Reads(() => this.#raft.read());
    this.#install = this.#newInstall(options);
    this.#mode = this.#install.isPending ? "installing" : "following";
    this.#progress = new ProgressTable(options.machine);
    this.#commands = new LeaderCommands(options.machine);
    this.#slice = new ApplySlice(options.log, options.machine, options.clock);
    this.#ticker = new Ticker(options.clock, options.tickMs, (...ticks) => this.#tick(...ticks));
  }

  get mode(): ReplicaMode {
    return this.#mode;
  }

  /** Index of the last entry whose effect the local databases show. */
  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  /** Index up to which everything is applied and durable on this node. */
  get settledIndex(): LogIndex {
    return Math.min(this.#appliedIndex, this.#log.durableIndex);
  }

  /** Whether a write may start: this node leads, and there is room in the uncommitted log. */
  get writable(): boolean {
    return this.#mode === "leading" && this.#stalled === undefined;
  }

  /** Why no write may begin although this node leads: its disk is full. Reads go on. */
  get spaceRefusal(): DatabaseError | undefined {
    return this.#room.refusal;
  }

  /**
   * Whether the files show one state: a checkpoint cut off by a crash is made good, and a log that
   * was cut at damage holds again what the databases show.
   */
  get readable(): boolean {
    return this.#mode === "leading" || this.#mode === "following" &&
        this.#appliedIndex >= this.#machine.consistentIndex &&
        this.#appliedIndex <= this.#log.durableIndex && !this.diverged;
  }

  /** Whether the database is known to differ from those of the others, and is not healed yet. */
  get diverged(): boolean {
    return this.#install.isHealing;
  }

  /** Whether reads may run here without leading: the data of a spare is not kept up to date. */
  get followsData(): boolean {
    return this.#mode === "following" && !this.#raft.isSpare && !this.diverged;
  }

  /** Starts ticking. */
  start(): void {
    this.#install.start();
    this.#ticker.start();
    this.schedule();
  }

  /** Stops for good; everyone who waits is told that the outcome is open. */
  stop(error = new DatabaseError("SHUTTING_DOWN", "The node stops")): void {
    if (this.#mode === "stopped") return;
    if (this.#mode === "leading") this.#machine.follow();
    this.#mode = "stopped";
    this.#ticker.stop();
    this.#install.stop();
    const unknown = new DatabaseError(error.code, error.message, { outcome: "unknown" });
    this.#progress.fail(({ proposedSeq }, seq) => seq > proposedSeq ? error : unknown);
    this.#commands.fail(unknown);
    this.#reads.fail();
  }

  /** A message arrived. */
  receive(from: NodeId, message: Message): void {
    if (this.#mode === "stopped" || !this.#install.takes(message)) return;
    if (!this.#room.takeMessage(message)) return;
    try {
      this.#raft.step(from, message);
    } catch (error) {
      this.#fail(error);
    }
    this.schedule();
  }

  /** Lets the core's wishes be carried out once the work at hand is done. */
  schedule(): void {
    if (this.#processScheduled || this.#processing || this.#mode === "stopped") return;
    this.#processScheduled = true;
    this.#clock.soon(() => {
      this.#processScheduled = false;
      this.process();
    });
  }

  /** Local transactions of a database were captured: proposes them. */
  captured(databaseId = MAIN_DATABASE_ID): void {
    if (this.#mode !== "leading") return;
    this.#machine.captured(databaseId);
    this.#proposeSoon();
  }

  /**
   * Proposes a command that all apply, this node too: once it is committed and durable here.
   *
   * @param done Called once it is applied here, or with what became of it.
   */
  propose(payload: Uint8Array<ArrayBuffer>, done: CommandCallback): void {
    if (this.#mode !== "leading") return done(lostError(undefined, 0));
    const refusal = this.#room.refusal;
    if (refusal !== undefined) return done(refusal);
    if (this.#stalled !== undefined || !this.#room.take(1, payload.length)) return done(tooMuch());
    const result = this.#raft.propose([{ payload, checksum: crc32c(payload) }]);
    if (!result.accepted) return done(tooMuch());
    this.#commands.push(result.index, payload, done);
    this.process();
  }

  #proposeSoon(): void {
    if (this.#mode !== "leading") return;
    try {
      this.#propose();
    } catch (error) {
      this.#fail(error);
    }
    this.process();
  }

  /** Calls back once each local transaction of a database up to `seq` is committed, or lost. */
  whenCommitted(seq: number, callback: GateCallback, databaseId = MAIN_DATABASE_ID): void {
    const progress = this.#progressOf(databaseId);
    if (this.#mode === "stopped") callback(new DatabaseError("SHUTTING_DOWN", "The node stops"));
    else if (this.#mode === "leading" || seq <= progress.gate.committedSeq) {
      progress.gate.wait(seq, callback);
    } else callback(lostError(progress, seq));
  }

  /** A database was closed: should it be opened again, its transactions are counted anew. */
  forget(databaseId: number): void {
    this.#progress.forget(databaseId, lostError(undefined, 0));
  }

  /** Asks for the index that a linearizable read must wait for. */
  linearize(options: ReadOptions, callback: ReadCallback): void {
    // A change of role that is not carried out yet must not pass for leadership.
    this.process();
    if (this.#mode === "stopped") callback(undefined);
    else {
      this.#reads.read(this.#clock.nowMs(), options, callback);
      this.schedule();
    }
  }

  /** Calls back once `index` is applied here. */
  whenApplied(index: LogIndex, callback: () => void): void {
    if (this.#appliedIndex >= index && this.readable) callback();
    else this.#applied.wait(Math.max(index, this.#machine.consistentIndex), callback);
  }

  /**
   * Calls back once what is applied now is durable here, too: on a leader a quorum of others may
   * commit what its own disk still writes.
   */
  whenSettled(callback: () => void): void {
    if (this.settledIndex >= this.#appliedIndex) callback();
    else this.#settled.wait(this.#appliedIndex, callback);
  }

  /**
   * Holds the applying of entries back, so that the databases stand still at `appliedIndex`.
   *
   * @returns A function that lets it go on.
   */
  pauseApply(): () => void {
    this.#applyPaused++;
    let paused = true;
    return () => {
      if (!paused) return;
      paused = false;
      this.#applyPaused--;
      this.#applySoon();
    };
  }

  /**
   * The database differs from those of the others after an entry: nobody reads it any more, this
   * node does not lead it, and a snapshot takes its place. False when one does already.
   */
  heal(index: LogIndex): boolean {
    return this.#mode !== "stopped" && this.#install.heal(index);
  }

  /** Carries out what the core wants done, until it wants nothing more. */
  process(): void {
    if (this.#processing || this.#mode === "stopped") return;
    this.#processing = true;
    try {
      while (this.#raft.hasEffects()) this.#carryOut(this.#raft.takeEffects());
      this.#room.written();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#processing = false;
    }
  }

  #carryOut(effects: Effects): void {
    if (effects.changed) this.#observeRole();
    this.#write(effects);
    this.#room.written();
    for (const outbound of effects.send) sendOutbound(this.#log, this.#sender, outbound);
    if (effects.send.length > 0) this.#sender.flush();
    if (effects.commitIndex !== undefined) this.#advance();
    this.#reads.resolve(effects.reads, this.#clock.nowMs());
    if (effects.snapshotNeeded !== undefined) this.#install.offered(effects.snapshotNeeded);
    if (effects.changed) this.#events.onChange();
  }

  /** Hands one batch to the log; what may leave only when it is durable leaves then. */
  #write(effects: Effects): void {
    const { hardState, reset, truncateFrom, append, recovered, mark, sendOnSync } = effects;
    if (mark === undefined && sendOnSync.length === 0) return;
    this.#log.append({ hardState, reset, truncateFrom, entries: append, recovered }, () => {
      if (this.#mode === "stopped") return;
      if (reset !== undefined) this.#install.resetDurable(reset);
      for (const outbound of sendOnSync) sendOutbound(this.#log, this.#sender, outbound);
      if (sendOnSync.length > 0) this.#sender.flush();
      if (mark !== undefined) this.#raft.onDurable(mark);
      this.process();
      this.#advance();
    });
  }

  /** Follows the core's role before anything of the same effects is committed or applied. */
  #observeRole(): void {
    const leads = this.#raft.role === "leader" && this.#raft.term === this.#leadingTerm;
    if (this.#mode === "leading" && !leads) this.#retire();
  }

  /** The commit or durable index moved. */
  #advance(): void {
    if (this.#mode === "leading") {
      const commitIndex = this.#raft.commitIndex;
      const safeIndex = Math.min(commitIndex, this.#log.durableIndex);
      const committed: DatabaseProgress[] = [];
      this.#proposals.commit(commitIndex, (database) => committed.push(database));
      this.#proposals.release(safeIndex, ({ id }, seq) => {
        this.#machine.release(id, seq, safeIndex);
      });
      this.#appliedIndex = commitIndex;
      for (const { gate, committedSeq } of committed) gate.open(committedSeq);
      this.#commands.apply(safeIndex);
      this.#applied.advance(commitIndex);
      if (this.#stalled !== undefined) this.#propose();
    } else this.#applySoon();
    this.#settled.advance(this.settledIndex);
  }

  /**
   * Applies once the work at hand is done: the write of new entries, and its acknowledgement, are
   * what the leader waits for.
   */
  #applySoon(): void {
    if (this.#applyScheduled || this.#mode !== "following") return;
    this.#applyScheduled = true;
    this.#clock.after(this.#machine.waits === true ? APPLY_WAIT_MS : 0, () => {
      this.#applyScheduled = false;
      try {
        this.#apply();
        if (this.#applyPaused === 0) this.#applySpace.applied();
      } catch (error) {
        if (!this.#applySpace.failed(error, () => this.pauseApply())) this.#fail(error);
      }
    });
  }

  /** Applies committed entries, in slices, so that heartbeats are never late. */
  #apply(): void {
    if (this.#mode !== "following" || this.#applyPaused > 0 || this.#applyScheduled) return;
    const target = Math.min(this.#raft.commitIndex, this.#log.durableIndex);
    this.#slice.run(this.#appliedIndex, target, (index) => this.#appliedIndex = index);
    if (this.readable) this.#applied.advance(this.#appliedIndex);
    if (this.#appliedIndex < target) this.#applySoon();
    else this.#lead();
  }

  /** Starts to lead once an entry of the own term is committed and everything is applied. */
  #lead(): void {
    const raft = this.#raft;
    if (this.#mode !== "following" || raft.role !== "leader" || !raft.established) return;
    if (this.#appliedIndex < raft.commitIndex || !this.readable) return;
    this.#leadingTerm = raft.term;
    this.#machine.lead();
    this.#proposals.reset();
    this.#progress.begin();
    this.#mode = "leading";
    this.#events.onLeading();
  }

  /** Leadership is gone: what was not committed is taken back. */
  #retire(): void {
    this.#mode = "retiring";
    this.#leadingTerm = undefined;
    this.#stalled = undefined;
    this.#machine.follow();
    this.#progress.fail(lostError);
    this.#commands.lose(this.#appliedIndex);
    this.#reads.failFixed();
    this.#events.onRetiring(() => this.#rewind());
  }

  #rewind(): void {
    if (this.#mode !== "retiring") return;
    try {
      // What stays must be durable here, or the databases would be ahead of the log.
      const durable = this.#log.durableIndex >= this.#appliedIndex;
      const committed = (id: number) => this.#progress.committedSeq(id);
      if (!durable || !this.#machine.rewind(committed)) {
        this.#clock.after(REWIND_RETRY_MS, () => this.#rewind());
        return;
      }
      this.#commands.apply(this.#appliedIndex);
      this.#progress.settle();
      this.#mode = "following";
      this.#apply();
    } catch (error) {
      this.#fail(error);
    }
  }

  #progressOf(databaseId: number): DatabaseProgress {
    return this.#progress.of(databaseId, this.#mode === "following");
  }

  #newInstall({ raft, log, machine, clock, snapshots: edge }: ReplicaOptions): SnapshotInstall {
    return new SnapshotInstall({ raft, log, machine, clock, edge }, {
      appliedIndex: () => this.#appliedIndex,
      takeAway: (quiet) => {
        if (this.#mode === "leading") this.#retire();
        if (this.#mode !== "following" || this.#applyPaused > 0) return false;
        this.#mode = "installing";
        this.#events.onRetiring(quiet);
        return true;
      },
      replaced: (index) => {
        this.#appliedIndex = index;
        this.#proposals.reset();
        this.#progress.restart();
      },
      giveBack: () => {
        if (this.#mode === "installing") this.#mode = "following";
        this.#applySoon();
      },
      healed: () => this.#events.onHealed?.(),
      process: () => this.process(),
      fail: (error) => this.#fail(error),
    });
  }

  /** Proposes what local transactions captured, as far as the core has room. */
  #propose(): void {
    if (this.#mode !== "leading") return;
    const wasWritable = this.#stalled === undefined;
    const untilMs = this.#clock.nowMs() + PROPOSE_SLICE_MS;
    for (;;) {
      const part = this.#stalled ?? this.#machine.drain();
      this.#stalled = undefined;
      if (part === undefined) break;
      if (!this.#room.take(1, part.payload.length)) {
        this.#stalled = part;
        break;
      }
      const checksum = crc32c(part.payload);
      const result = this.#raft.propose([{ payload: part.payload, checksum }]);
      if (!result.accepted) {
        // Not leading any more: the change of role is among the effects that come next.
        this.#stalled = part;
        break;
      }
      if (part.complete) {
        this.#proposals.push(result.index, this.#progressOf(part.databaseId), part.seq);
      } else if (this.#clock.nowMs() >= untilMs) {
        // A large transaction has many parts: heartbeats go out in between.
        this.#clock.after(0, () => this.#proposeSoon());
        break;
      }
    }
    if (!wasWritable && this.writable) this.#events.onWritable();
  }

  #tick(count: number, nowMs: number): void {
    for (let tick = 0; tick < count; tick++) this.#raft.tick();
    this.#reads.sweep(nowMs);
    this.#install.tick();
    if (this.#stalled !== undefined) this.#proposeSoon();
    this.process();
  }

  #fail(error: unknown): void {
    const fatal = error instanceof Error ? error : new Error(messageOf(error));
    this.stop(new DatabaseError("SHUTTING_DOWN", `The node stopped: ${fatal.message}`));
    this.#events.onFatal(fatal);
  }
}
