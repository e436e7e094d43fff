/** Named objects that are written once and read as a whole: a folder of files, or a bucket. */
import { DatabaseError } from "../base/errors.ts";

/** An object, as a list shows it. */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
}

/**
 * See the file comment. Keys are made of digits, lower-case letters, `-`, and `/` between folders.
 * All methods fail with a `DatabaseError`: `DISK`, `DISK_FULL` and `CONNECTION_LOST` for what may
 * pass, `CONFIG` and `PROTOCOL` for what will not by itself, such as a bucket that is not there.
 */
export interface ObjectStore {
  /** What a user calls it, for messages. */
  readonly where: string;
  /** Names of the folders on the first level, sorted. */
  folders(): Promise<string[]>;
  /**
   * Objects whose keys begin with `prefix`, which ends with `/`, and sort behind `after`; sorted.
   * Only a part of them is in memory at a time.
   */
  list(prefix: string, after?: string): AsyncIterable<StoredObject>;
  /** All of an object, if it is there; `TOO_LARGE` when it is larger than `bytesMax`. */
  get(key: string, bytesMax: number): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Writes an object: durably, and so that nobody ever sees a part of it. */
  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Removes an object; nothing happens when it is not there. */
  remove(key: string): Promise<void>;
}

/** The refusal to read an object into memory. */
export function tooLarge(where: string, key: string, bytesMax: number): DatabaseError {
  return new DatabaseError("TOO_LARGE", `${where}: ${key} is larger than ${bytesMax} bytes`);
}
