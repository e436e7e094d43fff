/**
 * Rebuilds a database from an archive, as of one entry: a node's state machine in a folder of its
 * own, which gets the pages of a base and then what the log says, entry by entry. Everything is
 * verified on the way: each object, each entry, that each goes on where the one before ended, and
 * what the nodes found the database to be in between.
 */
import type { Library } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { CHECKPOINT_FRAMES } from "../base/limits.ts";
import { Connection } from "../database/connection.ts";
import { ReplicaHandle } from "../database/replica_handle.ts";
import type { Disk } from "../io/disk.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import { writeCheckpoint } from "../replica/checkpoint_record.ts";
import { databasePath } from "../replica/database_paths.ts";
import { SqliteMachine } from "../replica/sqlite_machine.ts";
import {
  type BaseHead,
  decodeBaseHead,
  decodeEntries,
  decodeEntriesHead,
  decodePagesHead,
  type EntriesHead,
} from "../wire/archive.ts";
import { entriesKey, pagesKey } from "../wire/archive_keys.ts";
import { type Chain, CHAIN_START, chainEquals } from "../wire/chain.ts";
import { decodeCommand, MAIN_DATABASE_ID } from "../wire/command.ts";
import { ahead } from "./ahead.ts";
import { BatchSpool } from "./batch_spool.ts";
import type { BaseObject, Catalog, EntriesObject } from "./catalog.ts";
import { chainAfter, timeAfter } from "./log_shipper.ts";
import { damaged, type ObjectPlace, openObject, parse } from "./object.ts";
import { objectsBetween } from "./plan.ts";

/** Where the header tells what it takes to write and read the file (file format, §1.3). */
const VERSIONS_OFFSET = 18;

/** What rebuilding needs. */
export interface RebuildOptions {
  readonly catalog: Catalog;
  /** Where it begins; undefined for the first entry of all. */
  readonly start: BaseObject | undefined;
  /** The entry after which the database is wanted; not before what the base holds. */
  readonly index: LogIndex;
  readonly library: Library;
  readonly disk: Disk;
  /** An empty folder; the caller removes it. */
  readonly folder: string;
  /** Told how far it is: entries that were applied, and that are to be. */
  readonly onProgress: (done: number, whole: number) => void;
  readonly signal: AbortSignal;
}

/** A database that was rebuilt. */
export interface Rebuilt {
  /** The file, which needs no other beside it. */
  readonly path: string;
  readonly index: LogIndex;
  /** The latest time of a transaction in it; 0 when none is known. */
  readonly timeMs: number;
  /** The last entry after which it was found to be what the cluster's leader had; 0 for none. */
  readonly verifiedIndex: LogIndex;
}

/**
 * Rebuilds.
 *
 * @throws {DatabaseError} `CORRUPT`, naming the object, when something is missing or damaged;
 * `CONFIG` when there was no database at this entry; `CLOSED` after the signal; those of the store.
 * @throws {DamagedStart} when it is the base that is missing or damaged.
 */
export async function rebuild(options: RebuildOptions): Promise<Rebuilt> {
  const { catalog, start, disk, folder, index } = options;
  const base = start && await takeBase(options, start).catch((error) => {
    const isDamaged = error instanceof DatabaseError && error.code === "CORRUPT";
    throw isDamaged ? new DamagedStart(error) : error;
  });
  using replay = new Replay(options, base);
  const from = { index: replay.index, chain: replay.chain };
  const objects = objectsBetween(catalog, from, index);
  for await (const { object, entries } of ahead(objects, (object) => read(catalog, object))) {
    requireGoing(options.signal);
    replay.take(object, entries);
    options.onProgress(replay.index - from.index, index - from.index);
  }
  assert(replay.index === index, `rebuilt up to ${replay.index} in place of ${index}`);
  const rebuilt = replay.finish();
  markPlain(disk, databasePath(folder));
  return rebuilt;
}

