/**
 * The file `checkpoint`: up to which log index the database files are complete. One line of JSON
 * behind its CRC-32C in hexadecimal, written to a side file, synced, and renamed over the old one.
 */
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import type { LogIndex } from "../raft/types.ts";

/** What is known about the database files. */
export interface CheckpointRecord {
  /** Every entry up to here is in the files. */
  readonly completeIndex: LogIndex;
  /**
   * A copy up to here was begun: until entries up to here are applied again, the files may hold a
   * mixture of pages. Equal to `completeIndex` when the copy was finished.
   */
  readonly fuzzyIndex: LogIndex;
}

const FORMAT = 1;
const NOTHING: CheckpointRecord = { completeIndex: 0, fuzzyIndex: 0 };

/** Where the record of a data folder is kept. */
export function checkpointPath(folder: string): string {
  return `${folder}/checkpoint`;
}

/**
 * Reads the record; all zero when there is none yet.
 *
 * @throws {DatabaseError} `CORRUPT` when the file is damaged, `DATA_FOLDER` when it is newer.
 */
export function readCheckpoint(disk: Disk, folder: string): CheckpointRecord {
  const path = checkpointPath(folder);
  if (!disk.exists(path)) return NOTHING;
  const file = disk.open(path, { create: false });
  let text: string;
  try {
    text = new TextDecoder().decode(file.read(0, file.size()));
  } finally {
    file.close();
  }
  const checksum = text.slice(0, 8);
  const body = text.slice(9);
  if (checksum !== checksumOf(body)) {
    throw new DatabaseError(
      "CORRUPT",
      `${path}: the checksum at offset 0 is ${JSON.stringify(checksum)}, expected ${
        checksumOf(body)
      }`,
    );
  }
  const record = JSON.parse(body) as CheckpointRecord & { format: number };
  if (record.format > FORMAT) {
    throw new DatabaseError("DATA_FOLDER", `${path} has format ${record.format}, newer than 1`);
  }
  return { completeIndex: record.completeIndex, fuzzyIndex: record.fuzzyIndex };
}

/** Replaces the record; it is durable when this returns. */
export function writeCheckpoint(disk: Disk, folder: string, record: CheckpointRecord): void {
  const path = checkpointPath(folder);
  const body = JSON.stringify({ format: FORMAT, ...record });
  const file = disk.open(`${path}.new`, { create: true });
  try {
    const bytes = new TextEncoder().encode(`${checksumOf(body)} ${body}`);
    file.write(0, bytes);
    file.truncate(bytes.length);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(`${path}.new`, path);
  disk.syncFolder(folder);
}

function checksumOf(body: string): string {
  return crc32c(new TextEncoder().encode(body)).toString(16).padStart(8, "0");
}
