/**
 * The database file page by page, beside SQLite. Nobody else may have it open while it is written;
 * it is read while a checkpoint writes it, so that a page may come out half old, half new.
 */
import { assert } from "../base/assert.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import { isPageSize } from "../wire/pages.ts";

/** Where the header of a database says how large its pages are, in two bytes, high one first. */
const PAGE_SIZE_AT = 16;

/** See the file comment. Page numbers begin at 1. */
export class PageFile {
  readonly pageBytes: number;
  readonly #file: DiskFile;

  private constructor(file: DiskFile, pageBytes: number) {
    this.#file = file;
    this.pageBytes = pageBytes;
  }

  /** Opens a database as it is; undefined when the file is no database. */
  static read(disk: Disk, path: string): PageFile | undefined {
    if (!disk.exists(path)) return undefined;
    const file = disk.open(path, { create: false, readOnly: true });
    const [high = 0, low = 0] = file.read(PAGE_SIZE_AT, 2);
    const stored = high * 256 + low;
    const pageBytes = stored === 1 ? 65_536 : stored;
    if (isPageSize(pageBytes)) return new PageFile(file, pageBytes);
    file.close();
    return undefined;
  }

  /** Opens a file to be overwritten, whatever it holds; made when missing. */
  static overwrite(disk: Disk, path: string, pageBytes: number): PageFile {
    assert(isPageSize(pageBytes), `pages of ${pageBytes} bytes`);
    return new PageFile(disk.open(path, { create: true }), pageBytes);
  }

  /** Whole pages in the file at this moment. */
  get pages(): number {
    return Math.floor(this.#file.size() / this.pageBytes);
  }

  /** The whole pages of a range; fewer at the end of the file. */
  read(first: number, count: number): Uint8Array {
    const bytes = this.#file.read((first - 1) * this.pageBytes, count * this.pageBytes);
    return bytes.subarray(0, bytes.length - bytes.length % this.pageBytes);
  }

  /**
   * Writes pages of a range; those that stand next to each other in one go.
   *
   * @param offsets Their distances from `first`, ascending.
   * @param bytes The pages, one after another.
   */
  write(first: number, offsets: readonly number[], bytes: Uint8Array): void {
    const { pageBytes } = this;
    for (let at = 0, next = 0; at < offsets.length; at = next) {
      next = at + 1;
      while (next < offsets.length && offsets[next] === offsets[next - 1]! + 1) next++;
      const run = bytes.subarray(at * pageBytes, next * pageBytes);
      this.#file.write((first - 1 + offsets[at]!) * pageBytes, run);
    }
  }

  /** Cuts the file to at most so many pages. */
  cut(pages: number): void {
    if (this.#file.size() > pages * this.pageBytes) this.#file.truncate(pages * this.pageBytes);
  }

  /** Gives the file so many pages; those that it did not have are zeros. */
  resize(pages: number): void {
    if (this.#file.size() !== pages * this.pageBytes) this.#file.truncate(pages * this.pageBytes);
  }

  /** See {@linkcode DiskFile.syncLater}. */
  syncLater(done: (error: Error | undefined) => void): void {
    this.#file.syncLater(done);
  }

  close(): void {
    this.#file.close();
  }
}
