/** Work of the node on its own database: checkpoints and digests, while nobody writes. */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import type { LogIndex } from "../raft/types.ts";
import type { Replica } from "../replica/replica.ts";
import type { SqliteMachine } from "../replica/sqlite_machine.ts";
import { fromPlain } from "./plain_error.ts";
import type { SessionManager } from "./session_manager.ts";
import type { FromWorker } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** The content of the database at an index. */
export interface Digest {
  readonly index: LogIndex;
  /** In hexadecimal. */
  readonly sha256: string;
  readonly pages: number;
}

/** What maintenance needs. */
export interface MaintenanceOptions {
  readonly replica: Replica;
  readonly machine: SqliteMachine;
  readonly sessions: SessionManager;
  readonly pool: WorkerPool;
  /** The node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

type Reply = Extract<FromWorker, { type: "checkpoint_done" | "digest_begun" | "digest_done" }>;

/** See the file comment. */
export class Maintenance {
  readonly #options: MaintenanceOptions;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #lastId = 0;
  #checkpointing: Promise<LogIndex> | undefined;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /**
   * Copies everything committed into the database file, and records up to which index it is
   * complete: a restart begins there.
   *
   * @returns The index.
   * @throws {DatabaseError} `BUSY` when a reader kept an older snapshot, `SQLITE` when a file could
   * not be written; unless the disk is only full, the node then stops.
   */
  checkpoint(): Promise<LogIndex> {
    this.#checkpointing ??= this.#checkpoint().finally(() => {
      this.#checkpointing = undefined;
    });
    return this.#checkpointing;
  }

  /** Hashes all pages as of one index. */
  async digest(): Promise<Digest> {
    const { index, resume } = await this.#standStill();
    const { pool } = this.#options;
    try {
      const id = ++this.#lastId;
      const { promise, resolve, reject } = Promise.withResolvers<Digest>();
      this.#waiting.set(id, (reply) => {
        // The snapshot is taken: what comes after cannot change it.
        if (reply.type === "digest_begun") return resume();
        this.#waiting.delete(id);
        assert(reply.type === "digest_done", `a digest is answered with ${reply.type}`);
        if (reply.error !== undefined) reject(fromPlain(reply.error));
        else resolve({ index, sha256: reply.sha256, pages: reply.pages });
      });
      pool.post(pool.pick(), { type: "digest", id });
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

  async #checkpoint(): Promise<LogIndex> {
    const { machine, pool } = this.#options;
    const { index, resume } = await this.#standStill();
    try {
      machine.beginCheckpoint(index);
      const id = ++this.#lastId;
      const { promise, resolve } = Promise.withResolvers<Reply>();
      this.#waiting.set(id, resolve);
      pool.post(pool.pick(), { type: "checkpoint", id });
      const reply = await promise;
      this.#waiting.delete(id);
      assert(reply.type === "checkpoint_done", `a checkpoint is answered with ${reply.type}`);
      if (reply.error !== undefined) throw this.#failed(fromPlain(reply.error), reply.ioFailed);
      if (!reply.complete) {
        throw new DatabaseError("BUSY", "The checkpoint is not complete: a reader is in the way");
      }
      machine.completeCheckpoint(index);
      return index;
    } finally {
      resume();
    }
  }

  /**
   * What was copied before a sync failed may be lost, and no later sync would tell; nor does SQLite
   * copy it again. Only a start does, from the log.
   */
  #failed(error: DatabaseError, ioFailed: boolean): DatabaseError {
    if (ioFailed) this.#options.onFatal(error);
    return error;
  }

  /** Waits until the database shows exactly what is committed up to an index, and keeps it so. */
  #standStill(): Promise<{ index: LogIndex; resume: () => void }> {
    const { replica, machine, sessions } = this.#options;
    if (replica.mode === "following" && replica.readable && machine.exists) {
      const resume = replica.pauseApply();
      return Promise.resolve({ index: replica.settledIndex, resume });
    }
    if (replica.mode !== "leading") {
      return Promise.reject(new DatabaseError("BUSY", "The node is between two states; try again"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<
      { index: LogIndex; resume: () => void }
    >();
    sessions.whileNobodyWrites((release) => {
      replica.whenCommitted(machine.lastSeq(), (error) => {
        if (error === undefined) {
          // The database shows all that is committed; its index must say no less.
          replica.whenSettled(() => resolve({ index: replica.settledIndex, resume: release }));
        } else {
          release();
          reject(error);
        }
      });
    }, reject);
    return promise;
  }
}
