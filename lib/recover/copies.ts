/**
 * Data folders for the members of a new cluster, made elsewhere: the survivors stay as they are.
 * All are made in a folder beside, which gets its name at the end; what an attempt that was cut off
 * left there is removed by the next one.
 */
import { DatabaseError } from "../base/errors.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import { folderPaths, parentFolder, writeIdentity } from "../io/folder.ts";
import type { Member } from "../raft/types.ts";
import { readCheckpoint, writeCheckpoint } from "../replica/checkpoint_record.ts";
import { readCatalog, writeCatalog } from "../replica/catalog.ts";
import { databasePath, databasesFolder } from "../replica/database_paths.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import type { UsableSurvivor } from "./choice.ts";
import { requireUnchanged } from "./in_place.ts";
import { type MakeOptions, writeNewLog } from "./new_log.ts";

const COPY_BYTES = 4 * 1024 * 1024;

/** A data folder that is to be made. */
export interface Target {
  readonly member: Member;
  /** Its path below the folder that all are made in; empty for that folder itself. */
  readonly name: string;
}

/**
 * Makes a data folder for each target under `to`, which is missing or empty.
 *
 * @throws {DatabaseError} `CONFIG` when `to` holds something; `DISK_FULL` when it would not fit;
 * `DATA_FOLDER` when the survivor changed meanwhile.
 */
export async function makeCopies(
  options: MakeOptions,
  survivor: UsableSurvivor,
  to: string,
  targets: readonly Target[],
): Promise<void> {
  const { disk } = options;
  if (disk.list(to).length > 0) {
    throw new DatabaseError("CONFIG", `${to} is not empty: it holds ${disk.list(to)[0]}`, {
      hint: "Name a folder that does not exist yet.",
    });
  }
  const partial = `${to}.partial`;
  disk.removeFolder(partial);
  requireSpace(disk, survivor, to, targets.length);
  disk.createFolder(partial);
  for (const { member, name } of targets) {
    const dir = name === "" ? partial : `${partial}/${name}`;
    disk.createFolder(dir);
    await makeOne(options, survivor, dir, member);
  }
  requireUnchanged(disk, survivor);
  disk.syncFolder(partial);
  disk.rename(partial, to);
  disk.syncFolder(parentFolder(to));
}

async function makeOne(
  options: MakeOptions,
  survivor: UsableSurvivor,
  dir: string,
  { id: nodeId }: Member,
): Promise<void> {
  const { disk, clock, clusterId } = options;
  await writeNewLog(options, folderPaths(dir).log, nodeId, survivor);
  if (!survivor.source.freshDatabase) {
    copyDatabases(disk, survivor.dir, dir);
    const { record } = readCheckpoint(disk, survivor.dir);
    writeCheckpoint(disk, dir, { ...record, diverged: undefined });
  }
  const createdAt = new Date(clock.wallMs()).toISOString();
  writeIdentity(disk, dir, { nodeId, clusterId, createdAt });
}

function copyDatabases(disk: Disk, from: string, to: string): void {
  const catalog = readCatalog(disk, from);
  if (catalog.databases.length > 1) disk.createFolder(databasesFolder(to));
  for (const { id } of catalog.databases) {
    copyFile(disk, databasePath(from, id), databasePath(to, id));
  }
  if (catalog.databases.length > 1) disk.syncFolder(databasesFolder(to));
  if (catalog.lastId > MAIN_DATABASE_ID) writeCatalog(disk, to, catalog);
}

function copyFile(disk: Disk, from: string, to: string): void {
  using source = closing(disk.open(from, { create: false, readOnly: true }));
  using target = closing(disk.open(to, { create: true }));
  for (let at = 0;;) {
    const bytes = source.file.read(at, COPY_BYTES);
    if (bytes.length === 0) break;
    target.file.write(at, bytes);
    at += bytes.length;
  }
  target.file.sync();
}

function closing(file: DiskFile): { readonly file: DiskFile } & Disposable {
  return { file, [Symbol.dispose]: () => file.close() };
}

function requireSpace(disk: Disk, survivor: UsableSurvivor, to: string, copies: number): void {
  const { source, dir } = survivor;
  const log = folderPaths(dir).log;
  const paths = disk.list(log).map((name) => `${log}/${name}`);
  if (!source.freshDatabase) {
    for (const { id } of readCatalog(disk, dir).databases) paths.push(databasePath(dir, id));
  }
  let bytes = 0;
  for (const path of paths) {
    using found = closing(disk.open(path, { create: false, readOnly: true }));
    bytes += found.file.size();
  }
  let parent = parentFolder(to);
  while (!disk.exists(parent) && parentFolder(parent) !== parent) parent = parentFolder(parent);
  const free = disk.freeBytes(parent);
  if (bytes * copies <= free) return;
  throw new DatabaseError(
    "DISK_FULL",
    `${copies} copies of ${bytes} bytes do not fit: ${parent} has ${free} bytes left`,
    { hint: "Nothing was changed. Name a folder on another disk." },
  );
}
