/**
 * The databases beside the first one: found by name, made on first use, dropped; opened when they
 * are used, and closed again when too many are open. Who holds one keeps it open.
 */
import { DatabaseError } from "../base/errors.ts";
import { DATABASES_MAX, DATABASES_OPEN_MAX } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import { databasePath } from "../replica/database_paths.ts";
import type { Replica } from "../replica/replica.ts";
import type { SqliteMachine } from "../replica/sqlite_machine.ts";
import { encodeCreate, encodeDrop, MAIN_DATABASE_ID, MAIN_DATABASE_NAME } from "../wire/command.ts";
import type { DatabaseEntry } from "../wire/database_list.ts";
import { requireDatabaseName } from "../wire/database_name.ts";
import { DatabaseUses } from "./database_uses.ts";
import { type DatabaseAccess, HELD_MAIN, type HeldDatabase } from "./database_access.ts";
import type { SessionManager } from "./session_manager.ts";
import { waitUntilUpToDate } from "./up_to_date.ts";
import type { FromWorker, JobDatabase } from "./worker_messages.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** What databases need. */
export interface DatabasesOptions {
  readonly machine: SqliteMachine;
  readonly replica: Replica;
  readonly sessions: SessionManager;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  /** The data folder. */
  readonly folder: string;
  /** The first page of a new database. */
  readonly newImage: () => Uint8Array;
  /** Copies what is committed into the files, so that databases can be closed. */
  readonly checkpoint: () => Promise<unknown>;
}

/** Pause between two interruptions of those who use a database that was dropped. */
const INTERRUPT_AGAIN_MS = 10;
/** How often it is tried to close a database, so that another one can be opened. */
const ROOM_ATTEMPTS_MAX = 20;
const ROOM_RETRY_MS = 50;

/** See the file comment. */
export class Databases implements DatabaseAccess {
  readonly #options: DatabasesOptions;
  readonly #uses = new DatabaseUses();
  readonly #creating = new Map<string, Promise<DatabaseEntry>>();
  readonly #dropping = new Set<number>();
  /** Answers of workers that are still to come. */
  readonly #releases = new Map<number, { missing: number; busy: boolean; done(): void }>();
  #lastReleaseId = 0;
  /** The highest id that this node proposed. */
  #lastId = 0;
  #image: Uint8Array | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: DatabasesOptions) {
    this.#options = options;
    options.pool.listen((message) => this.#receive(message));
  }

