/**
 * Keeps an archive of the cluster's log up to date while its node leads, and looks how far it is
 * while another does. Whatever becomes of the archive, the cluster goes on: what could not be put
 * there is kept in the log, up to a bound, and put there later; beyond the bound there is a gap,
 * which is told of, and behind it the archive begins anew with a base.
 */
import { DatabaseError, messageOf } from "../base/errors.ts";
import {
  ARCHIVE_BASE_LOG_BYTES,
  ARCHIVE_BASE_MS,
  ARCHIVE_DELAY_MS,
  ARCHIVE_HOLD_BYTES_MAX,
  ARCHIVE_LOOK_MS,
  ARCHIVE_OBJECT_BYTES,
  ARCHIVE_PART_BYTES,
  ARCHIVE_PRUNE_MS,
  ARCHIVE_RETRY_MAX_MS,
  ARCHIVE_RETRY_MIN_MS,
  ARCHIVE_STOP_MS,
  ARCHIVE_TELL_MS,
} from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import { Pause } from "../io/pause.ts";
import type { RaftLog } from "../log/types.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex } from "../raft/types.ts";
import type { Replica } from "../replica/replica.ts";
import type { StateMachine } from "../replica/state_machine.ts";
import type { PageFile } from "../snapshot/page_file.ts";
import { BaseMaker } from "./base_maker.ts";
import type { Catalog } from "./catalog.ts";
import { LogHold } from "./log_hold.ts";
import { LogShipper } from "./log_shipper.ts";
import { prune } from "./prune.ts";
import { ArchiveTail } from "./tail.ts";

/** What can be set about an archiver; the defaults are in `base/limits.ts`. */
export interface ArchivePace {
  /** Time that an entry waits for others before they are put into the archive together. */
  readonly delayMs?: number;
  /** How often a node that does not lead looks how far the archive is. */
  readonly lookMs?: number;
  /** A base is due when the objects since the last one, and the database, have this size. */
  readonly baseLogBytes?: number;
  /** A base is due after this time, if anything was written since the last one. */
  readonly baseMs?: number;
  /** The longest pause after the archive could not be reached. */
  readonly retryMaxMs?: number;
  /** How often what is older than what is to be kept is looked for. */
  readonly pruneMs?: number;
  /** Bytes of log that are kept for an archive that cannot be reached. */
  readonly holdBytesMax?: number;
  /** Size of the entries in one object. */
  readonly objectBytesMax?: number;
  /** Pages in one object. */
  readonly partBytes?: number;
}

/** What an archiver needs. */
export interface ArchiverOptions {
  readonly catalog: Catalog;
  readonly raftLog: RaftLog;
  readonly machine: StateMachine;
  readonly replica: Pick<Replica, "mode" | "settledIndex">;
  readonly file: () => PageFile | undefined;
  /** Brings the database file up to date, so that a base of it spares as much log as it can. */
  readonly checkpoint: () => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
  readonly pace?: ArchivePace | undefined;
  /** Points that are older than this may go; undefined keeps all. */
  readonly keepMs?: number | undefined;
  /** The node cannot go on: its log cannot be read. */
  readonly onFatal: (error: Error) => void;
}

/** How far an archive is, as its node knows. */
export interface ArchiveStatus {
  readonly where: string;
  /** The last entry that is in the archive. */
  readonly index: LogIndex;
  /** When its last transaction ended, as ISO 8601; null when none is in the archive. */
  readonly time: string | null;
  /** Bytes of the entries that are not. */
  readonly pendingBytes: number;
  /** Whether entries may be given up that are not in the archive. */
  readonly losing: boolean;
  /** Why the archive cannot be written or looked at, if it cannot. */
  readonly error: string | null;
}

/** See the file comment. */
export class Archiver {
  readonly #options: ArchiverOptions;
  readonly #pace: ReturnType<typeof paceOf>;
  readonly #hold: LogHold;
  readonly #pause: Pause;
  #tail: ArchiveTail;
  /** The archive was looked at since this node began to lead. */
  #isLeading = false;
  #error: unknown;
  #toldMs = -Infinity;
  #retryMs = ARCHIVE_RETRY_MIN_MS;
  #base: Promise<void> | undefined;
  #baseRetryAtMs = 0;
  #lookAtMs = 0;
  #pruning: Promise<void> | undefined;
  #pruneAtMs = 0;
  #stopAtMs = Infinity;
  #running: Promise<void> | undefined;

  constructor(options: ArchiverOptions) {
    this.#options = options;
    this.#pace = paceOf(options.pace ?? {});
    this.#hold = new LogHold(options.raftLog, this.#pace.holdBytesMax);
    this.#pause = new Pause(options.clock);
    this.#tail = new ArchiveTail(options.catalog);
  }

  /** Begins. */
  start(): void {
    this.#running = this.#run();
  }

