/** A data folder as it lies on disk, verified and told as plain data; nothing is changed. */
import { DatabaseError } from "./base/errors.ts";
import type { Disk } from "./io/disk.ts";
import { ReadOnlyDisk } from "./io/disk_read_only.ts";
import { type FolderIdentity, folderPaths, lockOwner, readIdentity } from "./io/folder.ts";
import { copyPath } from "./io/twin_file.ts";
import { readEntry } from "./log/entry_reader.ts";
import type { EntryTable } from "./log/entry_table.ts";
import { inspectLog, type LogReport } from "./log/inspect.ts";
import { recoverLog } from "./log/recovery.ts";
import { SLOT_NAMES } from "./log/slots.ts";
import type { Configuration, Entry, HardState, LogIndex, Term } from "./raft/types.ts";
import { SEGMENT_DATA_AT } from "./wire/segment_header.ts";
import {
  checkpointPath,
  type CheckpointRecord,
  readCheckpoint,
} from "./replica/checkpoint_record.ts";

/** A place in a file, and what should have been there. */
export interface Problem {
  readonly path: string;
  readonly offset: number;
  readonly expected: string;
}

/** One of the two files of the hard state. */
export interface SlotSummary {
  readonly name: string;
  readonly state: "valid" | "absent" | "damaged" | "newer" | "unreadable";
  readonly writes?: number;
  readonly hardState?: HardState;
  readonly firstSegment?: number;
  readonly activeSegment?: number;
  /** The log was cut at damage, and that was not made good. */
  readonly recovering?: boolean;
}

/** One file of the log. */
export interface SegmentSummary {
  readonly sequence: number;
  readonly state: "closed" | "open" | "torn" | "damaged" | "unused" | "obsolete";
  /** The first entry that was written into it; missing when there is no header. */
  readonly firstIndex?: LogIndex;
  readonly salt?: number;
  readonly recordBytes: number;
  readonly sizeBytes: number;
}

/** Consecutive entries of one term. */
export interface TermRange {
  readonly term: Term;
  readonly first: LogIndex;
  readonly last: LogIndex;
  readonly bodyBytes: number;
}

/** An entry that is a configuration. */
export interface ConfigurationSummary {
  readonly index: LogIndex;
  readonly term: Term;
  readonly configuration: Configuration;
}

/** What is in a data folder. */
export interface FolderReport {
  readonly path: string;
  readonly identity: FolderIdentity | undefined;
  /** The process that uses the folder at the moment. */
  readonly usedBy: string | undefined;
  readonly checkpoint: CheckpointRecord | undefined;
  readonly streamHardState: HardState | undefined;
  readonly slots: readonly SlotSummary[];
  readonly segments: readonly SegmentSummary[];
  /** What comes before the first entry. */
  readonly base: ConfigurationSummary | undefined;
  readonly ranges: readonly TermRange[];
  readonly configurations: readonly ConfigurationSummary[];
  /** Why a start would refuse the log, or what it would do first. */
  readonly start: { readonly possible: boolean; readonly message: string };
  readonly problems: readonly Problem[];
}

/** A data folder that was looked at. */
export interface FolderInspection {
  readonly report: FolderReport;
  /** Reads every entry of the log back from its file, in order. */
  forEachEntry(visit: (entry: Entry, bodyBytes: number) => void): void;
  close(): void;
}

/** A running node may write while it is read: what looks wrong is read again. */
const ATTEMPTS_MAX = 3;

/**
 * Reads and verifies all of a node's files except its database.
 *
 * @throws {DatabaseError} `DATA_FOLDER` when there is no data folder at `path`.
 */
export function inspectFolder(given: Disk, path: string): FolderInspection {
  const disk = new ReadOnlyDisk(given);
  const names = folderPaths(path);
  if (!disk.exists(names.identity) && !disk.exists(copyPath(names.identity))) {
    throw new DatabaseError("DATA_FOLDER", `There is no data folder at ${path}`, {
      hint: "Name the folder that a node was started with by --dir.",
    });
  }
  for (let attempt = 1;; attempt++) {
    const problems: Problem[] = [];
    const usedBy = disk.isLocked(names.lock) ? lockOwner(disk, path) : undefined;
    const identity = attemptTo(
      () => {
        const found = readIdentity(disk, path);
        problems.push(...found.problems);
        return found.identity;
      },
      problems,
      { path: names.identity, expected: "the identity of a node" },
    );
    const checkpoint = attemptTo(
      () => {
        const found = readCheckpoint(disk, path);
        problems.push(...found.problems);
        return disk.exists(checkpointPath(path)) ? found.record : undefined;
      },
      problems,
      { path: checkpointPath(path), expected: "the record of the last checkpoint" },
    );
    const clusterId = identity?.clusterId;
    const owner = clusterId === undefined ? undefined : { clusterId, nodeId: identity!.nodeId };
    const log = inspectLog(disk, names.log, owner);
    problems.push(...log.problems);
    const start = identity === undefined
      ? { possible: false, message: `${names.identity} is damaged` }
      : startOf(disk, names.log, owner);
    const good = problems.length === 0 && start.possible;
    if (!good && usedBy !== undefined && attempt < ATTEMPTS_MAX) continue;
    return {
      report: { path, identity, usedBy, checkpoint, start, problems, ...summary(log) },
      forEachEntry: (visit) => tellEntries(log, visit),
      close: () => log.files.close(),
    };
  }
}

