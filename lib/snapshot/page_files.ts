/**
 * The database files that a node gives pages of. Whoever closes a file lets go of all the locks
 * that its process has on it; so a file that SQLite has open stays open here, too, until SQLite
 * closed it.
 */
import type { Disk } from "../io/disk.ts";
import { PageFile } from "./page_file.ts";

/** What is known of databases. */
export interface PageFilesOptions {
  readonly disk: Disk;
  /** The file of a database. */
  readonly pathOf: (id: number) => string;
  /** Whether SQLite has it open. */
  readonly isOpen: (id: number) => boolean;
}

interface Opened {
  readonly file: PageFile;
  users: number;
}

/** See the file comment. */
export class PageFiles {
  readonly #options: PageFilesOptions;
  readonly #files = new Map<number, Opened>();

  constructor(options: PageFilesOptions) {
    this.#options = options;
  }

  /** Opens the file of a database, to be given back; undefined when there is none. */
  open(id: number): PageFile | undefined {
    this.#sweep();
    let opened = this.#files.get(id);
    if (opened === undefined) {
      const file = PageFile.read(this.#options.disk, this.#options.pathOf(id));
      if (file === undefined) return undefined;
      opened = { file, users: 0 };
      this.#files.set(id, opened);
    }
    opened.users++;
    return opened.file;
  }

  /** Gives a file back. */
  giveBack(id: number): void {
    const opened = this.#files.get(id);
    if (opened !== undefined) opened.users--;
    this.#sweep();
  }

  /** Closes everything. SQLite must have closed the databases. */
  close(): void {
    for (const { file } of this.#files.values()) file.close();
    this.#files.clear();
  }

  #sweep(): void {
    for (const [id, { file, users }] of this.#files) {
      if (users > 0 || this.#options.isOpen(id)) continue;
      file.close();
      this.#files.delete(id);
    }
  }
}
