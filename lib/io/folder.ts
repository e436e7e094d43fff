/** The data folder of a node: whose it is, and that only one process uses it. */
import { dirname } from "node:path";
import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import { randomU53 } from "./entropy.ts";

/** The version of the folder that this program writes, and the newest that it knows. */
const FORMAT = 1;
const IDENTITY = "identity.json";
const IDENTITY_NEW = "identity.json.new";
const LOCK = "lock";
const LOG = "log";
const IDENTITY_BYTES_MAX = 4096;

/** Who the node of a folder is. */
export interface FolderIdentity {
  /** Drawn at random when the folder is made, and never used again. */
  readonly nodeId: number;
  /** 32 hexadecimal digits; undefined until the node founded or joined a cluster. */
  readonly clusterId: string | undefined;
  /** When the folder was made, for people to read. */
  readonly createdAt: string;
}

/** A data folder that this process holds. */
export interface DataFolder {
  readonly path: string;
  readonly logPath: string;
  readonly identity: FolderIdentity;
  /**
   * Binds the folder to a cluster, for good and durably.
   *
   * @param clusterId 32 hexadecimal digits.
   */
  setClusterId(clusterId: string): void;
  /** Removes the log of a start that never became part of a cluster. */
  discardLog(): void;
  /** Lets another process use the folder. */
  close(): void;
}

/**
 * Takes a data folder, and makes it when it is missing or empty.
 *
 * @throws {DatabaseError} `DATA_FOLDER` when it is no folder, not a node's, in use, read-only or
 * of a newer format; `CORRUPT` when its identity is damaged; `DISK` when the disk refuses.
 */
export function openFolder(disk: Disk, path: string, clock: Clock = systemClock): DataFolder {
  let unlock: (() => void) | undefined;
  try {
    makeFolder(disk, path);
    requireOurs(disk, path);
    unlock = disk.lock(`${path}/${LOCK}`);
    if (unlock === undefined) throw inUse(disk, path);
    return new OpenFolder(
      disk,
      path,
      readIdentity(disk, path) ?? create(disk, path, clock),
      unlock,
    );
  } catch (error) {
    unlock?.();
    throw error instanceof DatabaseError ? error : explain(path, error);
  }
}

class OpenFolder implements DataFolder {
  readonly path: string;
  readonly logPath: string;
  readonly #disk: Disk;
  readonly #unlock: () => void;
  #identity: FolderIdentity;

  constructor(disk: Disk, path: string, identity: FolderIdentity, unlock: () => void) {
    this.path = path;
    this.logPath = `${path}/${LOG}`;
    this.#disk = disk;
    this.#identity = identity;
    this.#unlock = unlock;
  }

  get identity(): FolderIdentity {
    return this.#identity;
  }

