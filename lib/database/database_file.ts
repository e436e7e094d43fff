/** A database file that a user names: read, verified, never changed. */
import type { Library } from "../../ffi/library.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import { Connection } from "./connection.ts";
import { numberOf } from "./page_reader.ts";

/** What every database file begins with. */
const MAGIC = "SQLite format 3\0";
const HEADER_BYTES = 100;
/** Where the header says how the file is written: 2 with a write-ahead log. */
const WRITE_VERSION_OFFSET = 18;
const WAL_VERSION = 2;
/** Problems that an error tells. */
const PROBLEMS_SHOWN = 3;

/** How texts are stored in a database. */
export type Encoding = "UTF-8" | "UTF-16le" | "UTF-16be";

/** What has to fit when pages are put in the place of others. */
export interface DatabaseForm {
  readonly pageSizeBytes: number;
  readonly encoding: Encoding;
}

/**
 * Opens the file, with what a WAL beside it holds. Without one, no file is made beside it.
 *
 * @throws {DatabaseError} `CONFIG` when it cannot be read, `CORRUPT` when it is no database.
 */
export function openDatabaseFile(library: Library, disk: Disk, path: string): Connection {
  const header = readHeader(disk, path);
  if (new TextDecoder("latin1").decode(header.subarray(0, MAGIC.length)) !== MAGIC) {
    throw new DatabaseError("CORRUPT", `${path} is no SQLite database`);
  }
  const walless = header[WRITE_VERSION_OFFSET] === WAL_VERSION && !hasContent(disk, `${path}-wal`);
  const connection = Connection.open(library, path, { role: walless ? "immutable" : "readonly" });
  try {
    formOf(connection);
  } catch (error) {
    connection.close();
    throw unreadable(path, error);
  }
  return connection;
}

/** The form of a database. @throws {DatabaseError} `SQLITE` when it cannot be read. */
export function formOf(connection: Connection): DatabaseForm {
  const encoding = connection.prepare("PRAGMA encoding").statement!.run().rows.decode()[0]![0];
  return {
    pageSizeBytes: numberOf(connection, "PRAGMA page_size"),
    encoding: encoding as Encoding,
  };
}

/** How many tables, indexes, views and triggers a database has. */
export function objectCount(connection: Connection): number {
  return numberOf(connection, "SELECT count(*) FROM sqlite_schema");
}

/**
 * Has SQLite look for damage.
 *
 * @param how `integrity_check` compares indexes with their tables, too.
 * @throws {DatabaseError} `CORRUPT` with the first problems.
 */
export function checkIntegrity(
  connection: Connection,
  how: "integrity_check" | "quick_check",
): void {
  let problems: string[];
  try {
    const { rows } = connection.prepare(`PRAGMA ${how}(${PROBLEMS_SHOWN})`).statement!.run();
    problems = rows.decode().map(([problem]) => String(problem));
  } catch (error) {
    throw unreadable(connection.path, error);
  }
  if (problems.length === 1 && problems[0] === "ok") return;
  throw new DatabaseError("CORRUPT", `${connection.path} is damaged: ${problems.join("; ")}`);
}

function readHeader(disk: Disk, path: string): Uint8Array {
  try {
    const file = disk.open(path, { create: false, readOnly: true });
    try {
      return file.read(0, HEADER_BYTES);
    } finally {
      file.close();
    }
  } catch (error) {
    throw new DatabaseError("CONFIG", `Cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

function hasContent(disk: Disk, path: string): boolean {
  if (!disk.exists(path)) return false;
  const file = disk.open(path, { create: false, readOnly: true });
  try {
    return file.size() > 0;
  } finally {
    file.close();
  }
}

function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof DatabaseError) || error.code !== "SQLITE") return error;
  const damaged = ["SQLITE_CORRUPT", "SQLITE_NOTADB"].includes(error.sqliteName ?? "");
  return new DatabaseError(
    damaged ? "CORRUPT" : "CONFIG",
    `${path} cannot be read: ${error.message}`,
    { cause: error },
  );
}
