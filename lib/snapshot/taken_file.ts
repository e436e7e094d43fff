/** The file of one database on its way to what another node has: which pages are still to come. */
import { SNAPSHOT_SYNC_BYTES } from "../base/limits.ts";
import type { Disk } from "../io/disk.ts";
import { type PageRequest, rangePages } from "../wire/pages.ts";
import { PageFile } from "./page_file.ts";
import { pageHashes } from "./page_hashes.ts";

type Compare = PageRequest & { readonly type: "compare" };

/** What is told of a file over there. */
export interface FileShape {
  readonly pageBytes: number;
  readonly pages: number;
}

/** See the file comment. */
export class TakenFile {
  readonly pageBytes: number;
  readonly pages: number;
  readonly #file: PageFile;
  #nextPage = 1;
  /** Written, and not yet under way to the disk. */
  #unsyncedBytes = 0;
  #isSyncing = false;
  #isWhole = false;
  #isClosed = false;

  /** Opens the file at `path`, made when missing, whatever it holds. */
  constructor(disk: Disk, path: string, { pageBytes, pages }: FileShape) {
    this.pageBytes = pageBytes;
    this.pages = pages;
    this.#file = PageFile.overwrite(disk, path, pageBytes);
    // What is beyond the end over there must not come back should the file grow again.
    this.#file.cut(pages);
  }

  /** Whether the disk keeps up. */
  get isReady(): boolean {
    return !this.#isSyncing || this.#unsyncedBytes < SNAPSHOT_SYNC_BYTES;
  }

  /** What is to be asked next; undefined when all was. */
  next(): Compare | undefined {
    const first = this.#nextPage;
    if (first > this.pages) return undefined;
    const count = Math.min(rangePages(this.pageBytes), this.pages - first + 1);
    this.#nextPage += count;
    const hashes = pageHashes(this.#file.read(first, count), this.pageBytes);
    return { type: "compare", first, count, hashes };
  }

  /**
   * Writes pages that differed.
   *
   * @param present How many of those that were asked for there are.
   * @returns Whether so much was written that it is time for {@linkcode sync}.
   */
  write(
    asked: { readonly first: number; readonly count: number },
    present: number,
    offsets: readonly number[],
    bytes: Uint8Array,
  ): boolean {
    if (present < asked.count) this.#file.cut(asked.first - 1 + present);
    this.#file.write(asked.first, offsets, bytes);
    this.#unsyncedBytes += bytes.length;
    return this.#unsyncedBytes >= SNAPSHOT_SYNC_BYTES;
  }

  /** Every page is there: the file gets its last size, where that is known. */
  complete(pages: number | undefined): void {
    this.#isWhole = true;
    if (pages !== undefined) this.#file.resize(pages);
  }

  /**
   * Makes durable what was written, without holding up the thread.
   *
   * @param done Called when some of it is; `isWhole` once everything is, after `complete`.
   */
  sync(done: (error: Error | undefined, isWhole: boolean) => void): void {
    if (this.#isSyncing || this.#isClosed) return;
    this.#isSyncing = true;
    // What is written while it is under way may be left out, and needs another one.
    const isLast = this.#isWhole;
    this.#unsyncedBytes = 0;
    this.#file.syncLater((error) => {
      this.#isSyncing = false;
      if (this.#isClosed) return;
      if (error === undefined && this.#isWhole && !isLast) this.sync(done);
      else done(error, isLast);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
  }
}
