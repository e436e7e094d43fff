/**
 * Makes bases. The database file is the image, read while the node goes on: its pages hold all that
 * it was complete with when the first one was read, and nothing behind the last checkpoint that was
 * begun when the last one was; the entries in between, which are in the archive before the base
 * counts, make them one state. So nobody waits for it, and nothing of the database is copied here.
 */
import { DatabaseError } from "../base/errors.ts";
import { ARCHIVE_READ_BYTES } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import { randomHex } from "../io/entropy.ts";
import type { RaftLog } from "../log/types.ts";
import type { LogIndex } from "../raft/types.ts";
import { boundaryIndex } from "../replica/batch_boundary.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import type { StateMachine } from "../replica/state_machine.ts";
import type { PageFile } from "../snapshot/page_file.ts";
import { type BaseHead, encodeBaseHead, encodePagesHead } from "../wire/archive.ts";
import { baseKey, pagesKey } from "../wire/archive_keys.ts";
import { newBaseId } from "./base_id.ts";
import type { BaseObject, Catalog } from "./catalog.ts";
import { sealObject } from "./object.ts";

const DATABASE_NAME = "main";
const EMPTY = new Uint8Array(0);

/** What making a base needs. */
export interface BaseMakerOptions {
  readonly catalog: Catalog;
  readonly log: RaftLog;
  readonly machine: StateMachine;
  readonly clock: Clock;
  /** The database file; undefined while there is none. It stays open. */
  readonly file: () => PageFile | undefined;
  /** Waits until the archive holds an entry, and tells the latest time up to there. */
  readonly archived: (index: LogIndex) => Promise<number>;
  /** Lets others go on for a moment. */
  readonly turn: () => Promise<void>;
  /** Whether to go on. */
  readonly isWanted: () => boolean;
  readonly partBytes: number;
}

/** See the file comment. */
export class BaseMaker {
  readonly #options: BaseMakerOptions;
  /** One part at a time is in memory, always in the same place. */
  readonly #part: Uint8Array;

  constructor(options: BaseMakerOptions) {
    this.#options = options;
    this.#part = new Uint8Array(options.partBytes);
  }

  /**
   * Makes one; its pages go again when it comes to nothing.
   *
   * @returns Undefined when the database cannot serve for one now.
   * @throws {DatabaseError} as the store does; `CLOSED` when it is not wanted any more, or another
   * node's snapshot takes the place of the database.
   */
  async make(): Promise<BaseObject | undefined> {
    const { catalog, log, machine, clock } = this.#options;
    const file = this.#options.file();
    if (file === undefined || machine.installing || machine.checkpointIndex === 0) return undefined;
    const from = log.baseAt(boundaryIndex(machine.checkpointIndex, log, machine));
    if (from === undefined || from.index === 0) return undefined;
    const id = newBaseId(clock.wallMs(), randomHex);
    const parts: string[] = [];
    let head: BaseHead;
    try {
      const pages = await this.#writePages(file, id, from.index, parts);
      const fuzzyIndex = machine.consistentIndex;
      const timeMs = await this.#options.archived(fuzzyIndex);
      this.#require(from.index);
      const { pageBytes: pageSizeBytes } = file;
      const database = { id: MAIN_DATABASE_ID, name: DATABASE_NAME, pageSizeBytes, pages, parts };
      const { index, chain } = from;
      head = { id, index, fuzzyIndex, chain, timeMs, databases: [database] };
    } catch (error) {
      await this.#remove(id, parts.length + 1);
      throw error;
    }
    // When this fails it may have come about all the same: its pages stay.
    const key = baseKey(catalog.clusterId, head);
    await this.#put(key, "base", encodeBaseHead(head), EMPTY);
    const { index, fuzzyIndex, timeMs } = head;
    return { id, index, fuzzyIndex, timeMs, key };
  }

  /** @returns How many pages there are. */
  async #writePages(
    file: PageFile,
    baseId: string,
    index: LogIndex,
    parts: string[],
  ): Promise<number> {
    const { catalog, partBytes } = this.#options;
    const partPages = Math.floor(partBytes / file.pageBytes);
    // What the file grows by meanwhile is in the log.
    const { pages } = file;
    for (let firstPage = 1;;) {
      const wanted = Math.min(partPages, pages - firstPage + 1);
      const bytes = await this.#readPart(file, firstPage, wanted, index);
      const count = bytes.length / file.pageBytes;
      if (count > 0) {
        const head = encodePagesHead({
          baseId,
          databaseId: MAIN_DATABASE_ID,
          pageSizeBytes: file.pageBytes,
          firstPage,
          count,
        });
        const key = pagesKey(catalog.clusterId, baseId, parts.length + 1);
        parts.push(await this.#put(key, "pages", head, bytes));
        firstPage += count;
      }
      if (count < wanted || firstPage > pages) return firstPage - 1;
    }
  }

  /** @returns A view of the part's memory. */
  async #readPart(
    file: PageFile,
    firstPage: number,
    count: number,
    index: LogIndex,
  ): Promise<Uint8Array> {
    const sliceCount = Math.max(1, Math.floor(ARCHIVE_READ_BYTES / file.pageBytes));
    let size = 0;
    for (let done = 0; done < count;) {
      await this.#options.turn();
      this.#require(index);
      const wanted = Math.min(sliceCount, count - done);
      const slice = file.read(firstPage + done, wanted);
      this.#part.set(slice, size);
      size += slice.length;
      done += wanted;
      if (slice.length < wanted * file.pageBytes) break;
    }
    return this.#part.subarray(0, size);
  }

  async #put(
    key: string,
    kind: "base" | "pages",
    head: Uint8Array,
    body: Uint8Array,
  ): Promise<string> {
    const { store, clusterId } = this.#options.catalog;
    const { bytes, sha256 } = await sealObject({ kind, clusterId, head, body });
    await store.put(key, bytes);
    return sha256;
  }

  #require(index: LogIndex): void {
    const { machine, isWanted } = this.#options;
    if (!isWanted()) throw new DatabaseError("CLOSED", "This node leads no more");
    if (!machine.installing && machine.checkpointIndex >= index) return;
    throw new DatabaseError("CLOSED", "The database is replaced by another node's snapshot");
  }

  /** What cannot be removed now is in nobody's way: only a base makes pages count. */
  async #remove(baseId: string, count: number): Promise<void> {
    const { store, clusterId } = this.#options.catalog;
    try {
      for (let part = 1; part <= count; part++) {
        await store.remove(pagesKey(clusterId, baseId, part));
      }
    } catch {
      // The archive cannot be reached.
    }
  }
}
