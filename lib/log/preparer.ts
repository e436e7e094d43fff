import { assert } from "../base/assert.ts";
import {
  LOG_SPACE_LEFT_BYTES,
  LOG_SPACE_RETRY_MAX_MS,
  LOG_SPACE_RETRY_MIN_MS,
} from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import { isDiskFull } from "../io/disk_full.ts";
import { segmentPath } from "./segment_files.ts";
import type { LogSpace } from "./types.ts";

/** Written at once; large enough to be quick, small enough to leave the disk to the log. */
const PIECE_BYTES = 256 * 1024;
/**
 * Pause between two pieces, in which batches have the disk to themselves. What is filled stays
 * ahead of what a busy log writes; when it does not, and the log waits, there is no pause.
 */
const PAUSE_MS = 4;

/** A segment of zeros that waits for its header. */
export interface PreparedSegment {
  readonly sequence: number;
  readonly file: DiskFile;
}

/** What a preparer works with. */
export interface PreparerOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly folder: string;
  readonly sizeBytes: number;
  /** The disk refused for another reason than that it is full. */
  readonly onFailure: (error: Error) => void;
  /** The disk is full, or there is space again. */
  readonly onSpace: (space: LogSpace) => void;
}

/**
 * Makes the next segment ahead of time, piece by piece, so that the log never waits for it and a
 * batch never has to make a file grow. On a disk that is full, or nearly so, it takes nothing, for
 * others need space to finish what they do, and tries again later.
 */
export class SegmentPreparer {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #folder: string;
  readonly #sizeBytes: number;
  readonly #onFailure: (error: Error) => void;
  readonly #onSpace: (space: LogSpace) => void;
  #file: DiskFile | undefined;
  #sequence = 0;
  #ready = false;
  #closed = false;
  #waiting: ((prepared: PreparedSegment) => void) | undefined;
  #space: LogSpace = "ok";
  #retryMs = LOG_SPACE_RETRY_MIN_MS;
  #cancelRetry: () => void = () => {};

  constructor(options: PreparerOptions) {
    this.#disk = options.disk;
    this.#clock = options.clock;
    this.#folder = options.folder;
    this.#sizeBytes = options.sizeBytes;
    this.#onFailure = options.onFailure;
    this.#onSpace = options.onSpace;
  }

  /** Whether the next segment can be used at once. */
  get ready(): boolean {
    return this.#ready;
  }

  get space(): LogSpace {
    return this.#space;
  }

  /** Starts on the segment `sequence`. */
  prepare(sequence: number): void {
    assert(this.#file === undefined && !this.#closed, `segment ${sequence} prepared too early`);
    this.#sequence = sequence;
    this.#ready = false;
    this.#begin();
  }

  /** Hands the segment over, as soon as it is ready. */
  take(use: (prepared: PreparedSegment) => void): void {
    assert(this.#waiting === undefined, "two segments wanted at once");
    this.#waiting = use;
    this.#handOver();
  }

  close(): void {
    this.#closed = true;
    this.#waiting = undefined;
    this.#cancelRetry();
    this.#file?.close();
    this.#file = undefined;
  }

  #begin(): void {
    const needed = this.#sizeBytes + LOG_SPACE_LEFT_BYTES;
    if (this.#disk.freeBytes(this.#folder) < needed) return this.#full();
    try {
      this.#file = this.#disk.open(segmentPath(this.#folder, this.#sequence), { create: true });
      this.#disk.syncFolder(this.#folder);
    } catch (error) {
      return this.#refused(error instanceof Error ? error : new Error(String(error)));
    }
    this.#fill(this.#file, 0, new Uint8Array(Math.min(PIECE_BYTES, this.#sizeBytes)));
  }

  #fill(file: DiskFile, offset: number, zeros: Uint8Array): void {
    const length = Math.min(zeros.length, this.#sizeBytes - offset);
    file.writeDurably("prepare segment", offset, [zeros.subarray(0, length)], (error) => {
      if (this.#closed) return;
      if (error !== undefined) return this.#refused(error);
      if (offset + length < this.#sizeBytes) return this.#fillNext(file, offset + length, zeros);
      this.#ready = true;
      this.#retryMs = LOG_SPACE_RETRY_MIN_MS;
      this.#setSpace("ok");
      this.#handOver();
    });
  }

  #fillNext(file: DiskFile, offset: number, zeros: Uint8Array): void {
    if (this.#waiting !== undefined) return this.#fill(file, offset, zeros);
    this.#clock.after(PAUSE_MS, () => {
      if (!this.#closed) this.#fill(file, offset, zeros);
    });
  }

  #refused(error: Error): void {
    if (!isDiskFull(error)) return this.#onFailure(error);
    this.#discard();
    this.#full();
  }

  #full(): void {
    this.#cancelRetry = this.#clock.after(this.#retryMs, () => this.#begin());
    this.#retryMs = Math.min(this.#retryMs * 2, LOG_SPACE_RETRY_MAX_MS);
    this.#setSpace("low");
  }

  /** The file holds nothing but zeros, so it does not matter whether its removal is durable. */
  #discard(): void {
    this.#file?.close();
    this.#file = undefined;
    try {
      const path = segmentPath(this.#folder, this.#sequence);
      if (this.#disk.exists(path)) this.#disk.remove(path);
    } catch {
      // The next attempt fills it from its start again.
    }
  }

  #setSpace(space: LogSpace): void {
    if (this.#space === space) return;
    this.#space = space;
    this.#onSpace(space);
  }

  #handOver(): void {
    const use = this.#waiting;
    const file = this.#file;
    if (!this.#ready || use === undefined || file === undefined) return;
    this.#waiting = undefined;
    this.#file = undefined;
    this.#ready = false;
    use({ sequence: this.#sequence, file });
  }
}