function attemptTo<T>(
  read: () => T | undefined,
  problems: Problem[],
  { path, expected }: { readonly path: string; readonly expected: string },
): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const what = error.code === "DATA_FOLDER" ? "in a format known here" : "with its checksum";
    problems.push({ path, offset: 0, expected: `${expected} ${what}` });
    return undefined;
  }
}

/** What the real start says of the log. */
function startOf(
  disk: Disk,
  folder: string,
  owner: { clusterId: string; nodeId: number } | undefined,
): FolderReport["start"] {
  if (owner === undefined) return { possible: true, message: "founds a cluster or joins one" };
  try {
    const recovered = recoverLog(disk, folder, owner);
    if (recovered === undefined) return { possible: false, message: "the log is missing" };
    const { verdict, torn, givenUp, newestSlot } = recovered;
    if (givenUp !== undefined) {
      const { path, offset } = givenUp.finding;
      const what = `entries after ${recovered.table.lastIndex}, from ${path}, offset ${offset}`;
      return { possible: true, message: `gives up ${what}, and gets them from the leader` };
    }
    if (newestSlot.recovering) {
      return {
        possible: true,
        message: "goes on recovering: a leader has to send what is missing",
      };
    }
    if (verdict === "cut") {
      return { possible: true, message: `cuts the torn batch at offset ${torn?.offset}` };
    }
    const repairs = verdict === "repair_slot";
    return {
      possible: true,
      message: repairs ? "repairs a file of the hard state" : "goes on as it is",
    };
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    return { possible: false, message: error.message };
  }
}

function summary(log: LogReport): Pick<
  FolderReport,
  "streamHardState" | "slots" | "segments" | "base" | "ranges" | "configurations"
> {
  const configurations: ConfigurationSummary[] = [];
  for (const table of log.tables) {
    table.forEach((index, term, _, configuration) => {
      if (configuration !== undefined) configurations.push({ index, term, configuration });
    });
  }
  const [table] = log.tables;
  return {
    streamHardState: log.hardState,
    slots: log.slots.map((slot, at) => {
      const name = SLOT_NAMES[at]!;
      if (typeof slot === "string") return { name, state: slot };
      const { hardState, firstSegment, activeSegment, recovering } = slot;
      const writes = slot.sequence;
      const segments = { firstSegment, activeSegment };
      return { name, state: "valid", writes, hardState, ...segments, recovering };
    }),
    segments: log.segments.map(({ sequence, state, header, end }) => {
      if (header === undefined) return { sequence, state, recordBytes: 0, sizeBytes: 0 };
      const { salt, sizeBytes, previousIndex } = header;
      const recordBytes = end - SEGMENT_DATA_AT;
      return { sequence, state, firstIndex: previousIndex + 1, salt, recordBytes, sizeBytes };
    }),
    base: table === undefined || table.base.index === 0 ? undefined : {
      index: table.base.index,
      term: table.base.term,
      configuration: table.baseConfiguration,
    },
    ranges: log.tables.flatMap(rangesOf),
    configurations,
  };
}

function rangesOf(table: EntryTable): TermRange[] {
  const ranges: { term: Term; first: LogIndex; last: LogIndex; bodyBytes: number }[] = [];
  table.forEach((index, term, bodyBytes) => {
    const range = ranges.at(-1);
    if (range === undefined || range.term !== term) {
      ranges.push({ term, first: index, last: index, bodyBytes });
    } else {
      range.last = index;
      range.bodyBytes += bodyBytes;
    }
  });
  return ranges;
}

function tellEntries(
  { tables, files }: LogReport,
  visit: (entry: Entry, bodyBytes: number) => void,
): void {
  for (const table of tables) {
    for (let index = table.firstIndex; index <= table.lastIndex; index++) {
      visit(readEntry(table, files, index), table.bodySizeBytes(index));
    }
  }
}