  setClusterId(clusterId: string): void {
    assert(/^[0-9a-f]{32}$/.test(clusterId), `Not a cluster id: ${clusterId}`);
    const before = this.#identity.clusterId;
    if (before === clusterId) return;
    assert(before === undefined, `a node of ${before} cannot become one of ${clusterId}`);
    const identity = { ...this.#identity, clusterId };
    writeIdentity(this.#disk, this.path, identity);
    this.#identity = identity;
  }

  discardLog(): void {
    assert(this.#identity.clusterId === undefined, "the log of a member is never discarded");
    const names = this.#disk.list(this.logPath);
    for (const name of names) this.#disk.remove(`${this.logPath}/${name}`);
    if (names.length > 0) this.#disk.syncFolder(this.logPath);
  }

  close(): void {
    this.#unlock();
  }
}

/** Makes the folder with its parents, durably. */
function makeFolder(disk: Disk, path: string): void {
  const missing: string[] = [];
  for (let at = path; !disk.exists(at) && dirname(at) !== at; at = dirname(at)) missing.push(at);
  if (missing.length === 0) return;
  disk.createFolder(path);
  for (const folder of missing) disk.syncFolder(dirname(folder));
}

/** A folder with files but without an identity belongs to somebody else. Nothing is written. */
function requireOurs(disk: Disk, path: string): void {
  const names = disk.list(path);
  if (names.includes(IDENTITY)) return;
  const foreign = names.find((name) =>
    name !== IDENTITY_NEW && name !== LOCK && !name.startsWith(`${LOCK}.`) && name !== "lost+found"
  );
  if (foreign === undefined) return;
  throw new DatabaseError(
    "DATA_FOLDER",
    `${path} is no data folder: it holds ${foreign}, but no ${IDENTITY}`,
    { hint: "Name an empty folder, or one that does not exist yet." },
  );
}

function create(disk: Disk, path: string, clock: Clock): FolderIdentity {
  const createdAt = new Date(clock.wallMs()).toISOString();
  const identity = { nodeId: randomU53(), clusterId: undefined, createdAt };
  writeIdentity(disk, path, identity);
  return identity;
}

/** Either the old identity or the new one is there, whatever happens. */
function writeIdentity(disk: Disk, path: string, identity: FolderIdentity): void {
  const temporary = `${path}/${IDENTITY_NEW}`;
  const bytes = new TextEncoder().encode(encode(identity));
  const file = disk.open(temporary, { create: true });
  try {
    file.truncate(0);
    file.write(0, bytes);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, `${path}/${IDENTITY}`);
  disk.syncFolder(path);
}

/** Where things are in a data folder, for those who only look. */
export function folderPaths(path: string): { identity: string; lock: string; log: string } {
  return { identity: `${path}/${IDENTITY}`, lock: `${path}/${LOCK}`, log: `${path}/${LOG}` };
}

/**
 * Who the node of a folder is; undefined when it is no data folder yet.
 *
 * @throws {DatabaseError} `CORRUPT` when the file is damaged, `DATA_FOLDER` when it is newer.
 */
export function readIdentity(disk: Disk, path: string): FolderIdentity | undefined {
  const name = `${path}/${IDENTITY}`;
  if (!disk.exists(name)) return undefined;
  const file = disk.open(name, { create: false });
  try {
    return decode(path, name, new TextDecoder().decode(file.read(0, IDENTITY_BYTES_MAX)));
  } finally {
    file.close();
  }
}

function encode(identity: FolderIdentity): string {
  const { nodeId, clusterId, createdAt } = identity;
  const checksum = checksumOf(identity);
  const fields = { format: FORMAT, nodeId, clusterId, createdAt, checksum };
  return `${JSON.stringify(fields, undefined, 2)}\n`;
}

function decode(path: string, name: string, text: string): FolderIdentity {
  let fields: Record<string, unknown> = {};
  try {
    fields = { ...JSON.parse(text) };
  } catch {
    // No field is there then, which the check below tells.
  }
  const { format, nodeId, clusterId, createdAt, checksum } = fields;
  if (typeof format === "number" && format > FORMAT) {
    throw new DatabaseError(
      "DATA_FOLDER",
      `${path} has the format ${format}, newer than ${FORMAT}, the newest known here`,
      { hint: "Start the newer version of the program." },
    );
  }
  const whole = format === FORMAT && typeof nodeId === "number" && typeof createdAt === "string" &&
    (clusterId === undefined || typeof clusterId === "string");
  if (whole) {
    const identity = { nodeId, clusterId, createdAt };
    if (checksum === checksumOf(identity)) return identity;
  }
  throw new DatabaseError(
    "CORRUPT",
    `${name} is damaged at offset 0: expected the identity of a node with its checksum`,
  );
}

function checksumOf({ nodeId, clusterId, createdAt }: FolderIdentity): string {
  const text = JSON.stringify([FORMAT, nodeId, clusterId ?? null, createdAt]);
  return crc32c(new TextEncoder().encode(text)).toString(16).padStart(8, "0");
}

function inUse(disk: Disk, path: string): DatabaseError {
  const owner = lockOwner(disk, path);
  return new DatabaseError("DATA_FOLDER", `${path} is in use by ${owner}`, {
    hint: "Every node needs a data folder of its own.",
  });
}

/** `process 77`, or `another process`: who holds the folder's lock is a courtesy only. */
export function lockOwner(disk: Disk, path: string): string {
  try {
    const file = disk.open(`${path}/${LOCK}`, { create: false });
    const pid = new TextDecoder().decode(file.read(0, 20)).trim();
    file.close();
    if (/^\d+$/.test(pid)) return `process ${pid}`;
  } catch {
    // Nobody wrote it yet.
  }
  return "another process";
}

function explain(path: string, error: unknown): DatabaseError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const details = { cause: error, outcome: "rejected" } as const;
  if (code === "ENOTDIR" || code === "EEXIST") {
    return new DatabaseError("DATA_FOLDER", `${path} is not a folder`, details);
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    const message = `${path} cannot be written: ${messageOf(error)}`;
    return new DatabaseError("DATA_FOLDER", message, details);
  }
  return new DatabaseError("DISK", `${path} cannot be opened: ${messageOf(error)}`, details);
}
