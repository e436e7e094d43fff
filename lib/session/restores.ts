/**
 * Replaces the content of a database by that of a file, which arrives in parts at the node that
 * leads. The file is put aside, verified, and copied over the database in one transaction under the
 * write turn; from there on it is a write like any other, which large transactions travel as.
 */
import { DatabaseError, messageOf } from "../base/errors.ts";
import { LOG_SPACE_LEFT_BYTES, RESTORE_STALL_MS, RESTORE_WAIT_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import { isDiskFull } from "../io/disk_full.ts";
import type { LogIndex } from "../raft/types.ts";
import type { Replica } from "../replica/replica.ts";
import { HELD_MAIN, type HeldDatabase } from "./database_access.ts";
import { fromPlain } from "./plain_error.ts";
import type { SessionManager } from "./session_manager.ts";
import type { CopyFromWorker, CopyToWorker, FromWorker, JobDatabase } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** What restores need. */
export interface RestoresOptions {
  readonly replica: Replica;
  readonly sessions: SessionManager;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  readonly disk: Disk;
  /** The data folder: the file is put aside there. */
  readonly folder: string;
  readonly randomToken: () => string;
  /** Opens a database, and makes it when there is none; the first one without this. */
  readonly acquire?: (name: string | undefined) => Promise<HeldDatabase>;
}

/** A restore, as it is asked for. */
export interface RestoreRequest {
  /** The name of the database; undefined for the first one. */
  readonly database?: string | undefined;
  readonly pages: number;
  readonly pageSizeBytes: number;
  /** Whether a database that holds something may be replaced. */
  readonly force: boolean;
}

/** How far a restore came. */
export interface RestoreProgress {
  /** Whether the file is the content of the database, on a quorum. */
  readonly done: boolean;
  /** The log's entry by which it is, or a later one. */
  readonly index: LogIndex;
}

interface Restore {
  readonly id: string;
  readonly request: RestoreRequest;
  readonly file: DiskFile;
  receivedBytes: number;
  /** Set once it was asked to take effect. */
  outcome: Promise<LogIndex> | undefined;
  cancelStall: () => void;
}

type Question = Extract<CopyToWorker, { type: "restore" | "restore_check" }>;
type Reply = Extract<CopyFromWorker, { type: "restore_checked" | "restore_done" }>;

/** Space that a restore takes on a node, in sizes of the file: put aside, WAL, log. */
const SIZES_NEEDED = 3;
/** Questions to workers are counted from here on: other work of the node counts from 1. */
const FIRST_ID = 2 ** 32;
/** How often it asks for the write turn, each time for as long as a write waits. */
const TURN_ATTEMPTS_MAX = 6;
/** Names a file for the time of a restore; there is one at a time. */
const FILE_NAME = "restore.db";

/** See the file comment. */
export class Restores {
  readonly #options: RestoresOptions;
  readonly #path: string;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #lastId = FIRST_ID;
  #current: Restore | undefined;
  /** The last one that ended, so that its end can be told again. */
  #last: Restore | undefined;

  constructor(options: RestoresOptions) {
    this.#options = options;
    this.#path = `${options.folder}/${FILE_NAME}`;
    // Of a node that was killed in the middle.
    if (options.disk.exists(this.#path)) options.disk.remove(this.#path);
    options.pool.listen((message) => this.#receive(message));
  }

  /**
   * Begins a restore: its parts may come.
   *
   * @returns Its name.
   * @throws {DatabaseError} `NOT_LEADER`; `BUSY` while another one is under way; `DISK_FULL` when
   * there is no space for it.
   */
  begin(request: RestoreRequest): string {
    const { disk, folder, randomToken } = this.#options;
    this.#requireLeading();
    if (this.#current !== undefined) {
      throw new DatabaseError("BUSY", "Another restore is under way", {
        hint: `One that stands still is given up after ${RESTORE_STALL_MS / 1_000} s`,
      });
    }
    const needed = SIZES_NEEDED * sizeOf(request) + LOG_SPACE_LEFT_BYTES;
    const free = disk.freeBytes(folder);
    if (free < needed) {
      throw new DatabaseError(
        "DISK_FULL",
        `The restore needs ${needed} bytes of disk space on the leader; ${free} are free`,
      );
    }
    const file = onDisk(() => disk.open(this.#path, { create: true }));
    const id = randomToken();
    this.#current = {
      id,
      request,
      file,
      receivedBytes: 0,
      outcome: undefined,
      cancelStall: () => {},
    };
    this.#watch(this.#current);
    return id;
  }

  /**
   * Takes the next part of the file; one that was taken already is taken for well received.
   *
   * @param offset Where the part belongs, in bytes.
   * @throws {DatabaseError} `RESTORE_UNKNOWN`; `PROTOCOL` when it does not follow the part before;
   * `DISK_FULL` and `DISK`, which end the restore.
   */
  part(id: string, offset: number, bytes: Uint8Array): void {
    const restore = this.#find(id);
    const end = offset + bytes.length;
    if (end <= restore.receivedBytes) return;
    if (offset !== restore.receivedBytes || end > sizeOf(restore.request)) {
      throw new DatabaseError(
        "PROTOCOL",
        `A part from ${offset} to ${end} does not follow ${restore.receivedBytes}`,
      );
    }
    try {
      onDisk(() => restore.file.write(offset, bytes));
    } catch (error) {
      this.#finish(restore);
      throw error;
    }
    restore.receivedBytes = end;
    this.#watch(restore);
  }

  /**
   * Lets the file take effect. Asked again, it tells how it went.
   *
   * @returns Not later than `RESTORE_WAIT_MS`, also when it goes on.
   * @throws {DatabaseError} why it did not take effect, or that this is not known.
   */
  async commit(id: string): Promise<RestoreProgress> {
    const restore = this.#last?.id === id ? this.#last : this.#find(id);
    if (restore.receivedBytes < sizeOf(restore.request)) {
      const { receivedBytes, request } = restore;
      throw new DatabaseError(
        "PROTOCOL",
        `The file is not whole: ${receivedBytes} of ${sizeOf(request)} bytes`,
      );
    }
    restore.cancelStall();
    restore.outcome ??= this.#run(restore).finally(() => this.#finish(restore));
    let cancel = () => {};
    const waited = new Promise<RestoreProgress>((resolve) => {
      cancel = this.#options.clock.after(
        RESTORE_WAIT_MS,
        () => resolve({ done: false, index: 0 }),
      );
    });
    const settled = restore.outcome.then((index) => ({ done: true, index }));
    return await Promise.race([settled, waited]).finally(cancel);
  }

  /** Gives a restore up whose end was not asked for yet; harmless for any other. */
  abort(id: string): void {
    const restore = this.#current;
    if (restore?.id === id && restore.outcome === undefined) this.#finish(restore);
  }

  async #run({ request }: Restore): Promise<LogIndex> {
    const held = await this.#options.acquire?.(request.database) ?? HELD_MAIN;
    try {
      return await this.#restore(request, held.database);
    } finally {
      held.letGo();
    }
  }

  async #restore(
    { force }: RestoreRequest,
    to: JobDatabase | undefined,
  ): Promise<LogIndex> {
    const { replica, pool } = this.#options;
    const path = this.#path;
    const target = to === undefined ? {} : { database: to.path };
    const worker = pool.pick();
    await this.#ask(worker, { type: "restore_check", id: ++this.#lastId, path, ...target });
    this.#requireLeading();
    const release = await this.#turn(to?.id);
    let seq: number;
    try {
      const id = ++this.#lastId;
      const reply = await this.#ask(worker, { type: "restore", id, path, force, ...target });
      seq = reply.type === "restore_done" ? reply.seq : 0;
      replica.captured(to?.id);
    } finally {
      release();
    }
    return await new Promise((resolve, reject) =>
      replica.whenCommitted(seq, (error) => {
        if (error === undefined) resolve(replica.appliedIndex);
        else reject(error);
      }, to?.id)
    );
  }

  /** Waits for the write turn, longer than a single write would: more is lost with a restore. */
  async #turn(databaseId: number | undefined): Promise<() => void> {
    const { replica, sessions } = this.#options;
    for (let attempt = 1;; attempt++) {
      const refusal = replica.spaceRefusal;
      if (refusal !== undefined) throw refusal;
      try {
        return await new Promise((resolve, reject) =>
          sessions.whileNobodyWrites(resolve, reject, databaseId)
        );
      } catch (error) {
        const busy = error instanceof DatabaseError && error.code === "TRANSACTION_BUSY";
        if (!busy || attempt >= TURN_ATTEMPTS_MAX) throw error;
      }
    }
  }

  async #ask(worker: number, question: Question): Promise<Reply> {
    const { pool } = this.#options;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#waiting.set(question.id, resolve);
    pool.post(worker, question);
    const reply = await promise;
    pool.finished(worker, -question.id);
    if (reply.error === undefined) return reply;
    // Only a change of leadership interrupts it.
    if (reply.error.message === "interrupted") throw notLeading();
    throw fromPlain(reply.error);
  }

  #receive(message: FromWorker): void {
    if (message.type !== "restore_checked" && message.type !== "restore_done") return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    waiting?.(message);
  }

  #find(id: string): Restore {
    this.#requireLeading();
    if (this.#current?.id === id) return this.#current;
    throw new DatabaseError(
      "RESTORE_UNKNOWN",
      "The leader knows nothing of this restore: it was given up, or another node led then",
      { hint: "Nothing was changed unless it was asked to take effect; begin again" },
    );
  }

  #watch(restore: Restore): void {
    restore.cancelStall();
    restore.cancelStall = this.#options.clock.after(
      RESTORE_STALL_MS,
      () => this.#finish(restore),
    );
  }

  #finish(restore: Restore): void {
    if (this.#current !== restore) return;
    restore.cancelStall();
    restore.file.close();
    this.#options.disk.remove(this.#path);
    this.#current = undefined;
    if (restore.outcome !== undefined) this.#last = restore;
  }

  #requireLeading(): void {
    if (this.#options.replica.mode !== "leading") throw notLeading();
  }
}

function sizeOf({ pages, pageSizeBytes }: RestoreRequest): number {
  return pages * pageSizeBytes;
}

/** Runs an operation on the file that is put aside. @throws {DatabaseError} `DISK`, `DISK_FULL`. */
function onDisk<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new DatabaseError(
      isDiskFull(error) ? "DISK_FULL" : "DISK",
      `The leader cannot put the file aside: ${messageOf(error)}`,
      { outcome: "rejected", cause: error },
    );
  }
}

function notLeading(): DatabaseError {
  return new DatabaseError("NOT_LEADER", "This node does not lead the cluster");
}
