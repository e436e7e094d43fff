import { present } from "../base/assert.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import {
  BLOCK_BYTES,
  type BlockFault,
  decodeSegmentHeader,
  encodeSegmentHeader,
  type SegmentHeader,
} from "../wire/segment_header.ts";

/** Segments kept open for reading, the one that is written aside. */
const OPEN_FILES_MAX = 16;
/** Digits of the sequence in a file name, so that names sort as numbers do. */
const NAME_DIGITS = 16;
const FILL_BYTES = 512 * 1024;

/** The file of the segment `sequence`. */
export function segmentPath(folder: string, sequence: number): string {
  return `${folder}/${sequence.toString().padStart(NAME_DIGITS, "0")}.segment`;
}

/** Sequences of all segment files in `folder`, in order. */
export function segmentSequences(disk: Disk, folder: string): number[] {
  const sequences: number[] = [];
  for (const name of disk.list(folder)) {
    const match = /^(\d{16})\.segment$/.exec(name);
    if (match !== null) sequences.push(Number(match[1]));
  }
  return sequences.sort((a, b) => a - b);
}

/** The header out of the two copies at the start of a segment. */
export function headerOf(bytes: Uint8Array): SegmentHeader | BlockFault {
  const first = decodeSegmentHeader(bytes.subarray(0, BLOCK_BYTES));
  if (typeof first !== "string") return first;
  const second = decodeSegmentHeader(bytes.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES));
  if (typeof second !== "string") return second;
  return first === "newer" || second === "newer" ? "newer" : "damaged";
}

/** The two copies of a header, to be written at the start of the file. */
export function headerParts(header: SegmentHeader): readonly Uint8Array[] {
  const block = encodeSegmentHeader(header);
  return [block, block];
}

/** Makes a segment of zeros, durably, and waits for it. */
export function createSegment(
  disk: Disk,
  folder: string,
  sequence: number,
  sizeBytes: number,
): DiskFile {
  const file = disk.open(segmentPath(folder, sequence), { create: true });
  const zeros = new Uint8Array(Math.min(FILL_BYTES, sizeBytes));
  for (let at = 0; at < sizeBytes; at += zeros.length) {
    file.write(at, zeros.subarray(0, Math.min(zeros.length, sizeBytes - at)));
  }
  file.sync();
  disk.syncFolder(folder);
  return file;
}

/** Open segment files, for reading entries back; the least recently used one is closed. */
export class SegmentFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #salts = new Map<number, number>();
  readonly #files = new Map<number, DiskFile>();

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  add(sequence: number, salt: number): void {
    this.#salts.set(sequence, salt);
  }

  salt(sequence: number): number {
    return present(this.#salts.get(sequence), `segment ${sequence}`);
  }

  open(sequence: number): DiskFile {
    let file = this.#files.get(sequence);
    if (file === undefined) {
      file = this.#disk.open(segmentPath(this.#folder, sequence), { create: false });
      const [oldest] = this.#files;
      if (this.#files.size >= OPEN_FILES_MAX && oldest !== undefined) {
        this.#files.delete(oldest[0]);
        oldest[1].close();
      }
    } else {
      this.#files.delete(sequence);
    }
    this.#files.set(sequence, file);
    return file;
  }

  /** Lets go of the segments before `sequence`, and tells which these are, oldest first. */
  releaseBefore(sequence: number): number[] {
    const released = [...this.#salts.keys()].filter((known) => known < sequence);
    for (const old of released) {
      this.#salts.delete(old);
      this.#files.get(old)?.close();
      this.#files.delete(old);
    }
    return released.sort((a, b) => a - b);
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }
}
