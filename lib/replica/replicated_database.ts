/** One database of a node while it is open: applies batches, and drains what was captured. */
import { assert } from "../base/assert.ts";
import type { DatabaseHashes, ReplicaHandle } from "../database/replica_handle.ts";
import type { LogIndex } from "../raft/types.ts";
import {
  type Command,
  decodeCommand,
  encodeFrames,
  framesHeaderBytes,
  type PageDigest,
} from "../wire/command.ts";
import type { PageHashes } from "./page_hashes.ts";
import type { Captured, EarlierPayload } from "./state_machine.ts";

/** Captured pages in a part of a batch. */
export type FramesCommand = Command & { readonly type: "frames" };

/** See the file comment. */
export class ReplicatedDatabase {
  readonly id: number;
  readonly path: string;
  readonly #handle: ReplicaHandle;
  readonly #hashes: PageHashes;
  /** The file holds everything up to here; what comes again of it is left out. */
  readonly #openedIndex: LogIndex;
  /** Whether the next drained chunk starts a batch. */
  #first = true;
  #releasedSeq: number;
  /** Parts of a batch that passed by, from its first one on. */
  #passed: LogIndex[] | undefined;
  /** Parts of the batch being applied that are still to come, but for the last one. */
  #parts: LogIndex[] | undefined;

  /** @param openedIndex Up to here the file is complete. */
  constructor(
    id: number,
    path: string,
    handle: ReplicaHandle,
    hashes: PageHashes,
    openedIndex: LogIndex,
  ) {
    this.id = id;
    this.path = path;
    this.#handle = handle;
    this.#hashes = hashes;
    this.#openedIndex = openedIndex;
    this.#releasedSeq = this.lastSeq;
  }

  /** Number of the last captured transaction. */
  get lastSeq(): number {
    return this.#handle.seq();
  }

  /** Number of the last transaction that was released, or applied. */
  get releasedSeq(): number {
    return this.#releasedSeq;
  }

  /** Whether a batch was drained in part, and not to its end. */
  get isDraining(): boolean {
    return !this.#first;
  }

  /** Whether a batch is applied in part. */
  get isApplying(): boolean {
    return this.#parts !== undefined;
  }

  /** What the hashes of the pages say. */
  hashes(): DatabaseHashes {
    return this.#handle.hashes();
  }

  /** See {@linkcode ReplicaHandle.checkPages}. */
  checkPages(first: number, pages: Uint8Array, damaged: boolean): number | undefined {
    return this.#handle.checkPages(first, pages, damaged);
  }

  /** Size of a page. */
  pageBytes(): number {
    return this.#handle.status().pageSizeBytes;
  }

  /** See {@linkcode PageHashes.verifiedIndex}. */
  get verifiedIndex(): LogIndex {
    return this.#hashes.verifiedIndex;
  }

  /** See {@linkcode PageHashes.digestAt}. */
  digestAt(index: LogIndex): PageDigest | undefined {
    return this.#hashes.digestAt(this.#handle, index);
  }

  /** Frames of the WAL, and those that no checkpoint copied yet; none in the middle of a batch. */
  frames(): { readonly wal: number; readonly uncopied: number } {
    if (this.isApplying) return { wal: 0, uncopied: 0 };
    const { walFrames, copiedFrames } = this.#handle.status();
    return { wal: walFrames, uncopied: Math.max(0, walFrames - copiedFrames) };
  }

  /**
   * Applies a part of a batch, or passes it by.
   *
   * @returns False when there is more to do: to be called again with the same entry.
   */
  apply(index: LogIndex, command: FramesCommand, earlier: EarlierPayload): boolean {
    if (index <= this.#openedIndex) return true;
    if (command.claim !== undefined) this.#hashes.check(this.#handle, index, command.claim);
    if (command.last) return this.#applyBatch(index, command, earlier);
    if (command.first) this.#passed = [index];
    else this.#passed?.push(index);
    return true;
  }

  lead(): void {
    this.#first = true;
    this.#passed = undefined;
    this.#hashes.begin();
    this.#releasedSeq = this.#handle.leader();
  }

  follow(): void {
    this.#handle.follower();
  }

  /**
   * The next part of what was captured; undefined when there is none.
   *
   * @param scratch Holds the largest command.
   * @param interleaved Whether a batch of another database is open.
   * @param wallMs When its transactions ended, at the latest; undefined when that is not told.
   */
  drain(
    scratch: Uint8Array,
    interleaved: boolean,
    wallMs: number | undefined,
  ): Captured | undefined {
    const claim = this.#first ? this.#hashes.claim : undefined;
    const extras = { claim, wallMs };
    const drained = this.#handle.drain(scratch.subarray(framesHeaderBytes(extras)));
    if (drained === undefined) return undefined;
    if (claim !== undefined) this.#hashes.claimed();
    const payload = encodeFrames(scratch, drained.bytes, {
      databaseId: this.id,
      first: this.#first,
      last: drained.complete,
      interleaved,
      ...extras,
    });
    this.#first = drained.complete;
    return { databaseId: this.id, payload, complete: drained.complete, seq: drained.seq };
  }

  /** See {@linkcode StateMachine.release}. */
  release(seq: number, index: LogIndex): void {
    if (seq === this.#releasedSeq) return;
    this.#release(seq);
    this.#hashes.released(this.#handle, index);
  }

  /** See {@linkcode StateMachine.rewind}. */
  rewind(seq: number): boolean {
    if (!this.#handle.rewind(seq)) return false;
    if (seq !== this.#releasedSeq) this.#release(seq);
    this.#hashes.begin();
    return true;
  }

  limitTransactions(bytesMax: number, bytesSpace: number): void {
    this.#handle.limitTransactions(bytesMax, bytesSpace);
  }

  /** Interrupts the statements that sessions run; all, or those of one owner. */
  interrupt(owner?: number): void {
    if (owner === undefined) this.#handle.interruptSessions();
    else this.#handle.interruptOwner(owner);
  }

  /** Checkpoints copy what is committed and durable now, and nothing later. */
  limitCheckpoints(): void {
    this.#handle.limitCheckpoints();
  }

  /** Notes, durably, what the file holds: it is complete up to `index`. */
  saveHashes(index: LogIndex): void {
    this.#hashes.save(this.#handle, index);
  }

  close(): void {
    this.#handle.close();
  }

  #release(seq: number): void {
    this.#handle.release(seq);
    this.#releasedSeq = seq;
  }

  /**
   * Applies the next part of the batch whose last part is at `index`. Earlier parts are read back
   * from the log: they are nothing until the last one is committed, as their leader may have died
   * in between.
   *
   * @returns Whether that was the last part: only then anything is to be seen.
   */
  #applyBatch(index: LogIndex, last: FramesCommand, earlier: EarlierPayload): boolean {
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
      this.#handle.apply((part as FramesCommand).chunk);
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

/** Where the parts are that come before the last one, in order; those of others lie in between. */
function earlierParts(
  index: LogIndex,
  last: FramesCommand,
  earlier: EarlierPayload,
): LogIndex[] {
  const parts: LogIndex[] = [];
  let first = last.first;
  for (let at = index - 1; !first; at--) {
    assert(at > 0, `the batch that ends at ${index} has no first part`);
    const payload = earlier(at);
    if (payload === undefined) continue;
    const command = decodeCommand(payload);
    if (command.databaseId !== last.databaseId) continue;
    assert(command.type === "frames" && !command.last, `entry ${at} is no part of a batch`);
    parts.push(at);
    first = command.first;
  }
  return parts.reverse();
}
