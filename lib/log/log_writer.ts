import { assert } from "../base/assert.ts";
import { LOG_RESERVE_BYTES } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { DiskFile } from "../io/disk.ts";
import type { HardState } from "../raft/types.ts";
import { RECORD_HEAD_BYTES, recordSizeBytes } from "../wire/record.ts";
import { type LogOwner, SEGMENT_DATA_AT } from "../wire/segment_header.ts";
import { encodeBatch, encodeClose, type LogPoint, type NewRecord } from "./batch.ts";
import type { PreparedSegment, SegmentPreparer } from "./preparer.ts";
import { RecordQueue } from "./record_queue.ts";
import { headerParts } from "./segment_files.ts";
import type { Slots } from "./slots.ts";

/** Idle time after which the last batch is closed by a record of its own. */
const CLOSE_IDLE_MS = 30;

/** Part of a segment, at most, that is kept for term and vote. */
const RESERVE_SHARE = 8;
/** What a record may cost beside its own size: its batch, and the batch's zero map. */
const RECORD_OVERHEAD_BYTES = 192;
const MAP_SHARE = 1 / 1024;

/** The segment that is written. */
export interface ActiveSegment {
  readonly file: DiskFile;
  readonly sequence: number;
  readonly salt: number;
  readonly sizeBytes: number;
  /** Where the next batch goes. */
  end: number;
}

/** Where the stream stands. */
export interface StreamPosition {
  readonly point: LogPoint;
  readonly batch: number;
  /** Whether a later record proves that the last batch was durable. */
  readonly closed: boolean;
}

/** What the writer needs of the log around it. */
export interface WriterHost {
  readonly owner: LogOwner;
  readonly clock: Clock;
  nextSalt(): number;
  /** The record of an entry was given its place. */
  placed(record: NewRecord, segment: number, offset: number): void;
  /** A new segment came into use. */
  rolled(sequence: number, salt: number, before: LogPoint): void;
  /** It is durable that segments before `sequence` are not needed. */
  released(sequence: number): void;
  failed(error: Error): void;
}

/** The one ordered stream of writes: one write at a time, whatever waits forms the next one. */
export class LogWriter {
  readonly #host: WriterHost;
  readonly #slots: Slots;
  readonly #preparer: SegmentPreparer;
  #segment: ActiveSegment;
  #point: LogPoint;
  #batch: number;
  #batchClosed: boolean;
  readonly #queue = new RecordQueue();
  #queuedRecords = 0;
  /** Size of the batch that is being written. */
  #writingBytes = 0;
  #busy = false;
  #awaitsSegment = false;
  /** The first segment that is needed, when no slot says so yet. */
  #newFirst = 0;
  #scheduled = false;
  #failed = false;
  #cancelClose: (() => void) | undefined;
  #onDrained: (() => void) | undefined;

  constructor(
    host: WriterHost,
    slots: Slots,
    preparer: SegmentPreparer,
    segment: ActiveSegment,
    position: StreamPosition,
  ) {
    this.#host = host;
    this.#slots = slots;
    this.#preparer = preparer;
    this.#segment = segment;
    this.#point = position.point;
    this.#batch = position.batch;
    this.#batchClosed = position.closed;
  }

  /** Begins to prepare the next segment; to be called once. */
  start(): void {
    this.#preparer.prepare(this.#segment.sequence + 1);
    this.#closeWhenIdle();
  }

  /** Queues a record; it is written once the caller's work is done. */
  push(record: NewRecord): void {
    this.#queuedRecords++;
    this.#queue.push(record);
    this.#schedule();
  }

