/** The handle of a replicated file: captures what a leader commits, and applies it elsewhere. */
import type { Functions, Library, Pointer } from "../../ffi/library.ts";
import { DatabaseError } from "../base/errors.ts";
import type { PageDigest } from "../wire/command.ts";
import { checkResult, Counts, MAIN, openHandle, SQLITE_OPEN_READWRITE } from "./native.ts";
import { SQLITE_BUSY, SQLITE_NOTFOUND, SQLITE_OK } from "./sqlite_error.ts";

/** A part of what was captured, encoded for {@linkcode ReplicaHandle.apply}. */
export interface Drained {
  /** Bytes written to the buffer. */
  readonly bytes: number;
  /** Pages among them. */
  readonly frames: number;
  /** Whether this part ends its batch: the transactions up to `seq` are out as a whole. */
  readonly complete: boolean;
  /** Sequence number of the batch's last transaction. */
  readonly seq: number;
  /** Size of the database in pages after the batch. */
  readonly pages: number;
  /** Pages of the batch that are still to come. */
  readonly framesLeft: number;
}

/** A view of the state of replication. */
export interface ReplicaStatus {
  readonly mode: "none" | "follower" | "leader";
  /** Sequence numbers of the last transaction that was captured, released and drained. */
  readonly lastSeq: number;
  readonly releasedSeq: number;
  readonly drainedSeq: number;
  readonly walFrames: number;
  /** Frames of the WAL that the database file holds. */
  readonly copiedFrames: number;
  readonly databasePages: number;
  readonly pageSizeBytes: number;
  /** Counts since the handle was opened. */
  readonly capturedTransactions: number;
  readonly drainedFrames: number;
  readonly appliedBatches: number;
  readonly rewinds: number;
}

/** The state of the page hashes. */
export interface DatabaseHashes {
  /** Of the state that was applied or released last. */
  readonly digest: PageDigest;
  /** Pages whose hash is not known; unless there are none, the digest says nothing. */
  readonly unknownPages: number;
  /** Pages of the file that were found to hold something else than they should. */
  readonly damagedPages: number;
}

/** Bytes of a hash as {@linkcode ReplicaHandle.saveHashes} gives it: u32 page, u64 hash. */
export const SAVED_HASH_BYTES = 12;

const LEARN_PAGES = 64;

const MODES = ["none", "follower", "leader"] as const;

/** The one replication handle of a file in this process. It starts as a follower. */
export class ReplicaHandle implements Disposable {
  readonly path: string;
  readonly #c: Functions;
  readonly #counts = new Counts(12);
  #handle: Pointer | undefined;

  private constructor(library: Library, path: string) {
    this.path = path;
    this.#c = library.c;
    this.#handle = openHandle(library, path, SQLITE_OPEN_READWRITE, 0);
  }

  /**
   * Opens the handle of a WAL-mode database file of at least one page. Nothing is read through the
   * b-tree, so that a file whose checkpoint was cut off by a crash can be healed by {@linkcode
   * apply}.
   *
   * @throws {DatabaseError} `SQLITE` when the file cannot be opened, or has a handle already.
   */
  static open(library: Library, path: string): ReplicaHandle {
    const replica = new ReplicaHandle(library, path);
    try {
      const rc = library.c.sqlite3_wal_replication_open(replica.#open(), MAIN);
      checkResult(rc, `open ${path} for replication`);
    } catch (error) {
      replica.close();
      throw error;
    }
    return replica;
  }

  /**
   * Allows writes and captures them from now on. What the WAL holds counts as committed.
   *
   * @returns The sequence number that the first transaction follows.
   */
  leader(): number {
    checkResult(this.#c.sqlite3_wal_replication_leader(this.#open(), MAIN), `lead ${this.path}`);
    return this.seq();
  }

  /** Refuses writes from now on, and forgets what was captured but not drained. */
  follower(): void {
    checkResult(
      this.#c.sqlite3_wal_replication_follower(this.#open(), MAIN),
      `follow ${this.path}`,
    );
  }

  /**
   * Bounds what one transaction may change, also one that runs: bytes of pages that it may have at
   * most, and that there is space for; 0 for no bound. One that grows beyond is undone.
   */
  limitTransactions(bytesMax: number, bytesSpace: number): void {
    const handle = this.#open();
    const rc = this.#c.sqlite3_wal_replication_transaction_limit(
      handle,
      MAIN,
      bytesMax,
      bytesSpace,
    );
    checkResult(rc, `limit transactions of ${this.path}`);
  }

  /**
   * Encodes the next part of what was captured; undefined when nothing is pending.
   *
   * @param buffer Holds at least one page and 20 bytes.
   */
  drain(buffer: Uint8Array): Drained | undefined {
    const counts = this.#counts;
    const handle = this.#open();
    const rc = this.#c.sqlite3_wal_replication_drain(
      handle,
      MAIN,
      buffer,
      buffer.length,
      counts.bytes,
    );
    checkResult(rc, `drain ${this.path}`);
    const bytes = counts.at(0);
    if (bytes === 0) return undefined;
    return {
      bytes,
      frames: counts.at(1),
      complete: counts.at(2) === 1,
      seq: counts.at(3),
      pages: counts.at(4),
      framesLeft: counts.at(5),
    };
  }

