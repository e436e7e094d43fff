/** A backup of a cluster's database into a file, which appears whole and verified or not at all. */
import { openLibrary } from "../ffi/open.ts";
import { DatabaseError, type ErrorCode } from "./base/errors.ts";
import { BACKUP_ATTEMPTS_MAX } from "./base/limits.ts";
import type { NodeCalls, NodeStream } from "./client/node_calls.ts";
import { checkIntegrity, openDatabaseFile } from "./database/database_file.ts";
import { numberOf } from "./database/page_reader.ts";
import type { Disk } from "./io/disk.ts";
import { sha256 } from "./io/hash.ts";
import { NewFile } from "./io/new_file.ts";

/** What a backup needs. */
export interface BackupFileOptions {
  readonly disk: Disk;
  readonly calls: NodeCalls;
  /** Where the file is to be. */
  readonly path: string;
  /** Whether a file that is there already is replaced. */
  readonly replace: boolean;
  /** Whether SQLite looks for damage in the file before it gets its name. */
  readonly verify: boolean;
  /** The name of the database; undefined for the first one. */
  readonly database?: string | undefined;
  /** Whether the node may give what it has without asking a leader. */
  readonly stale: boolean;
  /** Told how much of the file is there. */
  readonly onProgress: (sizeBytes: number, wholeBytes: number) => void;
}

/** A backup that was made. */
export interface BackupSummary {
  /** The node it was taken from. */
  readonly url: string;
  /** The entry of the log up to which it holds everything. */
  readonly index: number;
  readonly pages: number;
  readonly sizeBytes: number;
}

const HASH_BYTES = 32;
/** What the next attempt may not meet again: a cut, another leader, a checkpoint in the way. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  "CONNECTION_LOST",
  "NOT_LEADER",
  "LEADERSHIP_LOST",
  "TRANSACTION_BUSY",
]);

/**
 * Takes a backup, from the first node that answers; again from the start when it breaks off.
 *
 * @throws {DatabaseError} `CONFIG` when the file is there already, `DISK`, `DISK_FULL`,
 * `CONNECTION_LOST`, `NO_LEADER`, `CORRUPT` when what arrived is damaged, `CLOSED` when it was
 * interrupted. No file is left behind.
 */
export async function writeBackup(options: BackupFileOptions): Promise<BackupSummary> {
  const { disk, path, replace } = options;
  requireAlone(disk, path);
  for (let attempt = 1;; attempt++) {
    using file = new NewFile(disk, path, { replace });
    try {
      return await writeOnce(options, file);
    } catch (error) {
      const passing = error instanceof DatabaseError && PASSING.has(error.code);
      if (!passing || attempt >= BACKUP_ATTEMPTS_MAX) throw error;
    }
  }
}

async function writeOnce(options: BackupFileOptions, file: NewFile): Promise<BackupSummary> {
  const { stale, database } = options;
  const named = database === undefined ? "" : `&db=${encodeURIComponent(database)}`;
  const stream = await options.calls.open(`cluster/backup?sha256${stale ? "&stale" : ""}${named}`);
  const index = header(stream, "x-dqlite-index");
  const pages = header(stream, "x-dqlite-pages");
  const sizeBytes = pages * header(stream, "x-dqlite-page-size");
  await receive(stream, file, sizeBytes, options.onProgress);
  file.sync();
  if (options.verify) await verify(options.disk, file.temporaryPath, pages);
  file.publish();
  return { url: stream.url, index, pages, sizeBytes };
}

/** Writes the pages, and holds them against the hash that follows them. */
async function receive(
  { url, parts }: NodeStream,
  file: NewFile,
  sizeBytes: number,
  onProgress: BackupFileOptions["onProgress"],
): Promise<void> {
  const hasher = sha256();
  const hash = new Uint8Array(HASH_BYTES);
  let received = 0;
  onProgress(0, sizeBytes);
  for await (const part of parts) {
    const pages = part.subarray(0, Math.max(0, sizeBytes - received));
    const rest = part.subarray(pages.length);
    if (pages.length > 0) {
      file.write(pages);
      hasher.update(pages);
    }
    const hashAt = received + pages.length - sizeBytes;
    if (hashAt + rest.length > HASH_BYTES) throw damaged(url, "there is more than it announced");
    if (rest.length > 0) hash.set(rest, hashAt);
    received += part.length;
    onProgress(Math.min(received, sizeBytes), sizeBytes);
  }
  if (received < sizeBytes + HASH_BYTES) {
    const message = `The backup from ${url} broke off after ${received} of ${sizeBytes} bytes`;
    throw new DatabaseError("CONNECTION_LOST", message);
  }
  if (hasher.digestHex() !== hash.toHex()) throw damaged(url, "its checksum does not fit");
}

async function verify(disk: Disk, path: string, pages: number): Promise<void> {
  using connection = openDatabaseFile(await openLibrary(), disk, path);
  const found = numberOf(connection, "PRAGMA page_count");
  if (found !== pages) {
    throw new DatabaseError("CORRUPT", `The backup has ${found} pages; ${pages} were announced`);
  }
  checkIntegrity(connection, "integrity_check");
}

/** SQLite would take a journal that lies beside the file for one of the new file. */
function requireAlone(disk: Disk, path: string): void {
  for (const journal of [`${path}-wal`, `${path}-journal`]) {
    if (!disk.exists(journal)) continue;
    throw new DatabaseError("CONFIG", `${journal} would be taken for a part of the backup`, {
      hint: "A program may use the database there; name another file, or remove both",
    });
  }
}

function header({ url, headers }: NodeStream, name: string): number {
  const text = headers.get(name);
  if (text !== null && /^\d{1,15}$/.test(text)) return Number(text);
  throw new DatabaseError("PROTOCOL", `${url} does not answer as a node does: no ${name}`);
}

function damaged(url: string, how: string): DatabaseError {
  return new DatabaseError("CORRUPT", `The backup from ${url} is damaged: ${how}`);
}
