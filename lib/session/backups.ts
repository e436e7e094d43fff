/**
 * Backups of this node's databases, each as of one moment, read piece by piece while writers go on.
 * Like every read they are linearizable, unless asked not to be: they hold all that was
 * acknowledged before they were asked for.
 */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { BACKUP_STALL_MS, BACKUP_WAL_FRAMES_MAX, BACKUPS_MAX } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { LogIndex } from "../raft/types.ts";
import type { Replica } from "../replica/replica.ts";
import type { Reader } from "./long_readers.ts";
import { HELD_MAIN, type HeldDatabase } from "./database_access.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import type { Maintenance } from "./maintenance.ts";
import { fromPlain } from "./plain_error.ts";
import { waitUntilUpToDate } from "./up_to_date.ts";
import type { CopyFromWorker, FromWorker, JobDatabase } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** What backups need. */
export interface BackupsOptions {
  readonly replica: Replica;
  readonly maintenance: Maintenance;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  /** URL of the leader's HTTP port, where it is known. */
  readonly leaderUrl: () => string | undefined;
}

/** The pages that come next, or the end. */
export type BackupPart =
  | { readonly type: "pages"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** SHA-256 over all pages, in hexadecimal. */
  | { readonly type: "end"; readonly sha256: string };

/** A backup that was begun. It ends with its last part, an error, or by `end`. */
export interface Backup {
  /** The entry of the log up to which the database shows everything. */
  readonly index: LogIndex;
  readonly pages: number;
  readonly pageSizeBytes: number;
  /**
   * The next part; one call at a time.
   *
   * @throws {DatabaseError} `CLOSED` when nobody asked for too long, `TRANSACTION_TIMEOUT` when too
   * much was written meanwhile, `NOT_LEADER` when the database was taken away, `SQLITE` when a page
   * cannot be read.
   */
  next(): Promise<BackupPart>;
  /** Lets go of it; harmless at its end. */
  end(): void;
}

type Reply = Extract<CopyFromWorker, { type: "backup_begun" | "backup_part" }>;

/** See the file comment. */
export class Backups {
  readonly #options: BackupsOptions;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  /** Those that run. */
  readonly #readers = new Map<number, Reader>();
  #lastId = 0;
  #count = 0;

  constructor(options: BackupsOptions) {
    this.#options = options;
    options.pool.listen((message) => this.#receive(message));
  }

  /**
   * Begins a backup.
   *
   * @param options.acquire Opens the database, once it is known which there are; the first one
   * without it.
   * @param options.stale Takes what this node has applied, and asks nobody whether that is all:
   * the way when there is no leader any more.
   * @throws {DatabaseError} `BUSY` when too many run, `NO_LEADER` when nobody confirms that the
   * database is up to date, `NOT_LEADER` on a node that holds no data.
   */
  async begin(
    options: { readonly stale?: boolean; readonly acquire?: () => HeldDatabase } = {},
  ): Promise<Backup> {
    if (this.#count >= BACKUPS_MAX) {
      throw new DatabaseError("BUSY", `${BACKUPS_MAX} backups of this node run already`);
    }
    this.#count++;
    let backup: Backup | undefined;
    try {
      const { replica, clock } = this.#options;
      if (options.stale !== true) {
        await waitUntilUpToDate(replica, clock, () => this.#notHere());
      }
      backup = await this.#snapshot(options.acquire?.() ?? HELD_MAIN);
      return backup;
    } finally {
      if (backup === undefined) this.#count--;
    }
  }

  /** The states of the database that backups look at. */
  readers(): readonly Reader[] {
    return [...this.#readers.values()];
  }

  async #snapshot({ database, letGo }: HeldDatabase): Promise<Backup> {
    try {
      return await this.#begin(database, letGo);
    } catch (error) {
      letGo();
      throw error;
    }
  }

  async #begin(database: JobDatabase | undefined, letGo: () => void): Promise<Backup> {
    const { maintenance, pool } = this.#options;
    const { index, resume } = await maintenance.standStill(database?.id);
    const id = ++this.#lastId;
    const worker = pool.pick();
    try {
      const begun = this.#reply(id);
      const path = database?.path;
      pool.post(worker, { type: "backup_begin", id, ...path !== undefined && { database: path } });
      const reply = await begun;
      assert(reply.type === "backup_begun", `a backup begins with ${reply.type}`);
      if (reply.error !== undefined) throw fromPlain(reply.error);
      pool.streams(worker, 1);
      return this.#running(reply, worker, index, { database, letGo });
    } finally {
      resume();
    }
  }

  #running(
    begun: Reply & { type: "backup_begun" },
    worker: number,
    index: LogIndex,
    { database, letGo }: HeldDatabase,
  ): Backup {
    const { id, pages, pageSizeBytes } = begun;
    const { pool, clock } = this.#options;
    let ended: DatabaseError | undefined;
    let cancelStall = () => {};
    const endWith = (error: DatabaseError) => {
      if (ended !== undefined) return;
      ended = error;
      cancelStall();
      this.#readers.delete(id);
      this.#count--;
      letGo();
      pool.streams(worker, -1);
      pool.post(worker, { type: "backup_end", id });
    };
    const end = (reason: string) =>
      endWith(new DatabaseError("CLOSED", `The backup is over: ${reason}`));
    const sinceMs = clock.nowMs();
    const walFramesMax = BACKUP_WAL_FRAMES_MAX;
    const databaseId = database?.id ?? MAIN_DATABASE_ID;
    const key = `backup ${id}`;
    this.#readers.set(id, { databaseId, key, sinceMs, sql: "", walFramesMax, end: endWith });
    const watch = () => {
      const reason = `nothing of it was taken for ${BACKUP_STALL_MS / 1_000} s`;
      cancelStall = clock.after(BACKUP_STALL_MS, () => end(reason));
    };
    const next = async (): Promise<BackupPart> => {
      if (ended !== undefined) throw ended;
      cancelStall();
      const part = this.#reply(id);
      pool.post(worker, { type: "backup_next", id });
      const reply = await part;
      assert(reply.type === "backup_part", `a backup goes on with ${reply.type}`);
      const { bytes, sha256, error } = reply;
      if (error !== undefined || sha256 !== undefined) end("all of it was taken");
      else if (ended === undefined) watch();
      if (error !== undefined) throw fromPlain(error);
      return sha256 === undefined ? { type: "pages", bytes } : { type: "end", sha256 };
    };
    watch();
    return { index, pages, pageSizeBytes, next, end: () => end("it was given up") };
  }

  #reply(id: number): Promise<Reply> {
    assert(!this.#waiting.has(id), `two questions about backup ${id} at once`);
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  #receive(message: FromWorker): void {
    if (message.type !== "backup_begun" && message.type !== "backup_part") return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    waiting?.(message);
  }

  #notHere(): DatabaseError {
    const leader = this.#options.leaderUrl();
    return new DatabaseError("NOT_LEADER", "This node holds no data: it is a spare", {
      hint: "Take the backup from a voter or a standby",
      ...(leader === undefined ? {} : { leader }),
    });
  }
}