/** What rebuilding begins with is damaged: an earlier beginning may do. */
export class DamagedStart extends Error {
  override readonly name = "DamagedStart";
  /** Names the object. */
  readonly reason: DatabaseError;

  constructor(reason: DatabaseError) {
    super(reason.message);
    this.reason = reason;
  }
}

interface Base {
  readonly head: BaseHead;
  readonly chain: Chain;
}

/** Brings the pages of a base into the folder. */
async function takeBase(options: RebuildOptions, start: BaseObject): Promise<Base> {
  const { catalog, disk, folder, signal } = options;
  const place = { ...catalog, key: start.key };
  const { head: bytes } = await openObject(place, "base");
  const head = parse(place, () => decodeBaseHead(bytes));
  const { index, fuzzyIndex, id, databases } = head;
  if (index !== start.index || fuzzyIndex !== start.fuzzyIndex || id !== start.id) {
    throw damaged(place, "holds another base than its name says");
  }
  const [database] = databases;
  if (databases.length !== 1 || database!.id !== MAIN_DATABASE_ID) {
    throw damaged(place, `holds ${databases.length} databases, which this version does not know`);
  }
  const { pages, pageSizeBytes, parts } = database!;
  const file = disk.open(databasePath(folder), { create: true });
  try {
    let written = 0;
    const numbers = parts.map((sha256, at) => ({ sha256, number: at + 1 }));
    for await (const part of ahead(numbers, (part) => readPages(catalog, head, part))) {
      requireGoing(signal);
      const { firstPage, count } = part.head;
      if (firstPage !== written + 1 || part.head.pageSizeBytes !== pageSizeBytes) {
        throw damaged(part.place, `holds other pages than those from ${written + 1} on`);
      }
      file.write(written * pageSizeBytes, part.body);
      written += count;
    }
    if (written !== pages) throw damaged(place, `has ${written} pages, and announces ${pages}`);
    file.sync();
  } finally {
    file.close();
  }
  writeCheckpoint(disk, folder, { completeIndex: index, fuzzyIndex });
  return { head, chain: head.chain };
}

async function readPages(
  catalog: Catalog,
  base: BaseHead,
  { number, sha256 }: { readonly number: number; readonly sha256: string },
) {
  const place = { ...catalog, key: pagesKey(catalog.clusterId, base.id, number) };
  const opened = await openObject(place, "pages");
  const head = parse(place, () => decodePagesHead(opened.head));
  const { body } = opened;
  if (opened.sha256 !== sha256 || head.baseId !== base.id) {
    throw damaged(place, "is not the object that its base names");
  }
  if (body.length !== head.count * head.pageSizeBytes) {
    throw damaged(place, `has ${body.length} bytes for ${head.count} pages`);
  }
  return { place, head, body };
}

interface ReadObject {
  readonly place: ObjectPlace;
  readonly head: EntriesHead;
}

async function read(
  catalog: Catalog,
  { key }: EntriesObject,
): Promise<{ readonly object: ReadObject; readonly entries: readonly Entry[] }> {
  const place = { ...catalog, key };
  const opened = await openObject(place, "entries");
  const head = parse(place, () => decodeEntriesHead(opened.head));
  if (entriesKey(catalog.clusterId, head) !== key) {
    throw damaged(place, "holds other entries than its name says");
  }
  const entries = parse(place, () => decodeEntries(head, opened.body));
  return { object: { place, head }, entries };
}

/** A state machine that takes entries. */
class Replay implements Disposable {
  readonly #options: RebuildOptions;
  readonly #machine: SqliteMachine;
  readonly #spool: BatchSpool;
  #index: LogIndex;
  #chain: Chain;
  #timeMs: number;
  #diverged: LogIndex | undefined;

