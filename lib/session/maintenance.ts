/** Work of the node on its own database: checkpoints, digests. */
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
import { fromPlain } from "./plain_error.ts";
import type { SessionManager } from "./session_manager.ts";
import type { FromWorker, ToWorker } from "./worker_messages.ts";
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
  /** The database file holds everything up to here. */
  readonly index: LogIndex;
  /** Frames that were in the WAL. */
  readonly walFrames: number;
  /** How long writers, or the applying of entries, were held up. */
  readonly pausedMs: number;
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
  #walHeldSinceMs: number | undefined;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /**
   * Since when readers keep checkpoints from copying all of the WAL, or the WAL from beginning
   * anew; undefined when the last one met none.
   */
  get walHeldSinceMs(): number | undefined {
    return this.#walHeldSinceMs;
  }

  /**
   * Copies everything committed into the database file, and records up to which index it is
   * complete: a restart begins there. Most of it is copied while writers go on.
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

  /** Hashes all pages as of one index. */
  async digest(): Promise<Digest> {
    const { index, resume } = await this.standStill();
    try {
      const { promise, resolve, reject } = Promise.withResolvers<Digest>();
      this.#ask("digest", (reply) => {
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
    await this.#copyAlongside();
    const { index, resume } = await this.#standStillFor(CHECKPOINT_COMMIT_MS);
    const pausedAtMs = clock.nowMs();
    let result: CheckpointResult;
    try {
      machine.beginCheckpoint(index);
      result = await this.#copy();
      if (!result.walFree) result = await this.#waitForReaders(result, pausedAtMs);
    } finally {
      resume();
    }
    const endMs = clock.nowMs();
    const { complete, limitReached, walFree } = result;
    // What is not committed yet stays out of the file, and keeps the WAL; nobody is to blame.
    if (complete || !limitReached) this.#noteReaders(walFree);
    if (!complete && !limitReached) throw inTheWay();
    // Nothing else is copied before the next checkpoint, so this need not hold anybody up.
    machine.completeCheckpoint(index);
    const { walFrames } = result;
    return { index, walFrames, pausedMs: endMs - pausedAtMs, durationMs: endMs - startMs };
  }

  /** Copies while others go on, until little is left for the pause. */
  async #copyAlongside(): Promise<void> {
    const { machine, replica } = this.#options;
    for (let round = 0; round < CHECKPOINT_ROUNDS_MAX; round++) {
      this.#requireSettled();
      if (machine.uncopiedFrames() <= CHECKPOINT_PAUSED_FRAMES) return;
      machine.beginCheckpoint(replica.settledIndex);
      const { limitReached } = await this.#copy();
      // A pause would copy no more.
      if (limitReached) continue;
      this.#noteReaders(false);
      throw inTheWay();
    }
  }

  /** Everything is copied: a large WAL may only begin anew once nobody reads it any more. */
  async #waitForReaders(before: CheckpointResult, pausedAtMs: number): Promise<CheckpointResult> {
    const { clock } = this.#options;
    let result = before;
    while (result.complete && !result.walFree && result.walFrames >= WAL_FRAMES_HIGH) {
      if (clock.nowMs() - pausedAtMs > WAL_WAIT_MS) break;
      await new Promise<void>((resolve) => void clock.after(WAL_LOOK_MS, resolve));
      result = await this.#copy();
    }
    return result;
  }

  #noteReaders(isFree: boolean): void {
    if (isFree) this.#walHeldSinceMs = undefined;
    else this.#walHeldSinceMs ??= this.#options.clock.nowMs();
  }

  async #copy(): Promise<CheckpointResult> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#ask("checkpoint", resolve);
    const reply = await promise;
    assert(reply.type === "checkpoint_done", `a checkpoint is answered with ${reply.type}`);
    if (reply.result !== undefined) return reply.result;
    assert(reply.error !== undefined, "a checkpoint has a result or an error");
    throw this.#failed(fromPlain(reply.error), reply.ioFailed);
  }

  /** Has a worker do something; `answered` is called for each of its replies. */
  #ask(type: Request, answered: (reply: Reply) => void): void {
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
    pool.post(worker, { type, id });
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
   * Waits until the database shows exactly what is committed up to an index, and keeps it so until
   * `resume` is called; further calls of that are harmless.
   *
   * @throws {DatabaseError} `BUSY` in between two states; `NOT_LEADER` and others when leadership
   * is lost meanwhile.
   */
  standStill(): Promise<StandStill> {
    return this.#standStillFor(Infinity);
  }

  /**
   * The same, but after `commitMs` the database may show more than what is committed. Without a
   * majority it would be waited for in vain, and the majority may wait for the checkpoint: a
   * follower that lost its database needs a snapshot of what its log does not hold.
   */
  async #standStillFor(commitMs: number): Promise<StandStill> {
    const { replica } = this.#options;
    this.#requireSettled();
    if (replica.mode === "following") {
      const resume = replica.pauseApply();
      return { index: replica.settledIndex, resume };
    }
    const resume = await this.#holdWriters(commitMs);
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
  #holdWriters(commitMs: number): Promise<() => void> {
    const { replica, machine, sessions, clock } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    sessions.whileNobodyWrites((release) => {
      let isWaiting = true;
      const end = (act: () => void) => {
        if (!isWaiting) return;
        isWaiting = false;
        cancel();
        act();
      };
      const goOn = () => end(() => resolve(release));
      const cancel = commitMs === Infinity ? () => {} : clock.after(commitMs, goOn);
      replica.whenCommitted(machine.lastSeq(), (error) => {
        // The database shows all that is committed; its index must say no less.
        if (error === undefined) return replica.whenSettled(goOn);
        end(() => {
          release();
          reject(error);
        });
      });
    }, reject);
    return promise;
  }
}

function inTheWay(): DatabaseError {
  return new DatabaseError("BUSY", "The checkpoint is not complete: a reader is in the way");
}
