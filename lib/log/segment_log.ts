import { assert } from "../base/assert.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { LOG_CACHE_BYTES_MAX, SEGMENT_BYTES } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { type Clock, systemClock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import { decidesAlone } from "../raft/quorum.ts";
import type { Configuration, Entry, HardState, LogIndex, NodeId, Term } from "../raft/types.ts";
import { crc32c } from "../base/crc32c.ts";
import { chainEquals, chainNext } from "../wire/chain.ts";
import { encodeConfiguration } from "../wire/configuration.ts";
import { type EntryBody, entryBody, entryHead } from "../wire/entry.ts";
import type { LogPoint, NewRecord } from "./batch.ts";
import { EntryCache } from "./entry_cache.ts";
import { readEntry } from "./entry_reader.ts";
import type { EntryTable, EntryVisitor } from "./entry_table.ts";
import { LogWriter } from "./log_writer.ts";
import { type LogRecovery, type Opened, openLog } from "./open.ts";
import { SegmentPreparer } from "./preparer.ts";
import { type SegmentFiles, segmentPath } from "./segment_files.ts";
import type { SegmentStarts } from "./segment_starts.ts";
import type { LogBase, LogBatch, LogSpace, RaftLog } from "./types.ts";

/** What a log is opened with. */
export interface SegmentLogOptions {
  readonly disk: Disk;
  /** Made when missing. */
  readonly folder: string;
  /** 32 hexadecimal digits. */
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** For the salts of segments. */
  readonly random: Random;
  /**
   * Called once, when the disk refused a write or a sync, with a `DISK` error. Nothing is
   * acknowledged any more; the node must stop.
   */
  readonly onFatal: (error: DatabaseError) => void;
  /**
   * Called when the disk has no space for the next segment, and again when it has; see
   * {@linkcode RaftLog.space}.
   */
  readonly onSpace?: (space: LogSpace) => void;
  readonly clock?: Clock;
  /** False when a log must be there already; the default is to make one. */
  readonly create?: boolean;
  /** Size of new segments. */
  readonly segmentBytes?: number;
  /** Bytes of recent entries that stay in memory. */
  readonly cacheBytesMax?: number;
}

/** The log in segment files; FORMAT.md describes them. */
export class SegmentLog implements RaftLog {
  readonly recovery: LogRecovery;
  readonly #table: EntryTable;
  readonly #starts: SegmentStarts;
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #cache: EntryCache;
  readonly #files: SegmentFiles;
  readonly #writer: LogWriter;
  readonly #preparer: SegmentPreparer;
  readonly #clock: Clock;
  readonly #onFatal: (error: DatabaseError) => void;
  /** Appends that are not durable, each with the end of the log as far as it still holds. */
  #pending: { lastIndex: LogIndex }[] = [];
  /** Resets that have no place yet. */
  #resetsWaiting = 0;
  /** The segment that the last reset with a place begins. */
  #resetSegment = 0;
  #hardState: HardState;
  #durableIndex: LogIndex;
  readonly #nodeId: NodeId;
  #recovering: boolean;
  #failed = false;
  #closed = false;

