import type { Disk, DiskFile } from "./disk.ts";

/** A disk of which nothing is changed: files are opened for reading only, the rest is refused. */
export class ReadOnlyDisk implements Disk {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  open(path: string): DiskFile {
    return this.#disk.open(path, { create: false, readOnly: true });
  }

  exists(path: string): boolean {
    return this.#disk.exists(path);
  }

  list(folder: string): string[] {
    return this.#disk.list(folder);
  }

  freeBytes(): number {
    return 0;
  }

  isLocked(path: string): boolean {
    return this.#disk.isLocked(path);
  }

  createFolder(path: string): void {
    throw refused(path);
  }

  remove(path: string): void {
    throw refused(path);
  }

  removeFolder(path: string): void {
    throw refused(path);
  }

  rename(from: string): void {
    throw refused(from);
  }

  syncFolder(folder: string): void {
    throw refused(folder);
  }

  lock(path: string): undefined {
    throw refused(path);
  }
}

function refused(path: string): Error {
  return new Error(`${path} is only read here`);
}
