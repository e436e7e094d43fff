/**
 * The database file of one life. The simulated disk holds what is durable and what is not; SQLite
 * needs a real file, which is a copy of it. What a checkpoint changed in the copy is written to the
 * simulated disk, so that a crash loses and tears it as any other file.
 */
import { closeSync, existsSync, mkdirSync, openSync, readSync, writeFileSync } from "node:fs";
import { fstatSync, readFileSync, rmSync } from "node:fs";
import { isDiskFull } from "../../../lib/io/disk_full.ts";
import { crc32c } from "../../../lib/base/crc32c.ts";
import type { Disk, DiskFile } from "../../../lib/io/disk.ts";

/** See the file comment. */
export class DatabaseFiles {
  readonly #disk: Disk;
  readonly #folder: string;
  #path = "";
  /** Kept open, as closing a file drops the locks that SQLite has on it in this process. */
  #fd: number | undefined;

  /** @param folder A real one, to be made. */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** The real file. */
  get path(): string {
    return `${this.#folder}/main.db`;
  }

  /** Makes the real files from the simulated ones; `path` names the latter. */
  open(path: string): void {
    this.#path = path;
    mkdirSync(this.#folder);
    for (const suffix of ["", "-wal"]) {
      if (!this.#disk.exists(path + suffix)) continue;
      const bytes = this.#using(path + suffix, (file) => file.read(0, file.size()));
      writeFileSync(this.path + suffix, bytes);
    }
    this.#fd = openSync(this.path, "r");
  }

  /** Bytes in the real WAL. */
  walBytes(): number {
    const wal = `${this.path}-wal`;
    return existsSync(wal) ? readFileSync(wal).length : 0;
  }

  /**
   * What a checkpoint changed: to be written to the simulated disk page by page.
   *
   * @returns The size of the file, and its pages that are not on the simulated disk.
   */
  changes(pageBytes: number): { sizeBytes: number; pages: [offset: number, Uint8Array][] } {
    const bytes = this.#realBytes();
    const before = this.#using(this.#path, (file) => file.read(0, file.size()));
    const pages: [number, Uint8Array][] = [];
    for (let at = 0; at < bytes.length; at += pageBytes) {
      const page = bytes.subarray(at, at + pageBytes);
      if (!equal(page, before.subarray(at, at + pageBytes))) pages.push([at, page]);
    }
    return { sizeBytes: bytes.length, pages };
  }

  write(pages: readonly (readonly [offset: number, Uint8Array])[]): void {
    this.#using(this.#path, (file) => {
      for (const [offset, page] of pages) file.write(offset, page);
    });
  }

  /** Cuts the simulated file to its size and syncs it. */
  sync(sizeBytes: number): void {
    this.#using(this.#path, (file) => {
      if (file.size() !== sizeBytes) file.truncate(sizeBytes);
      file.sync();
    });
  }

  /** Names what the simulated disk holds. */
  digest(): number {
    return crc32c(this.#using(this.#path, (file) => file.read(0, file.size())));
  }

  /** Leaves the WAL to whoever comes next, unsynced, and drops the real files. */
  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Puts the WAL on the simulated disk, as the system has it when the process ends. */
  keepWal(): void {
    const wal = `${this.path}-wal`;
    if (this.#fd === undefined || !existsSync(wal)) return;
    const file = this.#disk.open(`${this.#path}-wal`, { create: true });
    try {
      file.write(0, readFileSync(wal));
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    } finally {
      file.close();
    }
  }

  #using<T>(path: string, use: (file: DiskFile) => T): T {
    const file = this.#disk.open(path, { create: false });
    try {
      return use(file);
    } finally {
      file.close();
    }
  }

  #realBytes(): Uint8Array {
    const bytes = new Uint8Array(fstatSync(this.#fd!).size);
    for (let at = 0; at < bytes.length;) {
      at += readSync(this.#fd!, bytes, at, bytes.length - at, at);
    }
    return bytes;
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}
