/** How a database comes to be open: its handle, and what its pages should hold. */
import type { ReplicaHandle } from "../database/replica_handle.ts";
import type { Disk } from "../io/disk.ts";
import type { LogIndex } from "../raft/types.ts";
import type { DigestClaim, PageDigest } from "../wire/command.ts";
import type { ClaimPace } from "./claim_pace.ts";
import { databasePath, pageHashesPath } from "./database_paths.ts";
import { PageHashes } from "./page_hashes.ts";
import { ReplicatedDatabase } from "./replicated_database.ts";

/** What opening takes. */
export interface OpenDatabaseOptions {
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
  /** Opens the replication handle of a database file that exists. */
  readonly openHandle: (path: string) => ReplicaHandle;
  /** How often a leader tells the digest of a database. */
  readonly newClaimPace?: () => ClaimPace;
  /** The leader says to have held something else after an entry than this node. */
  readonly onDiverged?: (databaseId: number, claim: DigestClaim, own: PageDigest) => void;
}

/**
 * Opens the file of a database.
 *
 * @param completeIndex Up to here it is complete, at least.
 * @param mayRest Whether it may not have changed for long; see {@linkcode HashFile.load}.
 */
export function openDatabase(
  options: OpenDatabaseOptions,
  id: number,
  completeIndex: LogIndex,
  mayRest: boolean,
): ReplicatedDatabase {
  const { path, handle, hashes } = parts(options, id);
  const openedIndex = hashes.opened(handle, completeIndex, mayRest);
  return new ReplicatedDatabase(id, path, handle, hashes, openedIndex);
}

/**
 * Opens the file of a database as the entry at `index` made it.
 *
 * @param save Whether what its pages should hold is saved at once, or with its first checkpoint.
 */
export function openNewDatabase(
  options: OpenDatabaseOptions,
  id: number,
  index: LogIndex,
  save: boolean,
): ReplicatedDatabase {
  const { path, handle, hashes } = parts(options, id);
  if (save) hashes.created(handle, index);
  else hashes.learn(handle, index);
  return new ReplicatedDatabase(id, path, handle, hashes, index);
}

function parts(
  { disk, folder, openHandle, newClaimPace, onDiverged }: OpenDatabaseOptions,
  id: number,
) {
  const path = databasePath(folder, id);
  const hashes = new PageHashes(disk, pageHashesPath(folder, id), {
    ...newClaimPace && { claimPace: newClaimPace() },
    onDiverged: (claim, own) => onDiverged?.(id, claim, own),
  });
  return { path, hashes, handle: openHandle(path) };
}
