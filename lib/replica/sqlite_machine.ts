/**
 * The state machine over real SQLite files: all databases of a node. The log is the durable truth;
 * the WAL beside a database is a cache, thrown away whenever the file is opened and never synced.
 *
 * One record tells of all files: every entry up to its index is in them. A file may hold more, and
 * then says so itself. A database that is not open is *complete*: everything that was applied of it
 * is in its file. So there may be many, and what rests costs nothing.
 */
import { assert } from "../base/assert.ts";
import { DATABASES_OPEN_LIMIT, ENTRY_PAYLOAD_BYTES_MAX } from "../base/limits.ts";
import type { DatabaseHashes } from "../database/replica_handle.ts";
import type { TwinProblem } from "../io/twin_file.ts";
import type { LogIndex, SnapshotBase } from "../raft/types.ts";
import { decodeCommand, MAIN_DATABASE_ID, type PageDigest } from "../wire/command.ts";
import { type DatabaseEntry, type DatabaseList, MAIN_ALONE } from "../wire/database_list.ts";
import { Catalog } from "./catalog.ts";
import { CatalogChanges } from "./catalog_changes.ts";
import { KeptCheckpoint } from "./checkpoint_record.ts";
import { DatabaseFolder } from "./database_folder.ts";
import { openDatabase, openNewDatabase } from "./open_database.ts";
import type { ReplicatedDatabase } from "./replicated_database.ts";
import type { SqliteMachineOptions } from "./sqlite_machine_options.ts";
import type {
  BatchPart,
  Captured,
  CommittedSeqs,
  EarlierPayload,
  StateMachine,
} from "./state_machine.ts";

/** See {@linkcode StateMachine}. */
export class SqliteMachine implements StateMachine {
  /** What was wrong with the files of the record and of the catalog, and was mended. */
  readonly mended: readonly TwinProblem[];
  readonly #options: SqliteMachineOptions;
  readonly #files: DatabaseFolder;
  /** Chunks are drained behind room for the command's header. */
  readonly #scratch: Uint8Array;
  readonly #catalog: Catalog;
  readonly #checkpoint: KeptCheckpoint;
  /** By id; the one that was used last comes last. */
  readonly #open = new Map<number, ReplicatedDatabase>();
  /** Dropped, and not let go of yet. */
  readonly #dropped = new Map<number, ReplicatedDatabase>();
  /** Databases whose files are not complete, each with the index up to which its file is. */
  readonly #dirty = new Map<number, LogIndex>();
  readonly #changes: CatalogChanges;
  /** Where `drain` is to look. */
  readonly #captured = new Set<number>();
  /** Databases of which a batch was drained in part. */
  readonly #draining = new Set<number>();
  /** No entry up to here comes again. */
  #seenIndex: LogIndex;
  #leads = false;
  #installs = 0;
  #waits = false;
  #transactionLimits: readonly [bytesMax: number, bytesSpace: number] = [0, 0];

