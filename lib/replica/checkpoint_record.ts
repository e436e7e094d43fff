/**
 * The file `checkpoint` and its copy: up to which log index the database files are complete. One
 * line of JSON behind its CRC-32C in hexadecimal, with spaces at its end. Both are durable before
 * anything is done that only the new record allows, and after a crash between the two either is
 * true, as the database file does not change in between.
 */
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import { Damage, mendTwin, overwriteTwin, readTwin, type TwinProblem } from "../io/twin_file.ts";
import type { LogIndex, SnapshotBase } from "../raft/types.ts";

/** What is known about the database files. */
export interface CheckpointRecord {
  /** Every entry up to here is in the files. */
  readonly completeIndex: LogIndex;
  /**
   * A copy up to here was begun: until entries up to here are applied again, the files may hold a
   * mixture of pages. Equal to `completeIndex` when the copy was finished.
   */
  readonly fuzzyIndex: LogIndex;
  /** A snapshot is on its way into the files: nothing in them counts. Both indexes are 0. */
  readonly installing?: boolean | undefined;
  /**
   * The files came as a snapshot, up to `completeIndex`, which this entry is; the log may not know
   * of it yet. The next checkpoint drops it.
   */
  readonly installed?: SnapshotBase | undefined;
  /**
   * After this entry the files differed from those of the others: nobody may use them until a
   * snapshot is in their place.
   */
  readonly diverged?: LogIndex | undefined;
}

const FORMAT = 1;
/** Bytes around the JSON: the checksum, a space, and the end of the line. */
const FRAME_BYTES = 10;
const UNIT_BYTES = 512;
const NOTHING: CheckpointRecord = { completeIndex: 0, fuzzyIndex: 0 };

/** Where the record of a data folder is kept. */
export function checkpointPath(folder: string): string {
  return `${folder}/checkpoint`;
}

/** The record, and what is wrong with the two files. */
export interface CheckpointFinding {
  /** All zero when there is none yet. */
  readonly record: CheckpointRecord;
  readonly problems: readonly TwinProblem[];
}

/**
 * Reads the record and changes nothing.
 *
 * @throws {DatabaseError} `CORRUPT` when both files are damaged, `DATA_FOLDER` when one is newer.
 */
export function readCheckpoint(disk: Disk, folder: string): CheckpointFinding {
  const { value = NOTHING, problems } = readTwin(disk, checkpointPath(folder), decode);
  return { record: value, problems };
}

/**
 * Reads the record, and mends the file that is damaged from the other.
 *
 * @throws {DatabaseError} `CORRUPT` when both files are damaged, `DATA_FOLDER` when one is newer.
 */
export function mendCheckpoint(disk: Disk, folder: string): CheckpointFinding {
  const { value = NOTHING, problems } = mendTwin(disk, checkpointPath(folder), decode);
  return { record: value, problems };
}

/** Replaces the record; it is durable when this returns. */
export function writeCheckpoint(disk: Disk, folder: string, record: CheckpointRecord): void {
  const json = JSON.stringify({ format: FORMAT, ...record });
  const body = json + " ".repeat(paddingOf(json));
  overwriteTwin(disk, checkpointPath(folder), `${checksumOf(body)} ${body}\n`);
}

/** The record of a data folder that is in use. */
export class KeptCheckpoint {
  /** What was wrong with the files, and was mended. */
  readonly mended: readonly TwinProblem[];
  readonly #disk: Disk;
  readonly #folder: string;
  #record: CheckpointRecord;

  /** @throws {DatabaseError} like {@linkcode mendCheckpoint}. */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
    const { record, problems } = mendCheckpoint(disk, folder);
    this.#record = record;
    this.mended = problems;
  }

  get record(): CheckpointRecord {
    return this.#record;
  }

  /** Replaces the record; it is durable when this returns. */
  write(record: CheckpointRecord): void {
    writeCheckpoint(this.#disk, this.#folder, record);
    this.#record = record;
  }

  /** As {@linkcode write}, unless it says so already. */
  update(completeIndex: LogIndex, fuzzyIndex: LogIndex): void {
    const { completeIndex: complete, fuzzyIndex: fuzzy, installed } = this.#record;
    const isSame = completeIndex === complete && fuzzyIndex === fuzzy && installed === undefined;
    if (!isSame) this.write({ completeIndex, fuzzyIndex });
  }
}

/** Spaces after the JSON, so that almost every record has one length and is written in place. */
function paddingOf(json: string): number {
  const sizeBytes = new TextEncoder().encode(json).length + FRAME_BYTES;
  return (UNIT_BYTES - sizeBytes % UNIT_BYTES) % UNIT_BYTES;
}

function decode(path: string, text: string): CheckpointRecord | Damage {
  const body = text.slice(9, -1);
  const checksum = checksumOf(body);
  if (text !== `${checksum} ${body}\n`) return new Damage(0, `the checksum ${checksum}`);
  const record = JSON.parse(body) as CheckpointRecord & { format: number };
  if (record.format > FORMAT) {
    throw new DatabaseError("DATA_FOLDER", `${path} has format ${record.format}, newer than 1`);
  }
  const { format: _, ...known } = record;
  return known;
}

function checksumOf(body: string): string {
  return crc32c(new TextEncoder().encode(body)).toString(16).padStart(8, "0");
}
