/** The files of the databases of a node, beside SQLite. */
import type { Disk } from "../io/disk.ts";
import {
  databaseFiles,
  databasePath,
  databasesFolder,
  PAGE_HASHES_SUFFIX,
  pageHashesPath,
} from "./database_paths.ts";

/** See the file comment. */
export class DatabaseFolder {
  readonly #disk: Disk;
  readonly #folder: string;

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
  }

  /** Removes the WAL beside a database: it belongs to an earlier life of it. */
  dropCache(id: number): void {
    const path = databasePath(this.#folder, id);
    for (const stale of [`${path}-wal`, `${path}-shm`]) this.#remove(stale);
  }

  /** What is said of pages counts no more: the files are, or were, replaced. */
  removeHashes(): void {
    this.#remove(pageHashesPath(this.#folder));
    const folder = databasesFolder(this.#folder);
    for (const name of this.#disk.list(folder)) {
      if (name.endsWith(PAGE_HASHES_SUFFIX)) this.#remove(`${folder}/${name}`);
    }
  }

  /** Removes the files of databases other than those that there are. */
  removeStrays(isThere: (id: number) => boolean): void {
    const folder = databasesFolder(this.#folder);
    for (const name of this.#disk.list(folder)) {
      const id = Number(name.slice(0, name.indexOf(".")));
      if (!isThere(id)) this.#remove(`${folder}/${name}`);
    }
  }

  /** Removes all files of a database. */
  remove(id: number): void {
    for (const path of databaseFiles(this.#folder, id)) this.#remove(path);
  }

  /** Makes the file of the first database, durably. */
  makeMain(id: number, image: Uint8Array): void {
    this.#make(id, image);
    this.#disk.syncFolder(this.#folder);
  }

  /** Makes the file of another database; its name is durable after {@linkcode syncNames}. */
  make(id: number, image: Uint8Array): void {
    this.#disk.createFolder(databasesFolder(this.#folder));
    this.#remove(pageHashesPath(this.#folder, id));
    this.dropCache(id);
    this.#make(id, image);
  }

  /** Makes the files of databases durable, with their names. */
  sync(ids: readonly number[]): void {
    for (const id of ids) {
      const file = this.#disk.open(databasePath(this.#folder, id), { create: false });
      try {
        file.sync();
      } finally {
        file.close();
      }
    }
    this.#disk.syncFolder(this.#folder);
    if (ids.length > 1) this.syncNames();
  }

  /** Makes the names of files durable, but for those of the first database. */
  syncNames(): void {
    this.#disk.syncFolder(databasesFolder(this.#folder));
  }

  #make(id: number, image: Uint8Array): void {
    const file = this.#disk.open(databasePath(this.#folder, id), { create: true });
    try {
      file.write(0, image);
      file.truncate(image.length);
      file.sync();
    } finally {
      file.close();
    }
  }

  #remove(path: string): void {
    if (this.#disk.exists(path)) this.#disk.remove(path);
  }
}
