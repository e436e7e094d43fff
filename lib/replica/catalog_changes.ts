import type { LogIndex } from "../raft/types.ts";
import type { Catalog } from "./catalog.ts";
import type { DatabaseFolder } from "./database_folder.ts";

/**
 * What the log said of databases since the catalog was made durable last: names of new files, and
 * files that may go once the catalog says so and nobody uses them.
 */
export class CatalogChanges {
  readonly #catalog: Catalog;
  readonly #files: DatabaseFolder;
  /** Made in this life of the node, each by the entry, and never copied to since. */
  readonly #created = new Map<number, LogIndex>();
  #hasNames = false;
  /** Dropped; whether the catalog says so, durably. */
  readonly #gone = new Map<number, boolean>();

  constructor(catalog: Catalog, files: DatabaseFolder) {
    this.#catalog = catalog;
    this.#files = files;
  }

  /** Whether there are files that go once the catalog is durable. */
  get hasGone(): boolean {
    return [...this.#gone.values()].includes(false);
  }

  /** The entry that made a database; undefined when its file may hold more than that. */
  createdIndex(id: number): LogIndex | undefined {
    return this.#created.get(id);
  }

  created(id: number, index: LogIndex): void {
    this.#created.set(id, index);
    this.#hasNames = true;
  }

  /** A checkpoint copied into the file of a database, and saved what its pages should hold. */
  copied(id: number): void {
    this.#created.delete(id);
  }

  dropped(id: number): void {
    this.#created.delete(id);
    this.#gone.set(id, false);
  }

  /** A snapshot is to take the place of everything. */
  forget(): void {
    this.#created.clear();
    this.#gone.clear();
    this.#hasNames = false;
  }

  /** Makes everything durable. */
  save(isUsed: (id: number) => boolean): void {
    if (this.#hasNames) this.#files.syncNames();
    this.#hasNames = false;
    this.#catalog.save();
    for (const id of this.#gone.keys()) this.#gone.set(id, true);
    this.removeGone(isUsed);
  }

  /** Removes files that nobody needs any more. */
  removeGone(isUsed: (id: number) => boolean): void {
    for (const [id, mayGo] of this.#gone) {
      if (!mayGo || isUsed(id)) continue;
      this.#files.remove(id);
      this.#gone.delete(id);
    }
  }
}