  enter(name: string): JobDatabase | Promise<JobDatabase> {
    const { machine, replica, folder } = this.#options;
    const entry = machine.find(requireDatabaseName(name));
    if (replica.mode !== "leading") {
      // The leader knows whether there is one.
      if (entry === undefined) throw notLeading();
      return { id: entry.id, path: databasePath(folder, entry.id) };
    }
    if (entry === undefined) return this.create(name).then((created) => this.#enter(created));
    return machine.isOpen(entry.id) ? this.#opened(entry) : this.#enter(entry);
  }

  open(id: number): DatabaseError | undefined {
    const { machine } = this.#options;
    if (machine.installing || machine.get(id) === undefined) return notLeading();
    if (machine.isFull && !machine.isOpen(id)) {
      void this.closeRested();
      return tooManyUsed();
    }
    try {
      machine.use(id);
      return undefined;
    } catch (error) {
      if (error instanceof DatabaseError) return error;
      throw error;
    }
  }

  hold(id: number): () => void {
    return this.#uses.hold(id);
  }

  /**
   * The database of a name, also the first one, if there is one.
   *
   * @throws {DatabaseError} `DATABASE_UNKNOWN`, `DATABASE_NAME`.
   */
  find(name: string): DatabaseEntry {
    const entry = this.#options.machine.find(requireDatabaseName(name));
    if (entry !== undefined && !this.#dropping.has(entry.id)) return entry;
    throw new DatabaseError("DATABASE_UNKNOWN", `There is no database ${name}`, {
      hint: "One is made when it is used first, and by dqlite databases create",
    });
  }

  /**
   * Opens a database, also the first one, and keeps it open.
   *
   * @param name Undefined for the first one.
   * @throws {DatabaseError} `DATABASE_UNKNOWN`, `DATABASE_NAME`, `BUSY`.
   */
  acquire(name: string | undefined): HeldDatabase {
    if (name === undefined || name === MAIN_DATABASE_NAME) return HELD_MAIN;
    const { id } = this.find(name);
    const refusal = this.open(id);
    if (refusal !== undefined) throw refusal;
    const path = databasePath(this.#options.folder, id);
    return { database: { id, path }, letGo: this.hold(id) };
  }

  /** As {@linkcode acquire}, on a node that leads: one that there is not is made. */
  async acquireOrMake(name: string | undefined): Promise<HeldDatabase> {
    if (name === undefined || name === MAIN_DATABASE_NAME) return HELD_MAIN;
    await this.enter(name);
    return this.acquire(name);
  }

  /**
   * All databases, as of a moment after the call.
   *
   * @throws {DatabaseError} `NO_LEADER` when nobody confirms that these are all.
   */
  async list(): Promise<DatabaseEntry[]> {
    const { replica, clock, machine } = this.#options;
    await waitUntilUpToDate(replica, clock, notLeading);
    return machine.list();
  }

  /**
   * Makes a database, unless there is one of that name.
   *
   * @throws {DatabaseError} `NOT_LEADER`; `DATABASE_NAME`; `TOO_LARGE` when there are too many.
   */
  create(name: string): Promise<DatabaseEntry> {
    const { machine, replica } = this.#options;
    requireDatabaseName(name);
    if (replica.mode !== "leading") throw notLeading();
    const entry = machine.find(name);
    if (entry !== undefined) {
      if (this.#dropping.has(entry.id)) throw beingDropped(name);
      return Promise.resolve(entry);
    }
    let creating = this.#creating.get(name);
    if (creating === undefined) {
      creating = this.#create(name).finally(() => this.#creating.delete(name));
      this.#creating.set(name, creating);
    }
    return creating;
  }

  /**
   * Drops a database, with all that it holds.
   *
   * @throws {DatabaseError} `NOT_LEADER`; `DATABASE_UNKNOWN`; `DATABASE_NAME` for the first one;
   * `TRANSACTION_BUSY` when somebody writes to it for too long.
   */
  async drop(name: string): Promise<void> {
    const { replica } = this.#options;
    requireDatabaseName(name);
    if (replica.mode !== "leading") throw notLeading();
    const { id } = this.find(name);
    if (id === MAIN_DATABASE_ID) {
      throw new DatabaseError("DATABASE_NAME", `${MAIN_DATABASE_NAME} cannot be dropped`);
    }
    this.#dropping.add(id);
    let release = () => {};
    try {
      release = await this.#quiet(id);
      await this.#propose(encodeDrop(id));
    } finally {
      this.#dropping.delete(id);
      release();
    }
  }

  /** A database was dropped: takes it from whoever uses it, and closes it. */
  dropped(id: number): void {
    this.#options.clock.soon(() => void this.#letGo(id));
  }

  /** Closes databases that nobody uses, while there are too many. */
  closeRested(): Promise<void> {
    this.#closing ??= this.#closeRested().finally(() => {
      this.#closing = undefined;
    });
    return this.#closing;
  }

  async #create(name: string): Promise<DatabaseEntry> {
    const { machine } = this.#options;
    const { databases, lastId } = machine.catalog;
    if (databases.length + this.#creating.size >= DATABASES_MAX) {
      throw new DatabaseError("TOO_LARGE", `There are ${DATABASES_MAX} databases already`, {
        hint: "Drop one that is not needed",
      });
    }
    const id = Math.max(this.#lastId, lastId) + 1;
    this.#lastId = id;
    this.#image ??= this.#options.newImage();
    await this.#propose(encodeCreate(id, name, this.#image));
    const entry = machine.find(name);
    if (entry === undefined) throw notLeading();
    return entry;
  }

  /** Until it is committed and applied, nothing of the request was done. */
  #propose(payload: Uint8Array<ArrayBuffer>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#options.replica.propose(payload, (error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
    return promise;
  }

  #opened({ id }: DatabaseEntry): JobDatabase {
    if (this.#dropping.has(id)) throw beingDropped(String(id));
    return { id, path: this.#options.machine.use(id) };
  }

  async #enter(entry: DatabaseEntry): Promise<JobDatabase> {
    const { machine, clock } = this.#options;
    for (let attempt = 1; machine.isFull && !machine.isOpen(entry.id); attempt++) {
      if (attempt > ROOM_ATTEMPTS_MAX) throw tooManyUsed();
      await this.closeRested();
      if (!machine.isFull) break;
      await new Promise<void>((resolve) => void clock.after(ROOM_RETRY_MS, resolve));
    }
    const current = machine.get(entry.id);
    if (current === undefined) throw notLeading();
    return this.#opened(current);
  }

  /** Waits until nobody writes to a database and everything of it is committed. */
  #quiet(id: number): Promise<() => void> {
    const { machine, sessions, replica } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<() => void>();
    const letGo = this.hold(id);
    sessions.whileNobodyWrites(
      (release) => {
        const quiet = (error: DatabaseError | undefined) => {
          if (error === undefined) return resolve(release);
          release();
          reject(error);
        };
        replica.whenCommitted(machine.lastSeq(id), quiet, id);
      },
      reject,
      id,
    );
    return promise.finally(letGo);
  }

