/** The data folder of a node: whose it is, and that only one process uses it. */
import { dirname } from "node:path";
import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import { randomU53 } from "./entropy.ts";
import { copyPath, Damage, mendTwin, readTwin, type TwinProblem, writeTwin } from "./twin_file.ts";

/** The version of the folder that this program writes, and the newest that it knows. */
const FORMAT = 1;
const IDENTITY = "identity.json";
const LOCK = "lock";
const LOG = "log";
const CHECKSUM_KEY = '"checksum"';

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
  /** What was wrong with the files of the identity, and was mended. */
  readonly mended: readonly TwinProblem[];
  /**
   * Binds the folder to a cluster, for good and durably.
   *
   * @param clusterId 32 hexadecimal digits.
   */
  setClusterId(clusterId: string): void;
  /** Makes the folder one of another cluster, durably: the end of a recovery. */
  replaceClusterId(clusterId: string): void;
  /** Removes the log of a start that never became part of a cluster. */
  discardLog(): void;
  /** Lets another process use the folder. */
  close(): void;
}

/**
 * Takes a data folder, and makes it when it is missing or empty. One damaged file of its identity
 * is mended.
 *
 * @throws {DatabaseError} `DATA_FOLDER` when it is no folder, not a node's, in use, read-only or
 * of a newer format; `CORRUPT` when both files of its identity are damaged; `DISK` when the disk
 * refuses.
 */
export function openFolder(disk: Disk, path: string, clock: Clock = systemClock): DataFolder {
  let unlock: (() => void) | undefined;
  try {
    makeFolder(disk, path);
    requireOurs(disk, path);
    unlock = disk.lock(`${path}/${LOCK}`);
    if (unlock === undefined) throw inUse(disk, path);
    const { value, problems } = mendTwin(disk, `${path}/${IDENTITY}`, decodeFor(path));
    const identity = value ?? create(disk, path, clock);
    return new OpenFolder(disk, path, { identity, mended: problems }, unlock);
  } catch (error) {
    unlock?.();
    throw error instanceof DatabaseError ? error : explain(path, error);
  }
}

class OpenFolder implements DataFolder {
  readonly path: string;
  readonly logPath: string;
  readonly mended: readonly TwinProblem[];
  readonly #disk: Disk;
  readonly #unlock: () => void;
  #identity: FolderIdentity;

  constructor(
    disk: Disk,
    path: string,
    found: Pick<DataFolder, "identity" | "mended">,
    unlock: () => void,
  ) {
    this.path = path;
    this.logPath = `${path}/${LOG}`;
    this.mended = found.mended;
    this.#disk = disk;
    this.#identity = found.identity;
    this.#unlock = unlock;
  }

  get identity(): FolderIdentity {
    return this.#identity;
  }

  setClusterId(clusterId: string): void {
    const before = this.#identity.clusterId;
    if (before === clusterId) return;
    assert(before === undefined, `a node of ${before} cannot become one of ${clusterId}`);
    this.replaceClusterId(clusterId);
  }

  replaceClusterId(clusterId: string): void {
    assert(/^[0-9a-f]{32}$/.test(clusterId), `Not a cluster id: ${clusterId}`);
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
  if (names.includes(IDENTITY) || names.includes(copyPath(IDENTITY))) return;
  const foreign = names.find((name) =>
    !name.startsWith(IDENTITY) && name !== LOCK && !name.startsWith(`${LOCK}.`) &&
    name !== "lost+found"
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

/** Says, durably, whose folder it is. */
export function writeIdentity(disk: Disk, path: string, identity: FolderIdentity): void {
  writeTwin(disk, `${path}/${IDENTITY}`, encode(identity));
}

/** The folder that a path lies in. */
export function parentFolder(path: string): string {
  return dirname(path);
}

/** Where things are in a data folder, for those who only look. */
export function folderPaths(path: string): { identity: string; lock: string; log: string } {
  return { identity: `${path}/${IDENTITY}`, lock: `${path}/${LOCK}`, log: `${path}/${LOG}` };
}

/**
 * Who the node of a folder is, and what is wrong with the two files that say so; no identity when
 * it is no data folder yet.
 *
 * @throws {DatabaseError} `CORRUPT` when both files are damaged, `DATA_FOLDER` when one is newer.
 */
export function readIdentity(
  disk: Disk,
  path: string,
): {
  readonly identity: FolderIdentity | undefined;
  readonly problems: readonly TwinProblem[];
} {
  const { value, problems } = readTwin(disk, `${path}/${IDENTITY}`, decodeFor(path));
  return { identity: value, problems };
}

/** JSON, of which the last field is the checksum of all that stands before it. */
function encode({ nodeId, clusterId, createdAt }: FolderIdentity): string {
  const fields = { format: FORMAT, nodeId, clusterId, createdAt, checksum: "" };
  const text = `${JSON.stringify(fields, undefined, 2)}\n`;
  return text.replace(`${CHECKSUM_KEY}: ""`, `${CHECKSUM_KEY}: "${checksumOf(text)}"`);
}

function decodeFor(folder: string): (path: string, text: string) => FolderIdentity | Damage {
  return (_, text) => {
    const at = text.lastIndexOf(CHECKSUM_KEY);
    if (at < 0) return new Damage(0, "the identity of a node with its checksum");
    const expected = `${CHECKSUM_KEY}: "${checksumOf(text)}"\n}\n`;
    if (text.slice(at) !== expected) return new Damage(at, "the checksum of what stands before");
    const fields = JSON.parse(text) as FolderIdentity & { readonly format: number };
    if (fields.format > FORMAT) {
      throw new DatabaseError(
        "DATA_FOLDER",
        `${folder} has the format ${fields.format}, newer than ${FORMAT}, the newest known here`,
        { hint: "Start the newer version of the program." },
      );
    }
    const { nodeId, clusterId, createdAt } = fields;
    return { nodeId, clusterId, createdAt };
  };
}

function checksumOf(text: string): string {
  const covered = text.slice(0, text.lastIndexOf(CHECKSUM_KEY));
  return crc32c(new TextEncoder().encode(covered)).toString(16).padStart(8, "0");
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
