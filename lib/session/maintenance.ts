/** Work of the node on its own databases: checkpoints, digests. */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import {
  CHECKPOINT_COMMIT_MS,
  CHECKPOINT_PAUSED_FRAMES,
  CHECKPOINT_ROUNDS_MAX,
  WAL_FRAMES_HIGH,
  WAL_WAIT_MS,
} from "../base/limits.ts";
import type { CheckpointResult } from "../database/connection.ts";
import type { Clock } from "../io/clock.ts";
import type { LogIndex } from "../raft/types.ts";
import type { Replica } from "../replica/replica.ts";
import type { SqliteMachine } from "../replica/sqlite_machine.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import { fromPlain } from "./plain_error.ts";
import type { SessionManager } from "./session_manager.ts";
import type { FromWorker, JobDatabase, ToWorker } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** The content of the database at an index. */
export interface Digest {
  readonly index: LogIndex;
  /** In hexadecimal. */
  readonly sha256: string;
  readonly pages: number;
}

/** What a checkpoint did. */
export interface Checkpoint {
  /** The database files hold everything up to here. */
  readonly index: LogIndex;
  /** Frames that were in the WAL. */
  readonly walFrames: number;
  /** How long writers, or the applying of entries, were held up. */
  readonly pausedMs: number;
  /** Databases whose files were brought up to date. */
  readonly databases: number;
  readonly durationMs: number;
}