  /**
   * Drops the WAL of an earlier run and opens the first database, if there is one yet.
   *
   * @throws {DatabaseError} `CORRUPT` when both files of the record or of the catalog are damaged.
   */
  constructor(options: SqliteMachineOptions) {
    this.#options = options;
    this.#files = new DatabaseFolder(options.disk, options.folder);
    this.#scratch = new Uint8Array(options.payloadBytesMax ?? ENTRY_PAYLOAD_BYTES_MAX);
    this.#checkpoint = new KeptCheckpoint(options.disk, options.folder);
    const { record, mended } = this.#checkpoint;
    this.#seenIndex = record.completeIndex;
    this.#catalog = new Catalog(options.disk, options.folder);
    this.#changes = new CatalogChanges(this.#catalog, this.#files);
    this.mended = [...mended, ...this.#catalog.mended];
    if (!this.installing) this.#files.removeStrays((id) => this.#catalog.get(id) !== undefined);
    if (record.completeIndex > 0) this.#openFile(MAIN_DATABASE_ID);
    else this.#files.dropCache(MAIN_DATABASE_ID);
  }

  /** What the hashes of the pages say; undefined when the database is not open. */
  hashes(id = MAIN_DATABASE_ID): DatabaseHashes | undefined {
    return this.#open.get(id)?.hashes();
  }

  /** See {@linkcode ReplicaHandle.checkPages}; undefined when the database is not open. */
  checkPages(id: number, first: number, pages: Uint8Array, damaged: boolean): number | undefined {
    return this.#open.get(id)?.checkPages(first, pages, damaged);
  }

  /** Size of a page. The database must be open. */
  pageBytes(id = MAIN_DATABASE_ID): number {
    return this.#opened(id).pageBytes();
  }

  /** The last entry after which this node held the same as the leader; 0 when none is known. */
  get verifiedIndex(): LogIndex {
    return this.#open.get(MAIN_DATABASE_ID)?.verifiedIndex ?? 0;
  }

  /**
   * The digest of a database after an entry that was applied here, or that this node made a claim
   * about as the leader; undefined when it is not known.
   */
  digestAt(index: LogIndex, id = MAIN_DATABASE_ID): PageDigest | undefined {
    return this.#open.get(id)?.digestAt(index);
  }

  get checkpointIndex(): LogIndex {
    return this.#checkpoint.record.completeIndex;
  }

  get consistentIndex(): LogIndex {
    return this.#checkpoint.record.fuzzyIndex;
  }

  get installing(): boolean {
    return this.#checkpoint.record.installing === true;
  }

  get installed(): SnapshotBase | undefined {
    return this.#checkpoint.record.installed;
  }

  /** Snapshots that took the place of all databases since the start. */
  get installs(): number {
    return this.#installs;
  }

  get diverged(): LogIndex | undefined {
    return this.#checkpoint.record.diverged;
  }

  markDiverged(index: LogIndex): void {
    this.#checkpoint.write({ ...this.#checkpoint.record, diverged: index });
  }

  beginInstall(): void {
    this.#installs++;
    this.closeAll();
    this.#dirty.clear();
    this.#changes.forget();
    const { diverged } = this.#checkpoint.record;
    this.#checkpoint.write({ completeIndex: 0, fuzzyIndex: 0, installing: true, diverged });
    this.#files.removeHashes();
    this.#files.dropCache(MAIN_DATABASE_ID);
  }

  completeInstall(
    base: SnapshotBase,
    fuzzyIndex: LogIndex,
    content: DatabaseList = MAIN_ALONE,
  ): void {
    assert(this.installing, "a snapshot that was not announced");
    this.#files.sync(content.databases.map(({ id }) => id));
    // A node with the first database alone never had a catalog, and needs none.
    if (content.lastId > MAIN_DATABASE_ID || this.#catalog.lastId > MAIN_DATABASE_ID) {
      this.#catalog.replace(content);
      this.#catalog.save();
    }
    this.#checkpoint.write({ completeIndex: base.index, fuzzyIndex, installed: base });
    this.#files.removeHashes();
    this.#files.removeStrays((id) => this.#catalog.get(id) !== undefined);
    this.#seenIndex = base.index;
    this.#openFile(MAIN_DATABASE_ID);
  }

  partOf(payload: Uint8Array): BatchPart {
    const command = decodeCommand(payload);
    return command.type === "frames" ? command : { first: true, last: true };
  }

  /** Whether there is a database: the command that creates the first one is applied. */
  get exists(): boolean {
    return this.#open.has(MAIN_DATABASE_ID);
  }

  /** The database of a name; undefined when there is none yet, or none any more. */
  find(name: string): DatabaseEntry | undefined {
    return this.#visible(this.#catalog.find(name));
  }

  /** The database of an id; undefined when there is none yet, or none any more. */
  get(id: number): DatabaseEntry | undefined {
    return this.#visible(this.#catalog.get(id));
  }

  /** All databases, by id. */
  list(): DatabaseEntry[] {
    return this.#catalog.content.databases.filter((entry) => this.#visible(entry) !== undefined);
  }

  /** What the catalog says, be it applied again here or not. */
  get catalog(): DatabaseList {
    return this.#catalog.content;
  }

  /** How many databases are open. */
  get openCount(): number {
    return this.#open.size + this.#dropped.size;
  }

  /** Whether another database can be opened. */
  get isFull(): boolean {
    return this.openCount >= DATABASES_OPEN_LIMIT;
  }

  /** The databases that are open, the one first that was not used for the longest time. */
  openIds(): number[] {
    return [...this.#open.keys()];
  }

  isOpen(id: number): boolean {
    return this.#open.has(id);
  }

  /** Databases whose files are not complete. */
  dirtyIds(): number[] {
    return [...this.#dirty.keys()];
  }

  /**
   * Opens a database that there is, unless it is open.
   *
   * @returns The path of its file.
   * @throws {DatabaseError} `SQLITE` when its file cannot be opened.
   */
  use(id: number): string {
    const database = this.#open.get(id) ?? this.#openFile(id);
    if (id !== MAIN_DATABASE_ID) {
      this.#open.delete(id);
      this.#open.set(id, database);
    }
    return database.path;
  }

  /** Whether a database can be closed: its file is complete. */
  mayClose(id: number): boolean {
    const database = this.#open.get(id);
    if (database === undefined || id === MAIN_DATABASE_ID || this.#dirty.has(id)) return false;
    if (database.isApplying || database.frames().uncopied > 0) return false;
    if (!this.#leads) return true;
    const { lastSeq, releasedSeq, isDraining } = database;
    return lastSeq === releasedSeq && !isDraining && !this.#captured.has(id);
  }

  /** Closes a database that may be closed, and that nobody uses. */
  close(id: number): void {
    assert(this.mayClose(id), `database ${id} cannot be closed`);
    this.#opened(id).close();
    this.#open.delete(id);
    this.#files.dropCache(id);
  }

  /** Closes a database that was dropped; nobody uses it any more. */
  closeDropped(id: number): void {
    this.#dropped.get(id)?.close();
    this.#dropped.delete(id);
    this.#changes.removeGone((gone) => this.#dropped.has(gone));
  }

  /** Interrupts the statements that run on a database that was dropped. */
  interruptDropped(id: number): void {
    this.#dropped.get(id)?.interrupt();
  }

  /** Whether there are files of dropped databases, which the next checkpoint removes. */
  get hasGone(): boolean {
    return this.#changes.hasGone;
  }

  /** Frames of the WAL that no checkpoint copied yet; 0 in the middle of a batch. */
  uncopiedFrames(id = MAIN_DATABASE_ID): number {
    return this.#open.get(id)?.frames().uncopied ?? 0;
  }

  /** Frames in the WAL. */
  walFrames(id = MAIN_DATABASE_ID): number {
    return this.#open.get(id)?.frames().wal ?? 0;
  }

  lastSeq(id = MAIN_DATABASE_ID): number {
    return this.#open.get(id)?.lastSeq ?? 0;
  }

  releasedSeq(id = MAIN_DATABASE_ID): number {
    return this.#open.get(id)?.releasedSeq ?? 0;
  }

  apply(index: LogIndex, payload: Uint8Array, earlier: EarlierPayload): boolean {
    const command = decodeCommand(payload);
    const { databaseId: id } = command;
    switch (command.type) {
      case "create":
        if (id === MAIN_DATABASE_ID) this.#createMain(index, command.image);
        else this.#create(index, id, command.name, command.image);
        break;
      case "drop":
        this.#drop(id);
        break;
      case "frames": {
        assert(id <= this.#catalog.lastId, `unknown database ${id}`);
        // Dropped, and the catalog knows already.
        if (this.#catalog.get(id) === undefined) break;
        this.#waits = !this.#open.has(id) && this.isFull;
        if (this.#waits) {
          this.#options.onFull?.();
          return false;
        }
        this.use(id);
        const database = this.#opened(id);
        if (!this.#dirty.has(id)) this.#dirty.set(id, index - 1);
        if (!database.apply(index, command, earlier)) return false;
        break;
      }
    }
    this.#seenIndex = index;
    return true;
  }

  get waits(): boolean {
    return this.#waits;
  }

  lead(): void {
    assert(this.exists, "leads without a database");
    this.#leads = true;
    this.#captured.clear();
    this.#draining.clear();
    for (const database of this.#open.values()) database.lead();
  }

  follow(): void {
    this.#leads = false;
    this.#captured.clear();
    this.#draining.clear();
    for (const database of this.#open.values()) database.follow();
  }

  captured(id = MAIN_DATABASE_ID): void {
    if (this.#open.has(id)) this.#captured.add(id);
  }

  drain(): Captured | undefined {
    for (const id of this.#captured) {
      const interleaved = this.#draining.size > (this.#draining.has(id) ? 1 : 0);
      const part = this.#opened(id).drain(this.#scratch, interleaved, this.#options.wallMs?.());
      // Whoever has more waits until all others had their turn.
      this.#captured.delete(id);
      if (part === undefined) continue;
      this.#captured.add(id);
      if (part.complete) this.#draining.delete(id);
      else this.#draining.add(id);
      if (!this.#dirty.has(id)) this.#dirty.set(id, this.#seenIndex);
      return part;
    }
    return undefined;
  }

  release(id: number, seq: number, index: LogIndex): void {
    this.#open.get(id)?.release(seq, index);
    this.#seenIndex = Math.max(this.#seenIndex, index);
  }

  rewind(committed: CommittedSeqs): boolean {
    for (const [id, database] of this.#open) {
      if (!database.rewind(committed(id) ?? database.releasedSeq)) return false;
    }
    return true;
  }

  /** Bounds what one transaction may change; see {@linkcode ReplicaHandle.limitTransactions}. */
  limitTransactions(bytesMax: number, bytesSpace: number): void {
    this.#transactionLimits = [bytesMax, bytesSpace];
    for (const database of this.#open.values()) database.limitTransactions(bytesMax, bytesSpace);
  }

  /** Interrupts the statements that sessions run; all, or those of one owner. */
  interrupt(owner?: number): void {
    for (const database of this.#open.values()) database.interrupt(owner);
    for (const database of this.#dropped.values()) database.interrupt(owner);
  }

  /**
   * Says, durably, that copies into the files of databases begin, of what is committed and durable
   * now and nothing later, although others go on.
   *
   * @param index Everything that the databases show up to here, or less, is copied.
   * @param ids The first database, when none is named.
   */
  beginCheckpoint(index: LogIndex, ...ids: number[]): void {
    const { completeIndex, fuzzyIndex } = this.#checkpoint.record;
    this.#checkpoint.update(completeIndex, Math.max(index, fuzzyIndex));
    if (ids.length === 0) ids.push(MAIN_DATABASE_ID);
    for (const id of ids) this.#opened(id).limitCheckpoints();
  }

  /** Says, durably, that the file of a database holds everything up to `index`. */
  completeCheckpoint(index: LogIndex, id = MAIN_DATABASE_ID): void {
    const database = this.#opened(id);
    database.saveHashes(index);
    this.#changes.copied(id);
    if (this.isCopied(id)) this.#dirty.delete(id);
    else this.#dirty.set(id, index);
    const { completeIndex: before } = this.#checkpoint.record;
    const completeIndex = Math.max(before, Math.min(index, ...this.#dirty.values()));
    const fuzzyIndex = Math.max(completeIndex, this.#checkpoint.record.fuzzyIndex);
    // What was created and dropped is durable before the record moves on behind it.
    if (completeIndex > before || this.hasGone) this.#changes.save((one) => this.#dropped.has(one));
    this.#checkpoint.update(completeIndex, fuzzyIndex);
  }

  /** Whether the file of an open database holds everything that is in its WAL. */
  isCopied(id: number): boolean {
    const database = this.#opened(id);
    return !database.isApplying && database.frames().uncopied === 0;
  }

  /** Lets go of every file. */
  closeAll(): void {
    for (const database of this.#open.values()) database.close();
    for (const database of this.#dropped.values()) database.close();
    this.#open.clear();
    this.#dropped.clear();
    this.#captured.clear();
    this.#draining.clear();
  }

  #opened(id: number): ReplicatedDatabase {
    const database = this.#open.get(id);
    assert(database !== undefined, `database ${id} is not open`);
    return database;
  }

  /** What an entry created that comes again is not there yet. */
  #visible(entry: DatabaseEntry | undefined): DatabaseEntry | undefined {
    return entry === undefined || entry.createdIndex > this.#seenIndex ? undefined : entry;
  }

  #openFile(id: number): ReplicatedDatabase {
    this.#files.dropCache(id);
    const createdIndex = this.#changes.createdIndex(id);
    if (createdIndex !== undefined) {
      return this.#opens(openNewDatabase(this.#options, id, createdIndex, false));
    }
    const mayRest = this.#catalog.lastId > MAIN_DATABASE_ID;
    const { completeIndex } = this.#checkpoint.record;
    return this.#opens(openDatabase(this.#options, id, completeIndex, mayRest));
  }

  #opens(database: ReplicatedDatabase): ReplicatedDatabase {
    this.#open.set(database.id, database);
    const [bytesMax, bytesSpace] = this.#transactionLimits;
    if (bytesMax > 0) database.limitTransactions(bytesMax, bytesSpace);
    if (this.#leads) database.lead();
    return database;
  }

  /**
   * Makes the first database. Should its file be there already, a crash came before the record was
   * durable: nothing of it counts, since replay starts here.
   */
  #createMain(index: LogIndex, image: Uint8Array): void {
    assert(!this.exists, `database created twice, again at ${index}`);
    this.#files.makeMain(MAIN_DATABASE_ID, image);
    this.#checkpoint.write({ completeIndex: index, fuzzyIndex: index });
    this.#opens(openNewDatabase(this.#options, MAIN_DATABASE_ID, index, true));
  }

  /** Makes another database; two leaders may both have proposed the same name. */
  #create(index: LogIndex, id: number, name: string, image: Uint8Array): void {
    const known = this.#catalog.get(id);
    if (known === undefined) {
      // Dropped, and the catalog knows already.
      if (id <= this.#catalog.lastId) return;
      if (this.#catalog.find(name) !== undefined) return this.#catalog.skip(id);
      this.#catalog.add({ id, name, createdIndex: index });
    } else {
      assert(known.createdIndex === index, `database ${id} created twice, again at ${index}`);
    }
    assert(!this.#open.has(id), `database ${id} is open before it is created`);
    this.#files.make(id, image);
    this.#changes.created(id, index);
  }

  #drop(id: number): void {
    assert(id <= this.#catalog.lastId, `unknown database ${id}`);
    if (this.#catalog.get(id) === undefined) return;
    this.#catalog.remove(id);
    const database = this.#open.get(id);
    if (database !== undefined) {
      if (this.#leads) database.follow();
      this.#open.delete(id);
      this.#dropped.set(id, database);
    }
    this.#dirty.delete(id);
    this.#captured.delete(id);
    this.#draining.delete(id);
    this.#changes.dropped(id);
    this.#options.onDropped?.(id);
  }
}
