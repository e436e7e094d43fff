/**
 * Copies of whole databases, in a worker: backups that are read piece by piece, and files that
 * replace the database.
 */
import type { Library } from "../../ffi/library.ts";
import { DatabaseError } from "../base/errors.ts";
import { BACKUP_PART_BYTES } from "../base/limits.ts";
import { Connection } from "../database/connection.ts";
import { checkIntegrity, formOf, objectCount } from "../database/database_file.ts";
import { PageReader } from "../database/page_reader.ts";
import type { Hasher } from "../io/hash.ts";
import { asPlain } from "./plain_error.ts";
import type { CopyFromWorker, CopyToWorker } from "./worker_messages.ts";

/** Pages that are replaced between two looks at whether to go on. */
const PAGES_AT_ONCE = 256;
const NO_BYTES = new Uint8Array(0);

/** What copies need. */
export interface CopiesOptions {
  readonly library: Library;
  readonly post: (message: CopyFromWorker) => void;
  readonly sha256: () => Hasher;
  /** Opens a session of a database, by the path of its file; undefined for the first one. */
  readonly open: (path: string | undefined) => Connection;
}

interface Backup {
  readonly path: string;
  readonly reader: PageReader;
  readonly hasher: Hasher;
}

/** See the file comment. */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #backups = new Map<number, Backup>();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  /** Takes one message of the main thread. */
  handle(message: CopyToWorker): void {
    switch (message.type) {
      case "backup_begin":
        this.#begin(message.id, message.database);
        break;
      case "backup_next":
        this.#next(message.id);
        break;
      case "backup_end":
        this.#end(message.id);
        break;
      case "restore_check":
        this.#check(message.id, message.path, message.database);
        break;
      case "restore":
        this.#restore(message);
        break;
    }
  }

  /** Ends all backups, or those of one database: it is taken away, or goes back. */
  clear(path?: string): void {
    for (const [id, backup] of [...this.#backups]) {
      if (path === undefined || backup.path === path) this.#end(id);
    }
  }

  /** Whether a backup reads a database. */
  uses(path: string): boolean {
    return [...this.#backups.values()].some((backup) => backup.path === path);
  }

  #begin(id: number, database: string | undefined): void {
    const { open, post, sha256 } = this.#options;
    try {
      const connection = open(database);
      const reader = new PageReader(connection, "rollback");
      this.#backups.set(id, { path: connection.path, reader, hasher: sha256() });
      const { pages, pageSizeBytes } = reader;
      post({ type: "backup_begun", id, pages, pageSizeBytes, error: undefined });
    } catch (error) {
      post({ type: "backup_begun", id, pages: 0, pageSizeBytes: 0, error: asPlain(error) });
    }
  }

  #next(id: number): void {
    const { post } = this.#options;
    const backup = this.#backups.get(id);
    try {
      if (backup === undefined) {
        throw new DatabaseError("NOT_LEADER", "The backup was ended: its node stopped leading");
      }
      const bytes = backup.reader.next(BACKUP_PART_BYTES);
      if (bytes !== undefined) backup.hasher.update(bytes);
      const sha256 = bytes === undefined ? backup.hasher.digestHex() : undefined;
      post({ type: "backup_part", id, bytes: bytes ?? NO_BYTES, sha256, error: undefined });
      if (bytes === undefined) this.#end(id);
    } catch (error) {
      this.#end(id);
      post({ type: "backup_part", id, bytes: NO_BYTES, sha256: undefined, error: asPlain(error) });
    }
  }

  #end(id: number): void {
    this.#backups.get(id)?.reader.close();
    this.#backups.delete(id);
  }

  #check(id: number, path: string, to: string | undefined): void {
    const { library, open, post } = this.#options;
    try {
      using file = Connection.open(library, path, { role: "immutable" });
      using database = open(to);
      requireSameForm(file, database);
      checkIntegrity(file, "quick_check");
      post({ type: "restore_checked", id, error: undefined });
    } catch (error) {
      post({ type: "restore_checked", id, error: asPlain(error) });
    }
  }

  #restore({ id, path, force, database: to }: CopyToWorker & { type: "restore" }): void {
    const { library, open, post } = this.#options;
    try {
      using file = Connection.open(library, path, { role: "immutable" });
      using database = open(to);
      if (!force) requireEmpty(database);
      using copy = database.replaceBy(file);
      while (!copy.step(PAGES_AT_ONCE));
      post({ type: "restore_done", id, seq: database.seq(), error: undefined });
    } catch (error) {
      post({ type: "restore_done", id, seq: 0, error: asPlain(error) });
    }
  }
}

/** @throws {DatabaseError} `NOT_EMPTY` when the database holds anything. */
function requireEmpty(database: Connection): void {
  const count = objectCount(database);
  if (count === 0) return;
  throw new DatabaseError(
    "NOT_EMPTY",
    `The database is not empty: it holds ${count} tables, indexes, views and triggers`,
    { hint: "To replace all of it, restore with --force" },
  );
}

/** @throws {DatabaseError} `CONFIG` when the pages of one are none for the other. */
function requireSameForm(file: Connection, database: Connection): void {
  const from = formOf(file);
  const to = formOf(database);
  if (from.pageSizeBytes !== to.pageSizeBytes) {
    throw new DatabaseError(
      "CONFIG",
      `The file has pages of ${from.pageSizeBytes} bytes, the database of ${to.pageSizeBytes}`,
      { hint: "dqlite restore converts it on the way" },
    );
  }
  if (from.encoding !== to.encoding) {
    throw new DatabaseError(
      "CONFIG",
      `The file stores texts as ${from.encoding}, the database as ${to.encoding}`,
      { hint: "Found a new cluster with it, by dqlite serve --from, or load its dump" },
    );
  }
}