/** What maintenance needs. */
export interface MaintenanceOptions {
  readonly replica: Replica;
  readonly machine: SqliteMachine;
  readonly sessions: SessionManager;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  /** The node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

type Reply = Extract<FromWorker, { type: "checkpoint_done" | "digest_begun" | "digest_done" }>;
type Request = Extract<ToWorker, { type: "checkpoint" | "digest" }>["type"];

/** Databases whose WAL is copied at the same time. */
const COPIES_AT_ONCE = 3;
/** Pause before readers of the WAL are looked for again. */
const WAL_LOOK_MS = 5;

/** The database stands still at an index until `resume` is called. */
interface StandStill {
  readonly index: LogIndex;
  readonly resume: () => void;
}

/** See the file comment. */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #lastId = 0;
  #checkpointing: Promise<Checkpoint> | undefined;
  readonly #heldWals = new Set<number>();
  #isUnfinished: boolean;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    const { checkpointIndex, consistentIndex } = options.machine;
    this.#isUnfinished = consistentIndex > checkpointIndex;
  }

  /**
   * Databases whose readers kept the last checkpoint from copying all of the WAL, or the WAL from
   * beginning anew.
   */
  get heldWals(): ReadonlySet<number> {
    return this.#heldWals;
  }

  /** Whether a checkpoint was begun, in this life of the node or an earlier one, and not ended. */
  get isUnfinished(): boolean {
    return this.#isUnfinished;
  }

  /**
   * Copies everything committed into the database files, and records up to which index they are
   * complete: a restart begins there. Most of it is copied while writers go on, and those of one
   * database at a time are held up for the rest.
   *
   * @throws {DatabaseError} `BUSY` when a reader kept an older snapshot, `SQLITE` when a file could
   * not be written; unless the disk is only full, the node then stops.
   */
  checkpoint(): Promise<Checkpoint> {
    this.#checkpointing ??= this.#checkpoint().finally(() => {
      this.#checkpointing = undefined;
    });
    return this.#checkpointing;
  }

  /**
   * Hashes all pages of a database as of one index.
   *
   * @param database An open one; undefined for the first.
   */
  async digest(database?: JobDatabase): Promise<Digest> {
    const { index, resume } = await this.standStill(database?.id);
    try {
      const { promise, resolve, reject } = Promise.withResolvers<Digest>();
      this.#ask("digest", database?.path, (reply) => {
        // The snapshot is taken: what comes after cannot change it.
        if (reply.type === "digest_begun") return resume();
        assert(reply.type === "digest_done", `a digest is answered with ${reply.type}`);
        if (reply.error !== undefined) reject(fromPlain(reply.error));
        else resolve({ index, sha256: reply.sha256, pages: reply.pages });
      });
      return await promise;
    } finally {
      resume();
    }
  }

  /** Takes a worker's message that answers maintenance. */
  receive(message: FromWorker): void {
    switch (message.type) {
      case "checkpoint_done":
      case "digest_begun":
      case "digest_done":
        this.#waiting.get(message.id)?.(message);
        break;
      default:
        break;
    }
  }

  async #checkpoint(): Promise<Checkpoint> {
    const { machine, clock } = this.#options;
    const startMs = clock.nowMs();
    this.#isUnfinished = true;
    for (const id of this.#heldWals) if (!machine.isOpen(id)) this.#heldWals.delete(id);
    const dirty = machine.dirtyIds();
    // With nothing to copy, the record still moves on.
    const ids = dirty.length === 0 ? [MAIN_DATABASE_ID] : await this.#copyQuiet(dirty);
    let walFrames = 0;
    let pausedMs = 0;
    let failure: unknown;
    for (const id of ids) {
      try {
        const copied = await this.#copyWhole(id);
        walFrames += copied.walFrames;
        pausedMs = Math.max(pausedMs, copied.pausedMs);
      } catch (error) {
        // One that cannot be copied now must not keep the others from it.
        if (machine.get(id) !== undefined) failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
    this.#isUnfinished = false;
    const index = machine.checkpointIndex;
    const durationMs = clock.nowMs() - startMs;
    return { index, walFrames, pausedMs, databases: Math.max(1, dirty.length), durationMs };
  }

  /**
   * Brings the files of many databases up to date, of those that nobody writes to meanwhile: nobody
   * is held up, and all share one change of the record.
   *
   * @returns Those that are left.
   */
  async #copyQuiet(ids: readonly number[]): Promise<readonly number[]> {
    const { machine, replica } = this.#options;
    const isSmall = (id: number) => machine.uncopiedFrames(id) <= CHECKPOINT_PAUSED_FRAMES;
    const small = ids.filter((id) => id !== MAIN_DATABASE_ID && isSmall(id));
    if (small.length === 0) return ids;
    this.#requireSettled();
    const index = replica.settledIndex;
    machine.beginCheckpoint(index, ...small);
    const { installs } = machine;
    const done = new Set<number>();
    const waiting = [...small];
    const copyNext = async () => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
        if (!machine.isOpen(id)) continue;
        const { complete, walFree } = await this.#copy(id);
        this.#noteReaders(id, walFree);
        // What came after `index` is not copied.
        const isSame = machine.installs === installs && machine.isOpen(id);
        if (!complete || !isSame || !machine.isCopied(id)) continue;
        machine.completeCheckpoint(index, id);
        done.add(id);
      }
    };
    await Promise.all(Array.from({ length: COPIES_AT_ONCE }, copyNext));
    return ids.filter((id) => !done.has(id) && machine.get(id) !== undefined);
  }

  async #copyWhole(id: number): Promise<{ walFrames: number; pausedMs: number }> {
    const { machine, clock } = this.#options;
    await this.#copyAlongside(id);
    const { index, resume } = await this.#standStillFor(id, CHECKPOINT_COMMIT_MS);
    const pausedAtMs = clock.nowMs();
    let result: CheckpointResult;
    try {
      this.#requireOpen(id);
      machine.beginCheckpoint(index, id);
      result = await this.#copy(id);
      if (!result.walFree) result = await this.#waitForReaders(id, result, pausedAtMs);
    } finally {
      resume();
    }
    const pausedMs = clock.nowMs() - pausedAtMs;
    const { complete, limitReached, walFree } = result;
    // What is not committed yet stays out of the file, and keeps the WAL; nobody is to blame.
    if (complete || !limitReached) this.#noteReaders(id, walFree);
    if (!complete && !limitReached) throw inTheWay();
    this.#requireOpen(id);
    // Nothing else is copied before the next checkpoint, so this need not hold anybody up.
    machine.completeCheckpoint(index, id);
    return { walFrames: result.walFrames, pausedMs };
  }

  /** Copies while others go on, until little is left for the pause. */
  async #copyAlongside(id: number): Promise<void> {
    const { machine, replica } = this.#options;
    for (let round = 0; round < CHECKPOINT_ROUNDS_MAX; round++) {
      this.#requireSettled();
      this.#requireOpen(id);
      if (machine.uncopiedFrames(id) <= CHECKPOINT_PAUSED_FRAMES) return;
      machine.beginCheckpoint(replica.settledIndex, id);
      const { limitReached } = await this.#copy(id);
      // A pause would copy no more.
      if (limitReached) continue;
      this.#noteReaders(id, false);
      throw inTheWay();
    }
  }

  /** @throws {DatabaseError} `DATABASE_UNKNOWN` when the database was dropped. */
  #requireOpen(id: number): void {
    if (id === MAIN_DATABASE_ID || this.#options.machine.isOpen(id)) return;
    throw new DatabaseError("DATABASE_UNKNOWN", `Database ${id} is gone`);
  }

  /** Everything is copied: a large WAL may only begin anew once nobody reads it any more. */
  async #waitForReaders(
    id: number,
    before: CheckpointResult,
    pausedAtMs: number,
  ): Promise<CheckpointResult> {
    const { clock } = this.#options;
    let result = before;
    while (result.complete && !result.walFree && result.walFrames >= WAL_FRAMES_HIGH) {
      if (clock.nowMs() - pausedAtMs > WAL_WAIT_MS) break;
      await new Promise<void>((resolve) => void clock.after(WAL_LOOK_MS, resolve));
      result = await this.#copy(id);
    }
    return result;
  }

  #noteReaders(id: number, isFree: boolean): void {
    if (isFree) this.#heldWals.delete(id);
    else this.#heldWals.add(id);
  }

  async #copy(id: number): Promise<CheckpointResult> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    const path = id === MAIN_DATABASE_ID ? undefined : this.#options.machine.use(id);
    this.#ask("checkpoint", path, resolve);
    const reply = await promise;
    assert(reply.type === "checkpoint_done", `a checkpoint is answered with ${reply.type}`);
    if (reply.result !== undefined) return reply.result;
    assert(reply.error !== undefined, "a checkpoint has a result or an error");
    throw this.#failed(fromPlain(reply.error), reply.ioFailed);
  }

  /** Has a worker do something; `answered` is called for each of its replies. */
  #ask(type: Request, path: string | undefined, answered: (reply: Reply) => void): void {
    const { pool } = this.#options;
    const id = ++this.#lastId;
    const worker = pool.pick();
    this.#waiting.set(id, (reply) => {
      if (reply.type !== "digest_begun") {
        this.#waiting.delete(id);
        pool.finished(worker, -id);
      }
      answered(reply);
    });
    pool.post(worker, { type, id, ...path !== undefined && { database: path } });
  }

  /**
   * What was copied before a sync failed may be lost, and no later sync would tell; nor does SQLite
   * copy it again. Only a start does, from the log.
   */
  #failed(error: DatabaseError, ioFailed: boolean): DatabaseError {
    if (ioFailed) this.#options.onFatal(error);
    return error;
  }

  /** @throws {DatabaseError} `BUSY` when the files are on their way to another state. */
  #requireSettled(): void {
    const { replica, machine } = this.#options;
    const isFollowing = replica.mode === "following" && replica.readable && machine.exists;
    if (isFollowing || replica.mode === "leading") return;
    throw new DatabaseError("BUSY", "The node is between two states; try again");
  }

  /**
   * Waits until a database shows exactly what is committed up to an index, and keeps it so until
   * `resume` is called; further calls of that are harmless.
   *
   * @throws {DatabaseError} `BUSY` in between two states; `NOT_LEADER` and others when leadership
   * is lost meanwhile.
   */
  standStill(databaseId = MAIN_DATABASE_ID): Promise<StandStill> {
    return this.#standStillFor(databaseId, Infinity);
  }

  /**
   * The same, but after `commitMs` the database may show more than what is committed. Without a
   * majority it would be waited for in vain, and the majority may wait for the checkpoint: a
   * follower that lost its database needs a snapshot of what its log does not hold.
   */
  async #standStillFor(databaseId: number, commitMs: number): Promise<StandStill> {
    const { replica } = this.#options;
    this.#requireSettled();
    if (replica.mode === "following") {
      const resume = replica.pauseApply();
      return { index: replica.settledIndex, resume };
    }
    const resume = await this.#holdWriters(databaseId, commitMs);
    try {
      // Leadership may have gone meanwhile.
      this.#requireSettled();
      return { index: replica.settledIndex, resume };
    } catch (error) {
      resume();
      throw error;
    }
  }

  /**
   * Waits until nobody writes and all that was written is committed, and durable here; for the
   * latter no longer than `commitMs`.
   */
  #holdWriters(databaseId: number, commitMs: number): Promise<() => void> {
    const { replica, machine, sessions, clock } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const run = (release: () => void) => {
      let isWaiting = true;
      const end = (act: () => void) => {
        if (!isWaiting) return;
        isWaiting = false;
        cancel();
        act();
      };
      const goOn = () => end(() => resolve(release));
      const cancel = commitMs === Infinity ? () => {} : clock.after(commitMs, goOn);
      replica.whenCommitted(machine.lastSeq(databaseId), (error) => {
        // The database shows all that is committed; its index must say no less.
        if (error === undefined) return replica.whenSettled(goOn);
        end(() => {
          release();
          reject(error);
        });
      }, databaseId);
    };
    sessions.whileNobodyWrites(run, reject, databaseId);
    return promise;
  }
}

function inTheWay(): DatabaseError {
  return new DatabaseError("BUSY", "The checkpoint is not complete: a reader is in the way");
}
