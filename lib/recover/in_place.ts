/**
 * A survivor's own folder begins the new cluster. The new log is made beside the old one:
 *
 * ```text
 *   log.new is complete ──▶ the identity names the new cluster ──▶ log becomes log.old-1
 *     ──▶ log.new becomes log
 * ```
 *
 * Until the identity is written the folder is what it was, and what lies in `log.new` counts for
 * nothing. From then on only what follows can happen, and another attempt takes it to its end.
 */
import { DatabaseError } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import { openFolder, readIdentity } from "../io/folder.ts";
import { removeCatalog } from "../replica/catalog.ts";
import { readCheckpoint, writeCheckpoint } from "../replica/checkpoint_record.ts";
import { compareLogs, type UsableSurvivor } from "./choice.ts";
import { isCutOff, newLogPath } from "./cut_off.ts";
import { type MakeOptions, writeNewLog } from "./new_log.ts";
import { readSurvivor } from "./survivor.ts";

/**
 * Takes a recovery of the folder that was cut off to its end.
 *
 * @returns Where the old log is kept, undefined when no recovery was cut off.
 * @throws {DatabaseError} `DATA_FOLDER` when the folder is in use; `DISK` when the disk refuses.
 */
export function finishRecovery(disk: Disk, dir: string): string | undefined {
  const { identity } = readIdentity(disk, dir);
  if (identity?.clusterId === undefined) return undefined;
  if (!isCutOff(disk, dir, identity.clusterId)) return undefined;
  const folder = openFolder(disk, dir);
  try {
    return swapLogs(disk, dir, folder.logPath);
  } finally {
    folder.close();
  }
}

/**
 * Makes the folder of `survivor` one of a new cluster.
 *
 * @returns Where the old log is kept.
 * @throws {DatabaseError} `DATA_FOLDER` when the folder is in use, or changed since it was read;
 * `DISK` when the disk refuses.
 */
export async function recoverInPlace(
  options: MakeOptions,
  survivor: UsableSurvivor,
): Promise<string> {
  const { disk, clock, clusterId } = options;
  const { dir, nodeId, source } = survivor;
  requireUnchanged(disk, survivor);
  const folder = openFolder(disk, dir, clock);
  try {
    const newPath = newLogPath(folder.logPath);
    for (const name of disk.list(newPath)) disk.remove(`${newPath}/${name}`);
    await writeNewLog(options, newPath, nodeId, survivor);
    disk.syncFolder(dir);
    // With the old log it would still be right: a start applies everything from the first entry on.
    if (source.freshDatabase) {
      writeCheckpoint(disk, dir, { completeIndex: 0, fuzzyIndex: 0 });
      removeCatalog(disk, dir);
    } else if (source.diverged !== undefined) {
      // Nobody is left whose pages could take the place of these.
      const { record } = readCheckpoint(disk, dir);
      writeCheckpoint(disk, dir, { ...record, diverged: undefined });
    }
    folder.replaceClusterId(clusterId);
    return swapLogs(disk, dir, folder.logPath);
  } finally {
    folder.close();
  }
}

/** @throws {DatabaseError} when a node used the folder after it was read. */
export function requireUnchanged(disk: Disk, { dir, source: { last } }: UsableSurvivor): void {
  const again = readSurvivor(disk, dir);
  again.close();
  const { source } = again;
  if (!(source instanceof DatabaseError) && compareLogs(source.last, last) === 0) return;
  throw new DatabaseError("DATA_FOLDER", `${dir} changed while it was read: a node used it`, {
    hint: "Stop every node of the old cluster, then try again. Nothing was changed.",
  });
}

function swapLogs(disk: Disk, dir: string, logPath: string): string {
  let oldPath = freePath(disk, dir, `${logPath}.old`, 0);
  if (disk.list(logPath).length > 0) {
    oldPath = freePath(disk, dir, `${logPath}.old`, 1);
    disk.rename(logPath, oldPath);
  }
  disk.rename(newLogPath(logPath), logPath);
  disk.syncFolder(dir);
  return oldPath;
}

/** The first name that is free, or the one before it. */
function freePath(disk: Disk, dir: string, prefix: string, step: 0 | 1): string {
  const names = disk.list(dir).map((name) => `${dir}/${name}`);
  let number = 1;
  while (names.includes(`${prefix}-${number}`)) number++;
  return `${prefix}-${number - 1 + step}`;
}
