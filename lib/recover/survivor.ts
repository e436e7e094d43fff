/** The data folder of a node that is down, read without changing anything. */
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import { ReadOnlyDisk } from "../io/disk_read_only.ts";
import { folderPaths, lockOwner, readIdentity } from "../io/folder.ts";
import type { LogPoint } from "../log/batch.ts";
import type { EntryTable } from "../log/entry_table.ts";
import { inspectLog } from "../log/inspect.ts";
import type { Finding } from "../log/inventory.ts";
import { recoverLog } from "../log/recovery.ts";
import type { SegmentFiles } from "../log/segment_files.ts";
import { newestSlot } from "../log/slots.ts";
import type { Configuration, NodeId, Term } from "../raft/types.ts";
import { readCheckpoint } from "../replica/checkpoint_record.ts";
import { readCatalog } from "../replica/catalog.ts";
import { databasePath } from "../replica/database_paths.ts";
import type { LogOwner } from "../wire/segment_header.ts";
import { isCutOff } from "./cut_off.ts";
import { findSource, type Source } from "./source.ts";

/** What a node would say if it were asked for its vote. */
export interface Voter {
  readonly last: LogPoint;
  readonly configuration: Configuration;
}

/** See the file comment. Its log is open until {@linkcode Survivor.close}. */
export interface Survivor {
  readonly dir: string;
  readonly nodeId: NodeId;
  readonly clusterId: string;
  /** Places where a file is not what it should be. */
  readonly problems: readonly Finding[];
  /** Set when log, term and vote are certain and whole: nothing it acknowledged is missing. */
  readonly voter: Voter | undefined;
  /** Its log was cut at damage once, and no leader has made that good. */
  readonly recovering: boolean;
  /** What a cluster can be made of; the error says why nothing can be. */
  readonly source: Source | DatabaseError;
  /** All entries that can be read; more than one table when damage hides what is between. */
  readonly tables: readonly EntryTable[];
  readonly files: SegmentFiles;
  /** The highest term that the files tell of. */
  readonly term: Term;
  close(): void;
}

/**
 * Reads a folder.
 *
 * @throws {DatabaseError} `DATA_FOLDER` when it is none, in use, of no cluster, of a newer format,
 * or in the middle of another recovery; `CORRUPT` when it does not tell whose it is.
 */
export function readSurvivor(given: Disk, dir: string): Survivor {
  const disk = new ReadOnlyDisk(given);
  const { lock, log: logPath } = folderPaths(dir);
  if (disk.isLocked(lock)) {
    const message = `${dir} is in use by ${lockOwner(disk, dir)}`;
    throw new DatabaseError("DATA_FOLDER", message, { hint: "Stop the node first." });
  }
  const { identity, problems } = readIdentity(disk, dir);
  if (identity?.clusterId === undefined) throw notAMember(dir);
  const owner = { clusterId: identity.clusterId, nodeId: identity.nodeId };
  if (isCutOff(disk, dir, owner.clusterId)) throw unfinished(dir);
  const checkpoint = attempt(() => readCheckpoint(disk, dir));
  const log = inspectLog(disk, logPath, owner);
  try {
    const catalog = attempt(() => readCatalog(disk, dir));
    const ids = catalog instanceof DatabaseError ? [] : catalog.databases.map(({ id }) => id);
    const hasDatabase = ids.length > 0 && ids.every((id) => disk.exists(databasePath(dir, id)));
    const record = checkpoint instanceof DatabaseError ? checkpoint : checkpoint.record;
    const { tables, files, slots, hardState } = log;
    const recorded = checkpoint instanceof DatabaseError ? [] : checkpoint.problems;
    const terms = [hardState?.term, newestSlot(slots)?.hardState.term];
    return {
      dir,
      ...owner,
      problems: [...problems, ...recorded, ...log.problems],
      voter: readVoter(disk, logPath, owner),
      recovering: newestSlot(slots)?.recovering === true,
      source: attempt(() => findSource({ dir, tables, checkpoint: record, hasDatabase })),
      tables,
      files,
      term: Math.max(1, ...tables.map(({ last }) => last.term), ...terms.map((term) => term ?? 0)),
      close: () => files.close(),
    };
  } catch (error) {
    log.files.close();
    throw error;
  }
}

/** What the node itself would begin with; undefined when it would not start, or not vote. */
function readVoter(disk: Disk, logPath: string, owner: LogOwner): Voter | undefined {
  const recovered = attempt(() => recoverLog(disk, logPath, owner));
  if (recovered === undefined || recovered instanceof DatabaseError) return undefined;
  if (recovered.givenUp !== undefined || recovered.newestSlot.recovering) return undefined;
  const { last, configuration } = recovered.table;
  return { last, configuration };
}

function attempt<T>(read: () => T): T | DatabaseError {
  try {
    return read();
  } catch (error) {
    if (error instanceof DatabaseError && error.code === "CORRUPT") return error;
    if (error instanceof DatabaseError) throw error;
    throw new DatabaseError("DISK", messageOf(error), { cause: error, outcome: "rejected" });
  }
}

function notAMember(dir: string): DatabaseError {
  return new DatabaseError("DATA_FOLDER", `${dir} is not the data folder of a node in a cluster`, {
    hint: "Name the folder that a node was started with by --dir.",
  });
}

function unfinished(dir: string): DatabaseError {
  return new DatabaseError("DATA_FOLDER", `A recovery of ${dir} was cut off before its end`, {
    hint: `Finish it first: dqlite recover --dir ${dir}`,
  });
}