  /** The entry whose successors the log is to keep; infinite when it need keep none. */
  keepAfter(): LogIndex {
    return this.#hold.keepAfter(this.#tail.lastIndex);
  }

  /** Puts what is committed into the archive, if that is soon done, and ends. */
  async stop(): Promise<void> {
    this.#stopAtMs = this.#options.clock.nowMs() + ARCHIVE_STOP_MS;
    this.#pause.cut();
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(ARCHIVE_STOP_MS, resolve);
    await Promise.race([this.#running, promise]);
    cancel();
  }

  get status(): ArchiveStatus {
    const { run } = this.#tail;
    this.keepAfter();
    return {
      where: this.#options.catalog.store.where,
      index: this.#tail.lastIndex,
      time: run === undefined || run.timeMs === 0 ? null : new Date(run.timeMs).toISOString(),
      pendingBytes: this.#hold.bytes,
      losing: this.#hold.isOver,
      error: this.#error === undefined ? null : messageOf(this.#error),
    };
  }

  get #isStopping(): boolean {
    return this.#stopAtMs !== Infinity;
  }

  async #run(): Promise<void> {
    // After its time to stop, the log may be closed.
    while (this.#options.clock.nowMs() <= this.#stopAtMs) {
      let delayMs: number;
      // What was committed before the node began to stop is put there as well.
      const isLast = this.#isStopping;
      try {
        delayMs = await this.#step();
        this.#healed();
      } catch (error) {
        this.#failed(error);
        delayMs = Math.min(this.#retryMs, this.#pace.retryMaxMs);
        this.#retryMs = Math.min(2 * this.#retryMs, this.#pace.retryMaxMs);
        // What another node put there meanwhile counts.
        this.#isLeading = false;
        this.#lookAtMs = 0;
      }
      if (isLast) break;
      if (!this.#isStopping) await this.#pause.wait(delayMs);
    }
    await Promise.all([this.#base, this.#pruning]);
  }

  /** @returns The pause before the next one. */
  async #step(): Promise<number> {
    const { replica, clock } = this.#options;
    if (replica.mode !== "leading") {
      this.#isLeading = false;
      // A node that begins to lead is not to wait for its next look.
      if (!this.#isStopping && clock.nowMs() >= this.#lookAtMs) {
        await this.#tail.refresh();
        this.#lookAtMs = clock.nowMs() + this.#pace.lookMs;
      }
      return this.#pace.delayMs;
    }
    if (!this.#isLeading) await this.#look();
    this.#isLeading = true;
    const shipper = this.#shipper();
    for (let isBehind = true; isBehind;) {
      isBehind = await shipper.ship();
      if (this.#isBaseDue()) this.#base ??= this.#makeBase().finally(() => this.#base = undefined);
      if (clock.nowMs() > this.#stopAtMs || replica.mode !== "leading") break;
    }
    this.#pruneIfDue();
    return this.#pace.delayMs;
  }

  /** Looks at the archive as if for the first time: what this node knew may be gone. */
  async #look(): Promise<void> {
    const tail = new ArchiveTail(this.#options.catalog);
    await tail.refresh();
    this.#tail = tail;
    const { catalog, log } = this.#options;
    log.info("archives", { where: catalog.store.where, archivedIndex: tail.lastIndex });
  }

  #shipper(): LogShipper {
    const { catalog, raftLog, replica, log, onFatal } = this.#options;
    return new LogShipper({
      catalog,
      tail: this.#tail,
      log: raftLog,
      settledIndex: () => replica.settledIndex,
      turn: () => this.#turn(),
      objectBytesMax: this.#pace.objectBytesMax,
      onGap: (first, last) => {
        const { where } = catalog.store;
        log.error("the archive lacks entries that the log has no more", { where, first, last });
      },
      onFatal: (error) => onFatal(error instanceof Error ? error : new Error(messageOf(error))),
    });
  }

  #isBaseDue(): boolean {
    const { clock, file } = this.#options;
    const { run, base, hasBeginning, sinceBaseBytes } = this.#tail;
    if (run === undefined || this.#isStopping || clock.nowMs() < this.#baseRetryAtMs) return false;
    if (!hasBeginning) return true;
    if (sinceBaseBytes === 0) return false;
    const database = file();
    const databaseBytes = database === undefined ? 0 : database.pages * database.pageBytes;
    if (sinceBaseBytes >= Math.max(this.#pace.baseLogBytes, databaseBytes)) return true;
    const sinceMs = base?.timeMs ?? run.firstTimeMs;
    return sinceMs > 0 && clock.wallMs() - sinceMs >= this.#pace.baseMs;
  }

  async #makeBase(): Promise<void> {
    const { catalog, raftLog, machine, file, clock, log, replica } = this.#options;
    const beforeBytes = this.#tail.sinceBaseBytes;
    const startMs = clock.nowMs();
    const maker = new BaseMaker({
      catalog,
      log: raftLog,
      machine,
      clock,
      file,
      archived: (index) => this.#archived(index),
      turn: () => this.#turn(),
      isWanted: () => !this.#isStopping && replica.mode === "leading",
      partBytes: this.#pace.partBytes,
    });
    try {
      await this.#options.checkpoint();
      const base = await maker.make();
      if (base === undefined) {
        this.#baseRetryAtMs = clock.nowMs() + ARCHIVE_RETRY_MIN_MS;
        return;
      }
      this.#tail.addedBase(base, Math.max(0, this.#tail.sinceBaseBytes - beforeBytes));
      const { index, fuzzyIndex } = base;
      const durationMs = Math.round(clock.nowMs() - startMs);
      log.info("made a base of the archive", { index, fuzzyIndex, durationMs });
    } catch (error) {
      const isBusy = error instanceof DatabaseError && error.code === "BUSY";
      const pauseMs = isBusy ? ARCHIVE_RETRY_MIN_MS : this.#pace.retryMaxMs;
      this.#baseRetryAtMs = clock.nowMs() + pauseMs;
      // A reader is in the way of the checkpoint.
      if (isBusy) return;
      if (error instanceof DatabaseError && error.code === "CLOSED") {
        log.info("gave up a base of the archive", { reason: error.message });
      } else log.error("cannot make a base of the archive", { reason: messageOf(error) });
    }
  }

  #pruneIfDue(): void {
    const { keepMs, clock, log, catalog } = this.#options;
    const nowMs = clock.nowMs();
    if (keepMs === undefined || this.#isStopping || nowMs < this.#pruneAtMs) return;
    this.#pruneAtMs = nowMs + this.#pace.pruneMs;
    const wallMs = clock.wallMs();
    this.#pruning ??= prune(catalog, wallMs - keepMs, wallMs).then(({ objects, base }) => {
      if (objects > 0) log.info("pruned the archive", { objects, beginsAt: base?.fuzzyIndex });
    }).catch((error) => {
      log.error("cannot prune the archive", { reason: messageOf(error) });
    }).finally(() => this.#pruning = undefined);
  }

  /** @throws {DatabaseError} `CLOSED` when this node puts nothing there any more. */
  async #archived(index: LogIndex): Promise<number> {
    while (this.#tail.lastIndex < index) {
      if (this.#isStopping || this.#options.replica.mode !== "leading") {
        throw new DatabaseError("CLOSED", "This node leads no more");
      }
      await new Promise<void>((resolve) => {
        this.#options.clock.after(this.#pace.delayMs, resolve);
      });
    }
    return this.#tail.run!.timeMs;
  }

  #failed(error: unknown): void {
    const { clock, log, catalog } = this.#options;
    this.#error = error;
    const nowMs = clock.nowMs();
    if (nowMs - this.#toldMs < ARCHIVE_TELL_MS && !this.#isStopping) return;
    this.#toldMs = nowMs;
    const { pendingBytes, losing, index } = this.status;
    log.error("cannot archive", {
      where: catalog.store.where,
      reason: messageOf(error),
      archivedIndex: index,
      pendingBytes,
      losing,
    });
  }

  #healed(): void {
    this.#retryMs = ARCHIVE_RETRY_MIN_MS;
    if (this.#error === undefined) return;
    this.#error = undefined;
    this.#toldMs = -Infinity;
    this.#options.log.info("can archive again", { archivedIndex: this.#tail.lastIndex });
  }

  /** @throws {DatabaseError} `CLOSED` when the time to stop is over: the log may be closed. */
  async #turn(): Promise<void> {
    const { clock } = this.#options;
    await new Promise<void>((resolve) => void clock.after(0, resolve));
    if (clock.nowMs() > this.#stopAtMs) throw new DatabaseError("CLOSED", "The node stops");
  }
}

function paceOf(given: ArchivePace) {
  return {
    delayMs: given.delayMs ?? ARCHIVE_DELAY_MS,
    lookMs: given.lookMs ?? ARCHIVE_LOOK_MS,
    baseLogBytes: given.baseLogBytes ?? ARCHIVE_BASE_LOG_BYTES,
    baseMs: given.baseMs ?? ARCHIVE_BASE_MS,
    retryMaxMs: given.retryMaxMs ?? ARCHIVE_RETRY_MAX_MS,
    pruneMs: given.pruneMs ?? ARCHIVE_PRUNE_MS,
    holdBytesMax: given.holdBytesMax ?? ARCHIVE_HOLD_BYTES_MAX,
    objectBytesMax: given.objectBytesMax ?? ARCHIVE_OBJECT_BYTES,
    partBytes: given.partBytes ?? ARCHIVE_PART_BYTES,
  };
}
