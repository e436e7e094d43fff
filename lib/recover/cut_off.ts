import type { Disk } from "../io/disk.ts";
import { folderPaths } from "../io/folder.ts";
import { newestSlot, readSlots } from "../log/slots.ts";

/** Where the log of a new cluster is made, beside the one that it replaces. */
export function newLogPath(logPath: string): string {
  return `${logPath}.new`;
}

/**
 * Whether a recovery of the folder was cut off when all was made already.
 *
 * @param clusterId The cluster that the folder names.
 */
export function isCutOff(disk: Disk, dir: string, clusterId: string): boolean {
  const slot = newestSlot(readSlots(disk, newLogPath(folderPaths(dir).log)));
  return slot?.owner.clusterId === clusterId;
}
