/** Where an archive ends, as far as this node knows: what it saw in the archive, or put there. */
import type { LogIndex } from "../raft/types.ts";
import { entriesKey, type EntriesName } from "../wire/archive_keys.ts";
import type { BaseObject, Catalog } from "./catalog.ts";
import { continuationOf, extendedRun, newRun, type Run } from "./run.ts";

/** See the file comment. */
export class ArchiveTail {
  readonly #catalog: Catalog;
  #run: Run | undefined;
  #base: BaseObject | undefined;
  /** Size of the objects since the base, or since the run began. */
  #sinceBaseBytes = 0;
  /** Names up to here are known. */
  #lastKey: string | undefined;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** The last run; undefined while the archive is empty. */
  get run(): Run | undefined {
    return this.#run;
  }

  /** The latest base of the run. */
  get base(): BaseObject | undefined {
    return this.#base;
  }

  get sinceBaseBytes(): number {
    return this.#sinceBaseBytes;
  }

  /** Whether the points of the run can be restored: it has a beginning. */
  get hasBeginning(): boolean {
    return this.#base !== undefined || this.#run?.first === 1;
  }

  /** Looks for what is new. @throws {DatabaseError} as the store does. */
  async refresh(): Promise<void> {
    const bases = await this.#catalog.bases();
    const newest = bases.at(-1);
    const objects = this.#lastKey === undefined
      ? this.#catalog.entriesFrom(newest === undefined ? 1 : newest.index + 1)
      : this.#catalog.entriesAfter(this.#lastKey);
    for await (const object of objects) this.#take(object, object.sizeBytes, object.key);
    const run = this.#run;
    const base = run &&
      bases.findLast(({ index, fuzzyIndex }) => index >= run.first - 1 && fuzzyIndex <= run.last);
    if (base !== undefined && base.id !== this.#base?.id) {
      // Whether the objects since an older base count for this one does not matter.
      if (this.#base !== undefined) this.#sinceBaseBytes = 0;
      this.#base = base;
    }
  }

  /** An object was put into the archive by this node. */
  added(object: EntriesName, sizeBytes: number): void {
    this.#take(object, sizeBytes, entriesKey(this.#catalog.clusterId, object));
  }

  /** A base was. */
  addedBase(base: BaseObject, sinceBytes: number): void {
    this.#base = base;
    this.#sinceBaseBytes = sinceBytes;
  }

  /** Entries are missing: what comes next is another run, behind `index`. */
  beginRun(): void {
    this.#run = undefined;
    this.#base = undefined;
    this.#sinceBaseBytes = 0;
  }

  /** The last entry of the archive; 0 when it is empty. */
  get lastIndex(): LogIndex {
    return this.#run?.last ?? 0;
  }

  #take(object: EntriesName, sizeBytes: number, key: string): void {
    this.#lastKey = key;
    const run = this.#run;
    const how = run && continuationOf(object, { index: run.last, chain: run.chain });
    if (how === "before" || how === "other") return;
    if (how !== "continues") {
      this.beginRun();
      this.#run = newRun(object, sizeBytes);
    } else this.#run = extendedRun(run!, object, sizeBytes);
    this.#sinceBaseBytes += sizeBytes;
  }
}