  /** Everything up to `seq` is committed and durable elsewhere: it may be checkpointed. */
  release(seq: number): void {
    const rc = this.#c.sqlite3_wal_replication_release(this.#open(), MAIN, seq);
    checkResult(rc, `release ${seq} of ${this.path}`);
  }

  /** Checkpoints copy what is released or applied now, and nothing later, until the next call. */
  limitCheckpoints(): void {
    checkResult(this.#c.sqlite3_wal_replication_limit(this.#open(), MAIN), "limit checkpoints");
  }

  /**
   * Applies one drained part. The parts of a batch follow each other; the last one commits.
   *
   * @throws {DatabaseError} `SQLITE`. With `SQLITE_BUSY` for a first part, a transaction of a
   * former leadership still holds the write lock; repeat it once that is gone. Any other error
   * undoes the whole batch.
   */
  apply(part: Uint8Array): void {
    const rc = this.#c.sqlite3_wal_replication_apply(this.#open(), MAIN, part, part.length);
    checkResult(rc, `apply a part of ${part.length} bytes to ${this.path}`);
  }

  /** Undoes the parts of an unfinished batch; harmless when there is none. */
  abort(): void {
    checkResult(
      this.#c.sqlite3_wal_replication_abort(this.#open(), MAIN),
      `abort a batch of ${this.path}`,
    );
  }

  /**
   * Takes back every transaction after `seq`, as a follower. Sessions that may have seen the schema
   * of one that was taken back must be closed before they run anything more.
   *
   * @returns False when a session stands in the way, which writes or reads a later snapshot.
   */
  rewind(seq: number): boolean {
    const rc = this.#c.sqlite3_wal_replication_rewind(this.#open(), MAIN, seq);
    if ((rc & 0xff) === SQLITE_BUSY) return false;
    checkResult(rc, `rewind ${this.path} to ${seq}`);
    return true;
  }

  /** Sequence number of the last transaction that was captured; 0 for none. */
  seq(): number {
    return this.#c.sqlite3_wal_replication_seq(this.#open(), MAIN);
  }

  /** The state at this moment. Not inside an unfinished batch. */
  status(): ReplicaStatus {
    const counts = this.#counts;
    const rc = this.#c.sqlite3_wal_replication_status(this.#open(), MAIN, counts.bytes);
    checkResult(rc, `get the status of ${this.path}`);
    return {
      mode: MODES[counts.at(0)] ?? "none",
      lastSeq: counts.at(1),
      releasedSeq: counts.at(2),
      drainedSeq: counts.at(3),
      walFrames: counts.at(4),
      copiedFrames: counts.at(5),
      databasePages: counts.at(6),
      pageSizeBytes: counts.at(7),
      capturedTransactions: counts.at(8),
      drainedFrames: counts.at(9),
      appliedBatches: counts.at(10),
      rewinds: counts.at(11),
    };
  }

  /** What the hashes of the pages say at this moment. */
  hashes(): DatabaseHashes {
    const counts = this.#counts;
    const rc = this.#c.sqlite3_wal_replication_digest(this.#open(), MAIN, 0, counts.bytes);
    checkResult(rc, `get the digest of ${this.path}`);
    return {
      digest: { low: counts.at(0), high: counts.at(1), pages: counts.at(2) },
      unknownPages: counts.at(3),
      damagedPages: counts.at(4),
    };
  }

  /**
   * The digest after a batch that was applied.
   *
   * @param batch Its number since the handle was opened, from 1.
   * @returns Undefined when it is not among the latest, or some page was not known.
   */
  digestAfter(batch: number): PageDigest | undefined {
    const counts = this.#counts;
    const rc = this.#c.sqlite3_wal_replication_digest(this.#open(), MAIN, batch, counts.bytes);
    if (rc === SQLITE_NOTFOUND) return undefined;
    checkResult(rc, `get the digest after batch ${batch}`);
    if (counts.at(3) > 0) return undefined;
    return { low: counts.at(0), high: counts.at(1), pages: counts.at(2) };
  }

  /**
   * Says what the file should hold, right after it was opened.
   *
   * @param hashes One of 8 bytes for each page of the database; 0 for one that is not known.
   */
  loadHashes(hashes: Uint8Array): void {
    const pages = hashes.length / 8;
    const rc = this.#c.sqlite3_wal_replication_load_hashes(this.#open(), MAIN, hashes, pages);
    checkResult(rc, `load the hashes of ${pages} pages`);
  }

  /** Learns the hashes from the file itself; for one that was just made, with few pages. */
  learnHashes(): void {
    for (let first = 1; first !== 0; first = this.#counts.at(0)) {
      const rc = this.#c.sqlite3_wal_replication_scrub(
        this.#open(),
        MAIN,
        first,
        LEARN_PAGES,
        this.#counts.bytes,
      );
      checkResult(rc, `read ${this.path}`);
    }
  }

