/**
 * The state machine over real SQLite files. The log is the durable truth; the WAL beside a database
 * is a cache, thrown away at every start and never synced.
 */
import { assert } from "../base/assert.ts";
import { ENTRY_PAYLOAD_BYTES_MAX } from "../base/limits.ts";
import type { DatabaseHashes, ReplicaHandle } from "../database/replica_handle.ts";
import type { Disk } from "../io/disk.ts";
import type { TwinProblem } from "../io/twin_file.ts";
import type { LogIndex, SnapshotBase } from "../raft/types.ts";
import {
  type Command,
  decodeCommand,
  encodeFrames,
  framesHeaderBytes,
  type PageDigest,
} from "../wire/command.ts";
import { type CheckpointRecord, mendCheckpoint, writeCheckpoint } from "./checkpoint_record.ts";
import { PageHashes, type PageHashesOptions } from "./page_hashes.ts";
import type { Captured, EarlierPayload, StateMachine } from "./state_machine.ts";

/** The one database of a node, for now; commands carry its id already. */
export const DATABASE_ID = 1;

/** What the machine needs. */
export interface SqliteMachineOptions extends PageHashesOptions {
  readonly disk: Disk;
  readonly folder: string;
  /** Opens the replication handle of a database file that exists. */
  readonly openHandle: (path: string) => ReplicaHandle;
  /** Milliseconds since 1970: when a leader's transactions ended; without it none is told. */
  readonly wallMs?: () => number;
  /** Bound of a command's payload; {@linkcode ENTRY_PAYLOAD_BYTES_MAX} by default. */
  readonly payloadBytesMax?: number;
}

/** Where the database file of a data folder is. */
export function databasePath(folder: string): string {
  return `${folder}/main.db`;
}

/** See {@linkcode StateMachine}. */
export class SqliteMachine implements StateMachine {
  /** What was wrong with the files of the checkpoint's record, and was mended. */
  readonly mended: readonly TwinProblem[];
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #openHandle: (path: string) => ReplicaHandle;
  readonly #wallMs: () => number | undefined;
  /** Chunks are drained behind room for the command's header. */
  readonly #scratch: Uint8Array;
  #record: CheckpointRecord;
  #handle: ReplicaHandle | undefined;
  /** Whether the next drained chunk starts a batch. */
  #first = true;
  #releasedSeq = 0;
  /** Parts of a batch that passed by, from its first one on. */
  #passed: LogIndex[] | undefined;
  /** Parts of the batch being applied that are still to come, but for the last one. */
  #parts: LogIndex[] | undefined;
  readonly #hashes: PageHashes;

