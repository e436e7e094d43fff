import { assert } from "../base/assert.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import { segmentPath } from "./segment_files.ts";

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

/**
 * Makes the next segment ahead of time, piece by piece, so that the log never waits for it and a
 * batch never has to make a file grow.
 */
export class SegmentPreparer {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #folder: string;
  readonly #sizeBytes: number;
  readonly #onFailure: (error: Error) => void;
  #file: DiskFile | undefined;
  #sequence = 0;
  #ready = false;
  #closed = false;
  #waiting: ((prepared: PreparedSegment) => void) | undefined;

  constructor(
    disk: Disk,
    clock: Clock,
    folder: string,
    sizeBytes: number,
    onFailure: (error: Error) => void,
  ) {
    this.#disk = disk;
    this.#clock = clock;
    this.#folder = folder;
    this.#sizeBytes = sizeBytes;
    this.#onFailure = onFailure;
  }

  /** Starts on the segment `sequence`. */
  prepare(sequence: number): void {
    assert(this.#file === undefined && !this.#closed, `segment ${sequence} prepared too early`);
    this.#sequence = sequence;
    this.#ready = false;
    try {
      this.#file = this.#disk.open(segmentPath(this.#folder, sequence), { create: true });
      this.#disk.syncFolder(this.#folder);
    } catch (error) {
      this.#onFailure(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#fill(this.#file, 0, new Uint8Array(Math.min(PIECE_BYTES, this.#sizeBytes)));
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
    this.#file?.close();
    this.#file = undefined;
  }

  #fill(file: DiskFile, offset: number, zeros: Uint8Array): void {
    const length = Math.min(zeros.length, this.#sizeBytes - offset);
    file.writeDurably("prepare segment", offset, [zeros.subarray(0, length)], (error) => {
      if (this.#closed) return;
      if (error !== undefined) return this.#onFailure(error);
      if (offset + length < this.#sizeBytes) return this.#fillNext(file, offset + length, zeros);
      this.#ready = true;
      this.#handOver();
    });
  }

  #fillNext(file: DiskFile, offset: number, zeros: Uint8Array): void {
    if (this.#waiting !== undefined) return this.#fill(file, offset, zeros);
    this.#clock.after(PAUSE_MS, () => {
      if (!this.#closed) this.#fill(file, offset, zeros);
    });
  }

  #handOver(): void {
    const use = this.#waiting;
    const file = this.#file;
    if (!this.#ready || use === undefined || file === undefined) return;
    this.#waiting = undefined;
    this.#file = undefined;
    use({ sequence: this.#sequence, file });
  }
}
