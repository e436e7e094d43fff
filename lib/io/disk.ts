/**
 * The disk, as the log and the data folder use it. Two implementations: real files
 * (`disk_node.ts`) and, for the simulator, a disk that can lose and tear what was not synced.
 */

/** One open file. */
export interface DiskFile {
  readonly path: string;
  /** Reads up to `length` bytes at `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** Writes all of `bytes` at `offset`, into the operating system's cache. */
  write(offset: number, bytes: Uint8Array): void;
  /** Makes everything written before durable, file size included. */
  sync(): void;
  /**
   * As {@linkcode sync}, without holding up the thread: calls `done` once everything is durable
   * that was written before, never before it returns, and with the error when there was one. At
   * most one may be under way per file.
   */
  syncLater(done: (error: Error | undefined) => void): void;
  /**
   * Writes `parts` one after another at `offset` and makes them durable, then calls `done`, never
   * before it returns, and with the error when there was one. At most one may be under way per
   * file. After an error nothing may be assumed of the file's content, and it is not retried.
   *
   * @param operation What this write is for, such as `log batch`; names it in errors and faults.
   */
  writeDurably(
    operation: string,
    offset: number,
    parts: readonly Uint8Array[],
    done: (error: Error | undefined) => void,
  ): void;
  size(): number;
  truncate(size: number): void;
  close(): void;
}

/** How a file is opened. */
export interface OpenFileOptions {
  readonly create: boolean;
  readonly readOnly?: boolean;
}

/** Files and folders. All methods throw the system's error, with the path in its message. */
export interface Disk {
  /** Opens a file for reading and, unless `readOnly` is set, for writing. */
  open(path: string, options: OpenFileOptions): DiskFile;
  exists(path: string): boolean;
  /** Names in a folder, sorted; empty when there is no such folder. */
  list(folder: string): string[];
  createFolder(path: string): void;
  remove(path: string): void;
  /** Removes a folder with everything in it; nothing happens when there is none. */
  removeFolder(path: string): void;
  rename(from: string, to: string): void;
  /** Bytes that can still be written to the disk of `folder`; infinite when that is not known. */
  freeBytes(folder: string): number;
  /** Makes creations, renames and removals in `folder` durable. */
  syncFolder(folder: string): void;
  /**
   * Takes an exclusive lock on a file, which is made when missing; it ends with the process.
   *
   * @returns A function that gives it back, or undefined when another process holds it.
   */
  lock(path: string): (() => void) | undefined;
  /** Whether a process that lives holds the lock. Nothing is taken, made or removed. */
  isLocked(path: string): boolean;
}
