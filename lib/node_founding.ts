/**
 * What a new cluster begins with: who is in it, and an empty database, or what a file holds. All of
 * it is in the log before the folder belongs to the cluster, so that a start that was cut off is
 * begun anew.
 */
import type { Library } from "../ffi/library.ts";
import { openLibrary } from "../ffi/open.ts";
import { crc32c } from "./base/crc32c.ts";
import { DatabaseError } from "./base/errors.ts";
import { ENTRY_PAYLOAD_BYTES_MAX, LOG_SPACE_LEFT_BYTES } from "./base/limits.ts";
import type { Random } from "./base/random.ts";
import { createDatabaseImage } from "./database/create.ts";
import {
  checkIntegrity,
  type Encoding,
  formOf,
  openDatabaseFile,
} from "./database/database_file.ts";
import { PageReader } from "./database/page_reader.ts";
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import { openFolder } from "./io/folder.ts";
import { SegmentLog } from "./log/segment_log.ts";
import { initialConfiguration } from "./raft/configuration.ts";
import type { Entry, Member } from "./raft/types.ts";
import { chunkPagesMax, encodeChunk } from "./wire/chunk.ts";
import {
  encodeCreate,
  encodeFrames,
  FRAMES_HEADER_BYTES,
  MAIN_DATABASE_ID,
  MAIN_DATABASE_NAME,
} from "./wire/command.ts";

/** Where SQLite takes its locks: the page there holds nothing (file format, §1.3.3). */
const LOCK_OFFSET = 0x4000_0000;
/** Space that founding takes, in sizes of the file: log, WAL, database. */
const SIZES_NEEDED = 3;
/** Where the node is, until its next start says otherwise. */
const ADDRESS = { address: "127.0.0.1:9001", httpUrl: "http://127.0.0.1:8080" } as const;

/** A file that a database begins with: verified, and as of one moment. */
export class FirstContent implements Disposable {
  readonly path: string;
  readonly encoding: Encoding;
  readonly reader: PageReader;

  /**
   * @throws {DatabaseError} `CONFIG` when the file cannot be read, `CORRUPT` when it is damaged or
   * no database.
   */
  constructor(library: Library, disk: Disk, path: string) {
    this.path = path;
    const connection = openDatabaseFile(library, disk, path);
    try {
      checkIntegrity(connection, "integrity_check");
      this.encoding = formOf(connection).encoding;
    } catch (error) {
      connection.close();
      throw error;
    }
    this.reader = new PageReader(connection, "wal");
  }

  /** @throws {DatabaseError} `DISK_FULL` when the disk of a node's folder has no space for it. */
  requireSpace(disk: Disk, folder: string): void {
    const sizeBytes = this.reader.pages * this.reader.pageSizeBytes;
    const needed = SIZES_NEEDED * sizeBytes + LOG_SPACE_LEFT_BYTES;
    const free = disk.freeBytes(folder);
    if (free >= needed) return;
    throw new DatabaseError(
      "DISK_FULL",
      `A node that begins with ${this.path} takes ${needed} bytes of disk space; ${free} are free`,
    );
  }

