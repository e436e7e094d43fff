/** Makes a file the content of a cluster that runs: all of it or nothing, on every node. */
import type { Library } from "../ffi/library.ts";
import { openLibrary } from "../ffi/open.ts";
import { concat } from "./base/bytes.ts";
import { DatabaseError } from "./base/errors.ts";
import { RESTORE_PART_BYTES } from "./base/limits.ts";
import type { ClusterClient } from "./client/client.ts";
import type { NodeCalls } from "./client/node_calls.ts";
import { Connection } from "./database/connection.ts";
import {
  checkIntegrity,
  type DatabaseForm,
  formOf,
  openDatabaseFile,
} from "./database/database_file.ts";
import { PageReader } from "./database/page_reader.ts";
import type { Disk } from "./io/disk.ts";
import { sha256Hex } from "./io/hash.ts";
import { temporaryFolder } from "./io/process.ts";

/** What a restore needs. */
export interface RestoreFileOptions {
  readonly disk: Disk;
  readonly client: ClusterClient;
  readonly calls: NodeCalls;
  /** Addresses of nodes, to be asked in this order. */
  readonly urls: readonly string[];
  /** The file; it is not changed. */
  readonly path: string;
  /** The name of the database that `client` is connected to; undefined for the first one. */
  readonly database?: string | undefined;
  /** Whether a database that holds something is replaced. */
  readonly force: boolean;
  /** Told how much of the file was sent. */
  readonly onProgress: (sizeBytes: number, wholeBytes: number) => void;
}

/** A restore that took effect. */
export interface RestoreSummary {
  /** The node it was sent to. */
  readonly url: string;
  /** An entry of the log by which it has taken effect. */
  readonly index: number;
  readonly sizeBytes: number;
}

/** The database at the other end. */
interface Target extends DatabaseForm {
  readonly objects: number;
}

/** A restore under way. */
interface Transfer {
  readonly url: string;
  readonly id: string;
}

/**
 * Verifies the file, sends it, and has it take effect.
 *
 * @throws {DatabaseError} `CORRUPT` when the file is damaged, `NOT_EMPTY`, and why the cluster did
 * not take it. Unless its outcome is `unknown`, nothing was changed.
 */
export async function restoreFile(options: RestoreFileOptions): Promise<RestoreSummary> {
  const { disk, client, path, force } = options;
  const library = await openLibrary();
  const file = openDatabaseFile(library, disk, path);
  try {
    checkIntegrity(file, "integrity_check");
    const target = await lookAt(client);
    if (target.objects > 0 && !force) throw notEmpty(target.objects);
    const { pageSizeBytes, encoding } = formOf(file);
    if (encoding !== target.encoding) throw otherEncoding(path, encoding, target.encoding);
    if (pageSizeBytes === target.pageSizeBytes) return await send(options, file);
    return await sendConverted(options, library, file, target.pageSizeBytes);
  } finally {
    file.close();
  }
}

async function lookAt(client: ClusterClient): Promise<Target> {
  const { rows } = await client.execute(
    `SELECT (SELECT page_size FROM pragma_page_size), (SELECT encoding FROM pragma_encoding),
      (SELECT count(*) FROM sqlite_schema)`,
  );
  const [pageSizeBytes, encoding, objects] = [rows[0]![0], rows[0]![1], rows[0]![2]];
  return {
    pageSizeBytes: Number(pageSizeBytes),
    encoding: String(encoding) as DatabaseForm["encoding"],
    objects: Number(objects),
  };
}

/** SQLite writes a copy with pages of the size that the cluster has. */
async function sendConverted(
  options: RestoreFileOptions,
  library: Library,
  file: Connection,
  pageSizeBytes: number,
): Promise<RestoreSummary> {
  const { path: folder, remove } = temporaryFolder("dqlite-restore-");
  try {
    let path = `${folder}/copy.db`;
    vacuumInto(file, path, pageSizeBytes);
    if (file.role === "immutable") {
      // Of such a file SQLite only makes copies with pages of the same size.
      using copy = Connection.open(library, path, { role: "readonly" });
      path = `${folder}/converted.db`;
      vacuumInto(copy, path, pageSizeBytes);
    }
    const converted = Connection.open(library, path, { role: "readonly" });
    try {
      return await send(options, converted);
    } finally {
      converted.close();
    }
  } finally {
    remove();
  }
}