  /**
   * Drops the WAL of an earlier run and opens the database, if there is one yet.
   *
   * @throws {DatabaseError} `CORRUPT` when both files of the checkpoint's record are damaged.
   */
  constructor(options: SqliteMachineOptions) {
    this.#disk = options.disk;
    this.#folder = options.folder;
    this.#openHandle = options.openHandle;
    this.#wallMs = options.wallMs ?? (() => undefined);
    this.#scratch = new Uint8Array(options.payloadBytesMax ?? ENTRY_PAYLOAD_BYTES_MAX);
    const { record, problems } = mendCheckpoint(this.#disk, this.#folder);
    this.#record = record;
    this.mended = problems;
    this.#dropCache();
    this.#hashes = new PageHashes(this.#disk, this.#folder, options);
    if (this.#record.completeIndex > 0) {
      this.#handle = this.#openHandle(databasePath(this.#folder));
      this.#hashes.opened(this.#handle, this.#record.completeIndex);
    }
  }

  /** What the hashes of the pages say; undefined when there is no database. */
  hashes(): DatabaseHashes | undefined {
    return this.#handle?.hashes();
  }

  /** See {@linkcode ReplicaHandle.checkPages}; undefined when there is no database. */
  checkPages(first: number, pages: Uint8Array, damaged: boolean): number | undefined {
    return this.#handle?.checkPages(first, pages, damaged);
  }

  /** Size of a page. The database must exist. */
  pageBytes(): number {
    return this.#opened().status().pageSizeBytes;
  }

  /** The last entry after which this node held the same as the leader; 0 when none is known. */
  get verifiedIndex(): LogIndex {
    return this.#hashes.verifiedIndex;
  }

  /**
   * The digest of the database after an entry that was applied here, or that this node made a claim
   * about as the leader; undefined when it is not known.
   */
  digestAt(index: LogIndex): PageDigest | undefined {
    return this.#handle && this.#hashes.digestAt(this.#handle, index);
  }

  get checkpointIndex(): LogIndex {
    return this.#record.completeIndex;
  }

  get consistentIndex(): LogIndex {
    return this.#record.fuzzyIndex;
  }

  get installing(): boolean {
    return this.#record.installing === true;
  }

  get installed(): SnapshotBase | undefined {
    return this.#record.installed;
  }

  get diverged(): LogIndex | undefined {
    return this.#record.diverged;
  }

  markDiverged(index: LogIndex): void {
    this.#writeRecord({ ...this.#record, diverged: index });
  }

  beginInstall(): void {
    this.close();
    this.#passed = undefined;
    this.#parts = undefined;
    const { diverged } = this.#record;
    this.#writeRecord({ completeIndex: 0, fuzzyIndex: 0, installing: true, diverged });
    this.#hashes.replaced();
    this.#dropCache();
  }

  completeInstall(base: SnapshotBase, fuzzyIndex: LogIndex): void {
    assert(this.installing, "a snapshot that was not announced");
    const path = databasePath(this.#folder);
    const file = this.#disk.open(path, { create: false });
    try {
      file.sync();
    } finally {
      file.close();
    }
    this.#disk.syncFolder(this.#folder);
    this.#writeRecord({ completeIndex: base.index, fuzzyIndex, installed: base });
    this.#hashes.replaced();
    this.#handle = this.#openHandle(path);
    this.#hashes.opened(this.#handle, base.index);
    this.#first = true;
    this.#releasedSeq = this.lastSeq();
  }

  partOf(payload: Uint8Array): { readonly first: boolean; readonly last: boolean } {
    const command = decodeCommand(payload);
    return command.type === "create" ? { first: true, last: true } : command;
  }

  /** Whether the database exists: the command that creates it is applied. */
  get exists(): boolean {
    return this.#handle !== undefined;
  }

  /** Frames of the WAL that no checkpoint copied yet; 0 in the middle of a batch. */
  uncopiedFrames(): number {
    if (this.#handle === undefined || this.#parts !== undefined) return 0;
    const { walFrames, copiedFrames } = this.#handle.status();
    return Math.max(0, walFrames - copiedFrames);
  }

  lastSeq(): number {
    return this.#handle?.seq() ?? 0;
  }

  apply(index: LogIndex, payload: Uint8Array, earlier: EarlierPayload): boolean {
    const command = decodeCommand(payload);
    assert(command.databaseId === DATABASE_ID, `unknown database ${command.databaseId}`);
    if (command.type === "frames" && command.claim !== undefined) {
      this.#hashes.check(this.#opened(), index, command.claim);
    }
    if (command.type === "create") this.#create(index, command.image);
    else if (command.last) return this.#applyBatch(index, command, earlier);
    else if (command.first) this.#passed = [index];
    else this.#passed?.push(index);
    return true;
  }

  lead(): number {
    this.#first = true;
    this.#passed = undefined;
    this.#hashes.begin();
    this.#releasedSeq = this.#opened().leader();
    return this.#releasedSeq;
  }

  follow(): void {
    this.#opened().follower();
  }

  drain(): Captured | undefined {
    const claim = this.#first ? this.#hashes.claim : undefined;
    const extras = { claim, wallMs: this.#wallMs() };
    const drained = this.#opened().drain(this.#scratch.subarray(framesHeaderBytes(extras)));
    if (drained === undefined) return undefined;
    if (claim !== undefined) this.#hashes.claimed();
    const payload = encodeFrames(this.#scratch, drained.bytes, {
      databaseId: DATABASE_ID,
      first: this.#first,
      last: drained.complete,
      ...extras,
    });
    this.#first = drained.complete;
    return { payload, complete: drained.complete, seq: drained.seq };
  }

  release(seq: number, index: LogIndex): void {
    if (seq === this.#releasedSeq) return;
    this.#release(seq);
    this.#hashes.released(this.#opened(), index);
  }

  rewind(seq: number): boolean {
    if (!this.#opened().rewind(seq)) return false;
    if (seq !== this.#releasedSeq) this.#release(seq);
    this.#hashes.begin();
    return true;
  }

  /** Frames in the WAL. */
  walFrames(): number {
    return this.#handle === undefined || this.#parts !== undefined
      ? 0
      : this.#handle.status().walFrames;
  }

  /** Bounds what one transaction may change; see {@linkcode ReplicaHandle.limitTransactions}. */
  limitTransactions(bytesMax: number, bytesSpace: number): void {
    this.#handle?.limitTransactions(bytesMax, bytesSpace);
  }

  /** Interrupts the statements that sessions run; all, or those of one owner. */
  interrupt(owner?: number): void {
    if (owner === undefined) this.#handle?.interruptSessions();
    else this.#handle?.interruptOwner(owner);
  }

  /**
   * Says, durably, that a copy into the file begins, of what is committed and durable now and
   * nothing later, although others go on.
   *
   * @param index Everything that the database shows up to here, or less, is copied.
   */
  beginCheckpoint(index: LogIndex): void {
    this.#writeRecord({ completeIndex: this.#record.completeIndex, fuzzyIndex: index });
    this.#opened().limitCheckpoints();
  }

  /** Says, durably, that the file holds everything up to `index`. */
  completeCheckpoint(index: LogIndex): void {
    this.#hashes.save(this.#opened(), index);
    this.#writeRecord({ completeIndex: index, fuzzyIndex: index });
  }

  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
  }

  #opened(): ReplicaHandle {
    assert(this.#handle !== undefined, "the database does not exist yet");
    return this.#handle;
  }

  /** The WAL beside the database belongs to an earlier life of it. */
  #dropCache(): void {
    const path = databasePath(this.#folder);
    for (const stale of [`${path}-wal`, `${path}-shm`]) {
      if (this.#disk.exists(stale)) this.#disk.remove(stale);
    }
  }

  #writeRecord(record: CheckpointRecord): void {
    writeCheckpoint(this.#disk, this.#folder, record);
    this.#record = record;
  }

  /**
   * Makes the database file. Should the file be there already, a crash came before the record was
   * durable: nothing of it counts, since replay starts here.
   */
  #create(index: LogIndex, image: Uint8Array): void {
    assert(this.#handle === undefined, `database created twice, again at ${index}`);
    const path = databasePath(this.#folder);
    const file = this.#disk.open(path, { create: true });
    try {
      file.write(0, image);
      file.truncate(image.length);
      file.sync();
    } finally {
      file.close();
    }
    this.#disk.syncFolder(this.#folder);
    this.#writeRecord({ completeIndex: index, fuzzyIndex: index });
    this.#handle = this.#openHandle(path);
    this.#hashes.created(this.#handle, index);
  }

  #release(seq: number): void {
    this.#opened().release(seq);
    this.#releasedSeq = seq;
  }

  /**
   * Applies the next part of the batch whose last part is at `index`. Earlier parts are read back
   * from the log: they are nothing until the last one is committed, as their leader may have died
   * in between.
   *
   * @returns Whether that was the last part: only then anything is to be seen.
   */
  #applyBatch(
    index: LogIndex,
    last: Command & { type: "frames" },
    earlier: EarlierPayload,
  ): boolean {
    if (this.#parts === undefined) {
      const passed = last.first ? [] : this.#passed;
      this.#passed = undefined;
      // Undefined after a start, or a fall from leadership, in the middle of the batch.
      this.#parts = passed ?? earlierParts(index, last, earlier);
    }
    const at = this.#parts.shift();
    const payload = at === undefined ? undefined : earlier(at);
    assert(at === undefined || payload !== undefined, `entry ${at} is gone`);
    const part = payload === undefined ? last : decodeCommand(payload);
    try {
      this.#opened().apply((part as Command & { type: "frames" }).chunk);
    } catch (error) {
      // All of the batch is undone; should it be tried again, then from its first part on.
      this.#parts = undefined;
      throw error;
    }
    if (at !== undefined) return false;
    this.#parts = undefined;
    this.#hashes.applied(index);
    return true;
  }
}

/** Where the parts are that come before the last one, in order. */
function earlierParts(
  index: LogIndex,
  last: Command & { type: "frames" },
  earlier: EarlierPayload,
): LogIndex[] {
  const parts: LogIndex[] = [];
  let first = last.first;
  for (let at = index - 1; !first; at--) {
    assert(at > 0, `the batch that ends at ${index} has no first part`);
    const payload = earlier(at);
    if (payload === undefined) continue;
    const command = decodeCommand(payload);
    assert(command.type === "frames" && !command.last, `entry ${at} is no part of a batch`);
    parts.push(at);
    first = command.first;
  }
  return parts.reverse();
}