  close(): void {
    this.reader.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Writes the first entries into an empty log, durably.
 *
 * @param content Undefined for an empty database.
 * @throws {DatabaseError} `DISK_FULL` when the log has no room.
 */
export async function writeFirstEntries(
  log: SegmentLog,
  member: Member,
  library: Library,
  content: FirstContent | undefined,
): Promise<void> {
  const append = (entries: readonly Entry[], term?: number) => {
    const hardState = term === undefined ? undefined : { term, votedFor: undefined };
    return new Promise<void>((resolve) => {
      log.append({ hardState, truncateFrom: undefined, entries }, resolve);
    });
  };
  await append(emptyDatabase(member, library, content), 1);
  if (content === undefined) return;
  let index = log.lastIndex;
  for (const payload of payloads(content.reader)) {
    if (!log.hasRoomFor(1, payload.length)) {
      throw new DatabaseError("DISK_FULL", `The disk is full: ${content.path} is not in the log`);
    }
    const checksum = crc32c(payload);
    await append([{ index: ++index, term: 1, type: "command", payload, checksum }]);
  }
}

/** What a folder needs to become that of a new cluster. */
export interface FoundFolderOptions {
  readonly disk: Disk;
  readonly dir: string;
  /** The database file. */
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  /** 32 hexadecimal digits, never used before. */
  readonly clusterId: string;
}

/**
 * Makes a folder that of the first node of a new cluster, which holds what a file does.
 *
 * @throws {DatabaseError} `DATA_FOLDER` when it is that of a node already, in use, or not empty;
 * like {@linkcode FirstContent}.
 */
export async function foundFolder(options: FoundFolderOptions): Promise<void> {
  const { disk, dir, path, clock, random, clusterId } = options;
  const library = await openLibrary();
  using content = new FirstContent(library, disk, path);
  const folder = openFolder(disk, dir, clock);
  try {
    if (folder.identity.clusterId !== undefined) throw notEmpty(dir, folder.identity.clusterId);
    content.requireSpace(disk, dir);
    folder.discardLog();
    const { nodeId } = folder.identity;
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    const files = { disk, folder: folder.logPath, clusterId, nodeId, create: true };
    const log = SegmentLog.open({ ...files, random, clock, onFatal: failed.reject });
    try {
      const member = { id: nodeId, ...ADDRESS };
      await Promise.race([failed.promise, writeFirstEntries(log, member, library, content)]);
    } finally {
      await Promise.race([
        failed.promise.catch(() => {}),
        new Promise<void>((resolve) => log.close(resolve)),
      ]);
    }
    folder.setClusterId(clusterId);
  } finally {
    folder.close();
  }
}

/** The refusal to found a cluster where there is one. */
export function notEmpty(dir: string, clusterId: string): DatabaseError {
  return new DatabaseError("DATA_FOLDER", `${dir} holds a node of cluster ${clusterId} already`, {
    hint: "A file is what a new cluster begins with: name an empty folder. " +
      "Into a cluster that runs, dqlite restore puts it",
  });
}

function emptyDatabase(
  member: Member,
  library: Library,
  content: FirstContent | undefined,
): Entry[] {
  const image = createDatabaseImage(
    library,
    content && { pageSize: content.reader.pageSizeBytes, encoding: content.encoding },
  );
  const payload = encodeCreate(MAIN_DATABASE_ID, MAIN_DATABASE_NAME, image);
  return [
    { index: 1, term: 1, type: "configuration", configuration: initialConfiguration([member]) },
    { index: 2, term: 1, type: "command", payload, checksum: crc32c(payload) },
  ];
}

/** All pages as the parts of one transaction. */
function* payloads(reader: PageReader): Generator<Uint8Array<ArrayBuffer>> {
  const { pageSizeBytes, pages: databasePages } = reader;
  const count = chunkPagesMax(ENTRY_PAYLOAD_BYTES_MAX - FRAMES_HEADER_BYTES, pageSizeBytes);
  const buffer = new Uint8Array(ENTRY_PAYLOAD_BYTES_MAX);
  const lockPage = LOCK_OFFSET / pageSizeBytes + 1;
  let before = 0;
  for (let part = reader.next(count * pageSizeBytes); part !== undefined;) {
    const numbers: number[] = [];
    const pages: Uint8Array[] = [];
    for (let at = 0; at < part.length; at += pageSizeBytes) {
      const number = before + at / pageSizeBytes + 1;
      if (number === lockPage) continue;
      numbers.push(number);
      pages.push(part.subarray(at, at + pageSizeBytes));
    }
    const first = before === 0;
    before += part.length / pageSizeBytes;
    const last = before === databasePages;
    const bytes = encodeChunk(buffer, FRAMES_HEADER_BYTES, {
      pageSizeBytes,
      numbers,
      pages,
      continues: !first,
      databasePages: last ? databasePages : undefined,
    });
    yield encodeFrames(buffer, bytes, { databaseId: MAIN_DATABASE_ID, first, last });
    part = reader.next(count * pageSizeBytes);
  }
}