function vacuumInto(file: Connection, path: string, pageSizeBytes: number): void {
  file.exec(`PRAGMA page_size = ${pageSizeBytes}`);
  file.exec(`VACUUM INTO '${path.replaceAll("'", "''")}'`);
}

/** @param file Closed at the end. */
async function send(options: RestoreFileOptions, file: Connection): Promise<RestoreSummary> {
  const { calls, onProgress } = options;
  using reader = new PageReader(file, "rollback");
  const sizeBytes = reader.pages * reader.pageSizeBytes;
  const transfer = await begin(options, reader);
  let sent = 0;
  try {
    onProgress(0, sizeBytes);
    for (;;) {
      const bytes = reader.next(RESTORE_PART_BYTES);
      if (bytes === undefined) break;
      const line = { id: transfer.id, offset: sent, sha256: await sha256Hex(bytes) };
      const head = new TextEncoder().encode(`${JSON.stringify(line)}\n`);
      await calls.post(transfer.url, "cluster/restore/part", concat([head, bytes]));
      sent += bytes.length;
      onProgress(sent, sizeBytes);
    }
  } catch (error) {
    const body = JSON.stringify({ id: transfer.id });
    await calls.post(transfer.url, "cluster/restore/abort", body).catch(() => {});
    throw unchanged(error);
  }
  return { url: transfer.url, index: await commit(calls, transfer), sizeBytes };
}

async function begin(options: RestoreFileOptions, reader: PageReader): Promise<Transfer> {
  const { calls, client, urls, force, database } = options;
  const { pages, pageSizeBytes } = reader;
  const body = JSON.stringify({ database, pages, pageSizeBytes, force });
  const leader = client.leaderUrl;
  let last: unknown;
  for (const url of new Set(leader === undefined ? urls : [leader, ...urls])) {
    try {
      const reply = await calls.post(url, "cluster/restore/begin", body) as { id?: unknown };
      if (typeof reply.id === "string") return { url, id: reply.id };
      last = new DatabaseError("PROTOCOL", `${url} does not answer as a node does`);
    } catch (error) {
      last = error;
      if (!(error instanceof DatabaseError) || error.code !== "CONNECTION_LOST") break;
    }
  }
  throw unchanged(last);
}

/** Asks until it is known what became of it. */
async function commit(calls: NodeCalls, { url, id }: Transfer): Promise<number> {
  for (let asked = 1;; asked++) {
    try {
      const body = JSON.stringify({ id });
      const reply = await calls.post(url, "cluster/restore/commit", body);
      const { done, index } = reply as { done?: unknown; index?: unknown };
      if (done === true) return Number(index);
    } catch (error) {
      if (!(error instanceof DatabaseError) || isRefusal(error, asked)) throw error;
      throw new DatabaseError(
        "LEADERSHIP_LOST",
        `The file was sent, but whether it took effect is not known: ${error.message}`,
        { hint: "Look into the database before you restore again", cause: error },
      );
    }
  }
}

/** Whether the file certainly did not take effect, and will not. */
function isRefusal({ code, outcome }: DatabaseError, asked: number): boolean {
  if (outcome === "unknown") return false;
  // What was asked to take effect once may do so without anybody left to tell of it.
  const silent = ["RESTORE_UNKNOWN", "NO_LEADER", "CLOSED"].includes(code);
  return !silent || (code === "RESTORE_UNKNOWN" && asked === 1);
}

/** Whatever went wrong, the file was not yet asked to take effect. */
function unchanged(error: unknown): unknown {
  if (!(error instanceof DatabaseError) || error.outcome === "rejected") return error;
  return new DatabaseError(error.code, `${error.message}. Nothing was changed`, {
    outcome: "rejected",
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

function notEmpty(objects: number): DatabaseError {
  return new DatabaseError(
    "NOT_EMPTY",
    `The database is not empty: it holds ${objects} tables, indexes, views and triggers`,
    { hint: "To replace all of it, add --force" },
  );
}

function otherEncoding(path: string, own: string, theirs: string): DatabaseError {
  return new DatabaseError(
    "CONFIG",
    `${path} stores texts as ${own}, the cluster's database as ${theirs}`,
    { hint: "Begin a new cluster with it, by dqlite serve --from, or load a dump of it" },
  );
}
