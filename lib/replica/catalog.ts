/**
 * Which databases there are. The file `catalog` and its copy tell; without them there is the first
 * database alone. What they tell is at least as new as the record of the last checkpoint, and may
 * be newer: entries that are applied again after a start find their effect here already.
 */
import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import {
  copyPath,
  Damage,
  mendTwin,
  readTwin,
  type TwinProblem,
  writeTwin,
} from "../io/twin_file.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import { type DatabaseEntry, type DatabaseList, MAIN_ALONE } from "../wire/database_list.ts";

const FORMAT = 1;

/** Where the catalog of a data folder is kept. */
export function catalogPath(folder: string): string {
  return `${folder}/catalog`;
}

/**
 * Reads a catalog and changes nothing.
 *
 * @throws {DatabaseError} `CORRUPT` when both files are damaged, `DATA_FOLDER` when one is newer.
 */
export function readCatalog(disk: Disk, folder: string): DatabaseList {
  return readTwin(disk, catalogPath(folder), decode).value ?? MAIN_ALONE;
}

/** Replaces the files; what they say is durable when this returns. */
export function writeCatalog(disk: Disk, folder: string, content: DatabaseList): void {
  const body = JSON.stringify({ format: FORMAT, ...content });
  writeTwin(disk, catalogPath(folder), `${checksumOf(body)} ${body}\n`);
}

/** Removes both files: what there is, the log tells from its first entry on. */
export function removeCatalog(disk: Disk, folder: string): void {
  const path = catalogPath(folder);
  for (const at of [path, copyPath(path)]) if (disk.exists(at)) disk.remove(at);
  disk.syncFolder(folder);
}

/** See the file comment. */
export class Catalog {
  /** What was wrong with the files, and was mended. */
  readonly mended: readonly TwinProblem[];
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #byId = new Map<number, DatabaseEntry>();
  readonly #byName = new Map<string, DatabaseEntry>();
  #lastId = 0;
  #changed = false;

  /** @throws {DatabaseError} like {@linkcode readCatalog}. */
  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
    const { value, problems } = mendTwin(disk, catalogPath(folder), decode);
    this.mended = problems;
    this.#set(value ?? MAIN_ALONE);
  }

  /** The highest id that was ever given. */
  get lastId(): number {
    return this.#lastId;
  }

  get size(): number {
    return this.#byId.size;
  }

  get content(): DatabaseList {
    return { lastId: this.#lastId, databases: [...this.#byId.values()] };
  }

  get(id: number): DatabaseEntry | undefined {
    return this.#byId.get(id);
  }

  find(name: string): DatabaseEntry | undefined {
    return this.#byName.get(name);
  }

  /** A database was created, with an id that no other ever had. */
  add(entry: DatabaseEntry): void {
    assert(entry.id > this.#lastId, `database ${entry.id} after ${this.#lastId}`);
    assert(!this.#byName.has(entry.name), `two databases of the name ${entry.name}`);
    this.#byId.set(entry.id, entry);
    this.#byName.set(entry.name, entry);
    this.#lastId = entry.id;
    this.#changed = true;
  }

  /** An id was given in vain, and is used up. */
  skip(id: number): void {
    if (id <= this.#lastId) return;
    this.#lastId = id;
    this.#changed = true;
  }

  /** A database is gone. */
  remove(id: number): void {
    const entry = this.#byId.get(id);
    assert(entry !== undefined && id !== MAIN_DATABASE_ID, `database ${id} cannot go`);
    this.#byId.delete(id);
    this.#byName.delete(entry.name);
    this.#changed = true;
  }

  /** A snapshot brought others. */
  replace(content: DatabaseList): void {
    this.#set(content);
    this.#changed = true;
  }

  /** Makes what changed durable; returns whether anything had. */
  save(): boolean {
    if (!this.#changed) return false;
    writeCatalog(this.#disk, this.#folder, this.content);
    this.#changed = false;
    return true;
  }

  #set({ lastId, databases }: DatabaseList): void {
    this.#byId.clear();
    this.#byName.clear();
    for (const entry of databases) {
      this.#byId.set(entry.id, entry);
      this.#byName.set(entry.name, entry);
    }
    this.#lastId = lastId;
  }
}

function decode(path: string, text: string): DatabaseList | Damage {
  const body = text.slice(9, -1);
  const checksum = checksumOf(body);
  if (text !== `${checksum} ${body}\n`) return new Damage(0, `the checksum ${checksum}`);
  const { format, lastId, databases } = JSON.parse(body) as DatabaseList & { format: number };
  if (format > FORMAT) {
    throw new DatabaseError("DATA_FOLDER", `${path} has format ${format}, newer than ${FORMAT}`);
  }
  return { lastId, databases };
}

function checksumOf(body: string): string {
  return crc32c(new TextEncoder().encode(body)).toString(16).padStart(8, "0");
}