  /** Whether entries fit the present segment, with what waits, and leave its reserve alone. */
  hasRoomFor(count: number, payloadBytes: number): boolean {
    const records = this.#queuedRecords + count;
    const bytes = (this.#queue.sizeBytes + recordSizeBytes(payloadBytes)) * (1 + MAP_SHARE);
    const needed = this.#writingBytes + bytes + records * RECORD_OVERHEAD_BYTES;
    return needed <= this.#freeBytes() - this.#reserveBytes();
  }

  /** Queues a call for when everything before it is durable. */
  pushDone(done: () => void): void {
    this.#queue.pushDone(done);
    this.#schedule();
  }

  /** Has the slots say, once everything before is durable, that the log is whole again. */
  pushRecovered(): void {
    this.#queue.pushRecovered();
    this.#schedule();
  }

  /** Gives up the segments before `sequence`; the base before it, or reset, must be durable. */
  beginWith(sequence: number): void {
    this.#newFirst = sequence;
    this.#schedule();
  }

  /** Writes what is queued, closes the last batch and every file, then calls `done`. */
  close(done: () => void): void {
    assert(this.#onDrained === undefined, "the log is closed twice");
    this.#onDrained = done;
    this.#giveUpIfFull();
    this.#schedule();
  }

  /** The disk is full, or has space again. */
  spaceChanged(): void {
    this.#giveUpIfFull();
  }

  /** Stops for good: nothing that waits is ever acknowledged. */
  fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#queue.clear();
    this.#cancelClose?.();
    // A segment that will never be ready must not keep the files from being closed.
    if (this.#awaitsSegment) this.#busy = false;
    this.#host.failed(error);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#host.clock.soon(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#busy) return;
    if (this.#failed) return this.#finish();
    if (this.#newFirst > 0) return this.#moveFirst();
    if (this.#queue.length === 0) {
      if (this.#onDrained === undefined) return this.#closeWhenIdle();
      if (!this.#batchClosed && this.#hasRoomToClose()) return this.#writeClose();
      return this.#finish();
    }
    this.#cancelClose?.();
    this.#cancelClose = undefined;
    const taken = this.#queue.take(this.#freeBytes(), this.#commandBytes(), this.#isFresh());
    if (taken === undefined) return this.#roll();
    if (taken.recovered) return this.#writeRecovered();
    const { records, dones } = taken;
    this.#queuedRecords -= records.length;
    if (records.length > 0) return this.#writeBatch(records, dones);
    for (const done of dones) done();
    this.#schedule();
  }

  #freeBytes(): number {
    return this.#segment.sizeBytes - this.#segment.end;
  }

  /** Until the next segment is there, commands leave the end of this one to votes. */
  #commandBytes(): number {
    const free = this.#freeBytes();
    return this.#preparer.ready || this.#isFresh() ? free : free - this.#reserveBytes();
  }

  #isFresh(): boolean {
    return this.#segment.end === SEGMENT_DATA_AT;
  }

  #reserveBytes(): number {
    return Math.min(LOG_RESERVE_BYTES, Math.floor(this.#segment.sizeBytes / RESERVE_SHARE));
  }

  #writeBatch(records: readonly NewRecord[], dones: readonly (() => void)[]): void {
    const segment = this.#segment;
    const number = this.#batch + 1;
    const batch = encodeBatch(number, this.#point, records, segment.salt, segment.end);
    let hardState: HardState | undefined;
    let alone = this.#slots.alone;
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!;
      if (record.type === "hardState") hardState = record.hardState;
      alone = record.alone ?? alone;
      this.#host.placed(record, segment.sequence, batch.offsets[i]!);
    }
    const toSlot = hardState !== undefined || alone !== this.#slots.alone;
    this.#writingBytes = batch.sizeBytes;
    this.#busy = true;
    let waiting = toSlot ? 2 : 1;
    const written = (error: Error | undefined) => {
      waiting--;
      if (error !== undefined) this.fail(error);
      if (waiting > 0) return;
      this.#busy = false;
      this.#writingBytes = 0;
      if (this.#failed) return this.#schedule();
      segment.end += batch.sizeBytes;
      this.#batch = number;
      this.#batchClosed = false;
      this.#point = records.at(-1)!.after;
      for (const done of dones) done();
      this.#schedule();
    };
    // The copy in the slot may be ahead of the stream or behind it: the newer one counts.
    if (toSlot) this.#slots.setHardState(hardState, alone, written);
    segment.file.writeDurably("log batch", segment.end, batch.parts, written);
  }

  #writeRecovered(): void {
    this.#busy = true;
    this.#slots.setRecovered((error) => {
      if (error !== undefined) this.fail(error);
      this.#released();
    });
  }

  /** Both slots hold term and vote then: records that are given up may have been the last. */
  #moveFirst(): void {
    const sequence = this.#newFirst;
    this.#newFirst = 0;
    this.#busy = true;
    this.#slots.setFirstSegment(sequence, (error) => {
      if (error !== undefined) this.fail(error);
      if (!this.#failed) this.#host.released(sequence);
      this.#released();
    });
  }

  /** Moves on to the next segment: its header, then its name in a slot, then the first batch. */
  #roll(): void {
    assert(
      !this.#isFresh(),
      `a record does not fit a segment of ${this.#segment.sizeBytes} bytes`,
    );
    this.#busy = true;
    this.#awaitsSegment = true;
    this.#preparer.take((prepared) => {
      this.#awaitsSegment = false;
      if (this.#failed) {
        prepared.file.close();
        return this.#released();
      }
      const salt = this.#host.nextSalt();
      const header = headerParts({
        owner: this.#host.owner,
        salt,
        sequence: prepared.sequence,
        sizeBytes: this.#segment.sizeBytes,
        previousSequence: this.#segment.sequence,
        previousEnd: this.#segment.end,
        previousIndex: this.#point.index,
        previousTerm: this.#point.term,
        previousChain: this.#point.chain,
        previousBatch: this.#batch,
      });
      prepared.file.writeDurably("segment header", 0, header, (error) => {
        if (error !== undefined) this.fail(error);
        if (this.#failed) {
          prepared.file.close();
          return this.#released();
        }
        this.#slots.setActiveSegment(prepared.sequence, (slotError) => {
          if (slotError !== undefined) this.fail(slotError);
          this.#switchTo(prepared, salt);
        });
      });
    });
    this.#giveUpIfFull();
  }

  /** A log that is to be closed does not wait for space: what waits is never acknowledged. */
  #giveUpIfFull(): void {
    const waits = this.#awaitsSegment && this.#preparer.space === "low";
    if (!waits || this.#onDrained === undefined) return;
    this.#failed = true;
    this.#queue.clear();
    this.#released();
  }

  #switchTo(prepared: PreparedSegment, salt: number): void {
    this.#segment.file.close();
    const { sequence, file } = prepared;
    const sizeBytes = this.#segment.sizeBytes;
    this.#segment = { file, sequence, salt, sizeBytes, end: SEGMENT_DATA_AT };
    this.#batchClosed = true;
    if (!this.#failed) {
      this.#host.rolled(sequence, salt, this.#point);
      this.#preparer.prepare(sequence + 1);
    }
    this.#released();
  }

  #released(): void {
    this.#busy = false;
    this.#schedule();
  }

  #closeWhenIdle(): void {
    if (this.#batchClosed || this.#cancelClose !== undefined || !this.#hasRoomToClose()) return;
    this.#cancelClose = this.#host.clock.after(CLOSE_IDLE_MS, () => {
      this.#cancelClose = undefined;
      const idle = !this.#busy && !this.#failed && this.#queue.length === 0;
      if (idle && !this.#batchClosed && this.#onDrained === undefined) this.#writeClose();
    });
  }

  #hasRoomToClose(): boolean {
    return this.#freeBytes() >= RECORD_HEAD_BYTES;
  }

  #writeClose(): void {
    const segment = this.#segment;
    this.#busy = true;
    const record = encodeClose(this.#batch, this.#point.chain, segment.salt, segment.end);
    segment.file.writeDurably("log close", segment.end, [record], (error) => {
      if (error !== undefined) this.fail(error);
      segment.end += record.length;
      this.#batchClosed = true;
      this.#released();
    });
  }

  #finish(): void {
    const done = this.#onDrained;
    if (done === undefined) return;
    this.#onDrained = undefined;
    this.#cancelClose?.();
    this.#failed = true;
    this.#preparer.close();
    this.#slots.close();
    this.#segment.file.close();
    done();
  }
}