  /**
   * Writes hashes of the file into a buffer, each with its page; see {@linkcode SAVED_HASH_BYTES}.
   *
   * @param which Those that changed since they were written last, or all that are known.
   * @param from The page to begin with, from 1.
   * @returns The bytes written, and the page to go on with, 0 at the end.
   */
  saveHashes(
    which: "changed" | "all",
    from: number,
    buffer: Uint8Array,
  ): { readonly bytes: number; readonly next: number } {
    const counts = this.#counts;
    const rc = this.#c.sqlite3_wal_replication_save_hashes(
      this.#open(),
      MAIN,
      which === "all" ? 1 : 0,
      from,
      buffer,
      buffer.length,
      counts.bytes,
    );
    checkResult(rc, `save hashes of ${this.path}`);
    return { bytes: counts.at(0), next: counts.at(1) };
  }

  /**
   * Holds whole pages, which were read from the file beside SQLite, against what it should hold.
   *
   * @param first The number of the first one, from 1.
   * @param damaged Those that differ count as damaged from now on.
   * @returns The first page that differs, as it may for a moment while a checkpoint writes it.
   */
  checkPages(first: number, pages: Uint8Array, damaged: boolean): number | undefined {
    const rc = this.#c.sqlite3_wal_replication_check(
      this.#open(),
      MAIN,
      first,
      pages,
      pages.length,
      damaged ? 1 : 0,
      this.#counts.bytes,
    );
    checkResult(rc, `check pages of ${this.path}`);
    return this.#counts.at(0) || undefined;
  }

  /** Makes the statements fail that sessions of this file run at the moment, in any thread. */
  interruptSessions(): void {
    const rc = this.#c.sqlite3_wal_replication_interrupt(this.#open(), MAIN);
    checkResult(rc, `interrupt the sessions of ${this.path}`);
  }

  /** As {@linkcode interruptSessions}, of one owner only. */
  interruptOwner(owner: number): void {
    const { sqlite3_wal_replication_interrupt_owner: interrupt } = this.#c;
    checkResult(interrupt(this.#open(), MAIN, owner), `interrupt the sessions of ${owner}`);
  }

  /** Ends replication of the file and closes it; idempotent. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    const rc = this.#c.sqlite3_close(handle);
    if (rc !== SQLITE_OK) checkResult(rc, `close ${this.path}`);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): Pointer {
    if (this.#handle === undefined) {
      throw new DatabaseError("CLOSED", `The replication of ${this.path} is closed`);
    }
    return this.#handle;
  }
}