  private constructor(options: SegmentLogOptions, opened: Opened) {
    const { disk, folder, clusterId, nodeId, random, clock = systemClock } = options;
    this.recovery = opened.recovery;
    this.#table = opened.table;
    this.#starts = opened.starts;
    this.#disk = disk;
    this.#folder = folder;
    this.#files = opened.files;
    this.#hardState = opened.hardState;
    this.#recovering = opened.recovering;
    this.#nodeId = nodeId;
    this.#durableIndex = opened.table.lastIndex;
    this.#onFatal = options.onFatal;
    this.#clock = clock;
    const cacheBytesMax = options.cacheBytesMax ?? LOG_CACHE_BYTES_MAX;
    this.#cache = new EntryCache(this.#durableIndex + 1, cacheBytesMax);
    const { onSpace } = options;
    this.#preparer = new SegmentPreparer({
      disk,
      clock,
      folder,
      sizeBytes: opened.segment.sizeBytes,
      onFailure: (error) => this.#writer.fail(error),
      // Later, as the owner of a log that is being opened does not have it yet.
      onSpace: (space) =>
        clock.soon(() => {
          this.#writer.spaceChanged();
          if (!this.#closed) onSpace?.(space);
        }),
    });
    const host = {
      owner: { clusterId, nodeId },
      clock,
      nextSalt: () => random.next(),
      placed: (record: NewRecord, segment: number, at: number) => this.#place(record, segment, at),
      rolled: (sequence: number, salt: number, before: LogPoint) => {
        this.#files.add(sequence, salt);
        this.#starts.add(sequence, before);
      },
      released: (sequence: number) => this.#remove(this.#files.releaseBefore(sequence)),
      failed: (error: Error) => this.#fail(error),
    };
    this.#writer = new LogWriter(
      host,
      opened.slots,
      this.#preparer,
      opened.segment,
      opened.position,
    );
    this.#writer.start();
  }

  /**
   * Opens the log in a folder, or makes it. Blocks until the log is read and mended.
   *
   * @throws {DatabaseError} `CORRUPT`, naming file and offset, with nothing changed; `DATA_FOLDER`
   * when the files are foreign, of a newer format, or missing; `DISK` when the disk refuses.
   */
  static open(options: SegmentLogOptions): SegmentLog {
    const { disk, folder, clusterId, nodeId, random } = options;
    const opened = openLog({
      disk,
      folder,
      owner: { clusterId, nodeId },
      random,
      create: options.create ?? true,
      segmentBytes: options.segmentBytes ?? SEGMENT_BYTES,
    });
    return new SegmentLog(options, opened);
  }

  get firstIndex(): LogIndex {
    return this.#table.firstIndex;
  }

  get baseIndex(): LogIndex {
    return this.#table.base.index;
  }

  get baseTerm(): Term {
    return this.#table.base.term;
  }

  get baseConfiguration(): Configuration {
    return this.#table.baseConfiguration;
  }

  get lastIndex(): LogIndex {
    return this.#table.lastIndex;
  }

  get durableIndex(): LogIndex {
    return this.#durableIndex;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get recovering(): boolean {
    return this.#recovering;
  }

  get space(): LogSpace {
    return this.#preparer.space;
  }

  hasRoomFor(count: number, payloadBytes: number): boolean {
    return this.space === "ok" || this.#writer.hasRoomFor(count, payloadBytes);
  }

  /** The end of the log, with the chain that names its whole history. */
  get last(): LogPoint {
    return this.#table.last;
  }

  bodySizeBytes(index: LogIndex): number {
    return this.#table.bodySizeBytes(index);
  }

  baseAt(index: LogIndex): LogBase | undefined {
    const point = this.pointAt(index);
    return point && { ...point, configuration: this.#table.configurationAt(index) };
  }

  termAt(index: LogIndex): Term | undefined {
    return index < this.firstIndex ? undefined : this.#table.termAt(index);
  }

  /** The end of the log as it was at `index`: equal chains mean equal histories. */
  pointAt(index: LogIndex): LogPoint | undefined {
    return this.#table.termAt(index) === undefined ? undefined : this.#table.pointAt(index);
  }

  /** Tells index, term, body size and configuration of every entry, in order, from memory. */
  forEach(visit: EntryVisitor): void {
    this.#table.forEach(visit);
  }

  append(batch: LogBatch, done: () => void): void {
    assert(!this.#closed, "append to a closed log");
    if (this.#failed) return;
    if (batch.hardState !== undefined) this.#setHardState(batch.hardState);
    if (batch.reset !== undefined) this.#reset(batch.reset);
    if (batch.truncateFrom !== undefined) this.#truncateFrom(batch.truncateFrom);
    for (const entry of batch.entries) this.#push(entry);
    if (batch.recovered === true) this.#recover();
    const pending = { lastIndex: this.lastIndex };
    this.#pending.push(pending);
    this.#writer.pushDone(() => {
      assert(this.#pending.shift() === pending, "appends become durable out of order");
      this.#durableIndex = pending.lastIndex;
      this.#cache.evict(this.#durableIndex);
      done();
    });
  }

  entries(first: LogIndex, last: LogIndex, bytesMax: number): readonly Entry[] | undefined {
    if (first < this.firstIndex || last > this.lastIndex) return undefined;
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = first; index <= last; index++) {
      bytes += this.#table.bodySizeBytes(index);
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(this.#cache.get(index) ?? readEntry(this.#table, this.#files, index));
    }
    return entries;
  }

  prefixEnd(index: LogIndex): LogIndex {
    return this.#starts.newestUpTo(index)?.before.index ?? this.baseIndex;
  }

  truncatePrefix(index: LogIndex): void {
    assert(!this.#closed, "truncation of a closed log");
    assert(index <= this.#durableIndex, `truncation up to ${index}, beyond what is durable`);
    const start = this.#starts.newestUpTo(index);
    if (this.#failed || this.#resetsWaiting > 0 || start === undefined) return;
    this.#starts.removeBefore(start.sequence);
    this.#table.truncatePrefix(start.before.index);
    this.#cache.truncatePrefix(start.before.index);
    const point = this.#table.base;
    assert(chainEquals(point.chain, start.before.chain), `another history at ${point.index}`);
    const body = configurationBody(this.#table.baseConfiguration);
    this.#writer.push({ type: "base", point, body, after: this.#table.last });
    this.#writer.pushDone(() => this.#writer.beginWith(start.sequence));
  }

  close(done: () => void): void {
    assert(!this.#closed, "the log is closed twice");
    this.#closed = true;
    this.#writer.close(() => {
      this.#files.close();
      done();
    });
  }

  #setHardState(hardState: HardState): void {
    const { term, votedFor } = this.#hardState;
    assert(hardState.term >= term, `term ${hardState.term} after ${term}`);
    assert(
      hardState.term > term || votedFor === undefined || votedFor === hardState.votedFor,
      `a second vote in term ${term}: ${hardState.votedFor} after ${votedFor}`,
    );
    this.#hardState = hardState;
    this.#writer.push({ type: "hardState", hardState, after: this.#table.last });
  }

  /** The segments before the record are given up once it is durable. */
  #reset({ index, term, chain, configuration }: LogBase): void {
    const point = { index, term, chain };
    this.#table.reset(point, configuration);
    this.#cache.reset(index + 1);
    this.#durableIndex = Math.min(this.#durableIndex, index);
    for (const pending of this.#pending) pending.lastIndex = Math.min(pending.lastIndex, index);
    this.#resetsWaiting++;
    const body = configurationBody(configuration);
    this.#writer.push({ type: "reset", body, after: point, alone: this.#isAlone });
    this.#writer.pushDone(() => this.#writer.beginWith(this.#resetSegment));
  }

  #truncateFrom(from: LogIndex): void {
    if (from > this.lastIndex) return;
    this.#table.truncateFrom(from);
    this.#cache.truncateFrom(from);
    this.#durableIndex = Math.min(this.#durableIndex, from - 1);
    for (const pending of this.#pending) pending.lastIndex = Math.min(pending.lastIndex, from - 1);
    const after = this.#table.last;
    this.#writer.push({ type: "truncate", from, after, alone: this.#isAlone });
  }

  #push(entry: Entry): void {
    const body = entryBody(entry);
    const chain = chainNext(this.#table.last.chain, entryHead(entry, body));
    const point = { index: entry.index, term: entry.term, chain };
    const configuration = entry.type === "configuration" ? entry.configuration : undefined;
    this.#table.push(point, body.bytes.length, configuration);
    this.#cache.push(entry);
    const alone = configuration === undefined ? {} : { alone: this.#isAlone };
    this.#writer.push({ type: "entry", entry, body, after: point, ...alone });
  }

  #recover(): void {
    assert(this.#recovering, "nothing to recover from");
    this.#recovering = false;
    this.#writer.pushRecovered();
  }

  /** A log that is recovering may not know: it counts on others. */
  get #isAlone(): boolean {
    return !this.#recovering && decidesAlone(this.#table.configuration, this.#nodeId);
  }

  /** Removes segments one at a time, since each may take a moment. */
  #remove(sequences: readonly number[]): void {
    this.#clock.after(0, () => {
      // What is left is removed by the next start.
      if (this.#closed || this.#failed) return;
      const [sequence, ...others] = sequences;
      try {
        if (sequence === undefined) return this.#disk.syncFolder(this.#folder);
        this.#disk.remove(segmentPath(this.#folder, sequence));
      } catch (error) {
        return this.#writer.fail(error instanceof Error ? error : new Error(String(error)));
      }
      this.#remove(others);
    });
  }

  #place(record: NewRecord, segment: number, offset: number): void {
    if (record.type === "truncate") this.#starts.truncated(record.from);
    if (record.type === "reset") {
      this.#resetsWaiting--;
      this.#resetSegment = segment;
      this.#starts.removeBefore(segment);
    }
    if (record.type !== "entry") return;
    // The entry may have been truncated, and another have taken its index, while it waited.
    const { index } = record.entry;
    if (this.#cache.get(index) === record.entry) this.#table.place(index, segment, offset);
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    const fatal = new DatabaseError("DISK", `The log cannot be written: ${messageOf(error)}`, {
      cause: error,
      hint: "The node stops, since it cannot know what the disk holds. Check the disk.",
    });
    this.#clock.soon(() => this.#onFatal(fatal));
  }
}

function configurationBody(configuration: Configuration): EntryBody {
  const bytes = encodeConfiguration(configuration);
  return { bytes, checksum: crc32c(bytes) };
}