  async #closeRested(): Promise<void> {
    const { machine, checkpoint } = this.#options;
    await this.#closeSome();
    if (machine.openCount <= DATABASES_OPEN_MAX) return;
    try {
      await checkpoint();
    } catch (error) {
      // Others are in the way; what is complete all the same can be closed.
      if (!(error instanceof DatabaseError)) throw error;
    }
    await this.#closeSome();
  }

  async #closeSome(): Promise<void> {
    const { machine } = this.#options;
    const excess = machine.openCount - DATABASES_OPEN_MAX;
    if (excess <= 0) return;
    const rested = machine.openIds().filter((id) => this.#mayClose(id)).slice(0, excess);
    await Promise.all(rested.map((id) => this.#close(id)));
  }

  #mayClose(id: number): boolean {
    return this.#uses.count(id) === 0 && this.#options.machine.mayClose(id);
  }

  /** Closes a database, unless somebody comes for it meanwhile. */
  async #close(id: number): Promise<void> {
    const { machine, replica, sessions } = this.#options;
    const stamp = this.#uses.stamp(id);
    const busy = await this.#release(id, false);
    if (busy || this.#uses.stamp(id) !== stamp || !this.#mayClose(id)) return;
    sessions.forgetDatabase(id);
    machine.close(id);
    replica.forget(id);
    this.#uses.forget(id);
  }

  async #letGo(id: number): Promise<void> {
    const { machine, replica, sessions, clock } = this.#options;
    sessions.endDatabase(id);
    let released = false;
    const interrupt = () => {
      if (released) return;
      machine.interruptDropped(id);
      clock.after(INTERRUPT_AGAIN_MS, interrupt);
    };
    interrupt();
    await this.#release(id, true);
    released = true;
    machine.closeDropped(id);
    replica.forget(id);
    this.#uses.forget(id);
  }

  /** Has every worker let go of a database. Returns whether somebody still uses it. */
  #release(id: number, isGone: boolean): Promise<boolean> {
    const { pool, folder } = this.#options;
    const requestId = ++this.#lastReleaseId;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const release = { missing: pool.size, busy: false, done: () => resolve(release.busy) };
    this.#releases.set(requestId, release);
    const database = databasePath(folder, id);
    pool.broadcast({ type: "release", id: requestId, database, isGone });
    return promise;
  }

  #receive(message: FromWorker): void {
    if (message.type !== "released") return;
    const release = this.#releases.get(message.id);
    if (release === undefined) return;
    release.busy ||= message.busy;
    if (--release.missing > 0) return;
    this.#releases.delete(message.id);
    release.done();
  }
}

function notLeading(): DatabaseError {
  return new DatabaseError("NOT_LEADER", "This node does not lead the cluster");
}

function beingDropped(name: string): DatabaseError {
  return new DatabaseError("DATABASE_UNKNOWN", `Database ${name} is being dropped`);
}

function tooManyUsed(): DatabaseError {
  return new DatabaseError("BUSY", "Too many databases are used at the same time", {
    hint: "Try again; close transactions that are not needed",
  });
}