  constructor(options: RebuildOptions, base: Base | undefined) {
    const { disk, folder, library } = options;
    this.#options = options;
    this.#index = base?.head.index ?? 0;
    this.#chain = base?.chain ?? CHAIN_START;
    this.#timeMs = 0;
    this.#machine = new SqliteMachine({
      disk,
      folder,
      openHandle: (path) => {
        const handle = ReplicaHandle.open(library, path);
        // What the entries up to the base's end replace is corrected as they do.
        handle.learnHashes();
        return handle;
      },
      onDiverged: (_id, { index }) => {
        // Before that the pages of a base are of different moments.
        if (index >= (base?.head.fuzzyIndex ?? 0)) this.#diverged ??= index;
      },
    });
    this.#spool = new BatchSpool(disk, `${folder}/batch`);
  }

  get index(): LogIndex {
    return this.#index;
  }

  get chain(): Chain {
    return this.#chain;
  }

  /** Takes what of an object comes next, up to the entry that is wanted. */
  take({ place, head }: ReadObject, entries: readonly Entry[]): void {
    let chain = head.chainBefore;
    const first = this.#index + 1;
    this.#timeMs = Math.max(this.#timeMs, head.first === first ? head.timeBeforeMs : 0);
    for (const entry of entries) {
      if (entry.index === first && !chainEquals(chain, this.#chain)) {
        throw damaged(place, `goes on from another history than that up to entry ${first - 1}`);
      }
      chain = chainAfter(chain, entry);
      if (entry.index < first || entry.index > this.#options.index) continue;
      this.#apply(place, entry);
      this.#index = entry.index;
      this.#timeMs = timeAfter(this.#timeMs, entry);
      this.#chain = chain;
    }
    if (!chainEquals(chain, head.chainAfter)) {
      throw damaged(place, "holds other entries than its chain says");
    }
    if (this.#machine.uncopiedFrames() >= CHECKPOINT_FRAMES) this.#checkpoint();
  }

  finish(): Rebuilt {
    const machine = this.#machine;
    if (!machine.exists) {
      throw new DatabaseError("CONFIG", `There was no database yet at entry ${this.#index}`);
    }
    this.#checkpoint();
    const { verifiedIndex } = machine;
    machine.closeAll();
    const path = databasePath(this.#options.folder);
    return { path, index: this.#index, timeMs: this.#timeMs, verifiedIndex };
  }

  [Symbol.dispose](): void {
    this.#machine.closeAll();
    this.#spool[Symbol.dispose]();
  }

  #apply(place: ObjectPlace, entry: Entry): void {
    if (entry.type !== "command") return;
    const command = decodeCommand(entry.payload);
    // An archive restores the first database; base images hold no other.
    if (command.databaseId !== MAIN_DATABASE_ID) return;
    const { databaseId } = command;
    if (command.type === "frames" && command.first) this.#spool.forget(databaseId);
    if (command.type === "frames" && !command.last) {
      this.#spool.add(entry.index, databaseId, entry.payload);
    }
    const earlier = (index: LogIndex) => this.#spool.get(index);
    while (!this.#machine.apply(entry.index, entry.payload, earlier));
    if (command.type === "frames" && command.last) this.#spool.forget(databaseId);
    if (this.#diverged === undefined) return;
    throw damaged(
      place,
      `shows that what is restored is not what the cluster had at entry ${this.#diverged}`,
    );
  }

  #checkpoint(): void {
    const { library, folder } = this.#options;
    const machine = this.#machine;
    using connection = Connection.open(library, databasePath(folder), { role: "session" });
    machine.beginCheckpoint(this.#index);
    connection.checkpoint();
    machine.completeCheckpoint(this.#index);
  }
}

function requireGoing(signal: AbortSignal): void {
  if (signal.aborted) throw new DatabaseError("CLOSED", "It was interrupted: nothing was changed");
}

/** Has SQLite take the file for one with a rollback journal, so that it needs no file beside it. */
function markPlain(disk: Disk, path: string): void {
  const file = disk.open(path, { create: false });
  try {
    file.write(VERSIONS_OFFSET, new Uint8Array([1, 1]));
    file.sync();
  } finally {
    file.close();
  }
}
