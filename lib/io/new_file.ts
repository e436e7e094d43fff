/** A file that appears under its name as a whole and durably, or not at all. */
import { dirname } from "node:path";
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { isDiskFull } from "./disk_full.ts";
import { randomHex } from "./entropy.ts";

/** A file under a temporary name beside its own, until it is published. */
export class NewFile implements Disposable {
  readonly path: string;
  /** Where it is until it is published. */
  readonly temporaryPath: string;
  readonly #disk: Disk;
  readonly #file: DiskFile;
  #sizeBytes = 0;
  #over = false;

  /**
   * Makes the file under its temporary name.
   *
   * @param options.replace Whether a file that has the name already may be replaced.
   * @throws {DatabaseError} `CONFIG` when the name is taken; `DISK` and `DISK_FULL`.
   */
  constructor(disk: Disk, path: string, options: { readonly replace: boolean }) {
    if (disk.exists(path) && !options.replace) {
      throw new DatabaseError("CONFIG", `${path} exists already`, {
        hint: "Name another file, or replace that one with --force",
      });
    }
    this.path = path;
    this.temporaryPath = `${path}.partial-${randomHex(4)}`;
    this.#disk = disk;
    this.#file = this.#try(() => disk.open(this.temporaryPath, { create: true }));
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Adds bytes at its end. @throws {DatabaseError} `DISK`, `DISK_FULL`. */
  write(bytes: Uint8Array): void {
    this.#try(() => this.#file.write(this.#sizeBytes, bytes));
    this.#sizeBytes += bytes.length;
  }

  /** Makes what was written durable. @throws {DatabaseError} `DISK`, `DISK_FULL`. */
  sync(): void {
    this.#try(() => this.#file.sync());
  }

  /** Gives the file its name, durably. @throws {DatabaseError} `DISK`, `DISK_FULL`. */
  publish(): void {
    this.sync();
    this.#try(() => {
      this.#disk.rename(this.temporaryPath, this.path);
      this.#over = true;
      this.#file.close();
      this.#disk.syncFolder(dirname(this.path));
    });
  }

  /** Removes the file, unless it was published. */
  discard(): void {
    if (this.#over) return;
    this.#over = true;
    this.#file.close();
    this.#disk.remove(this.temporaryPath);
  }

  [Symbol.dispose](): void {
    this.discard();
  }

  #try<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      const full = isDiskFull(error);
      throw new DatabaseError(
        full ? "DISK_FULL" : "DISK",
        full
          ? `The disk is full: ${this.path} cannot be written`
          : `Cannot write ${this.path}: ${messageOf(error)}`,
        { outcome: "rejected", cause: error },
      );
    }
  }
}
