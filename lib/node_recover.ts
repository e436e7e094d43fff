/**
 * Brings a data folder back whose log is damaged and whose cluster cannot help: what can be read
 * begins a new cluster, of which this node is the only voter. The old log is kept beside.
 */
import { DatabaseError } from "./base/errors.ts";
import { LOG_BATCH_BYTES_MAX } from "./base/limits.ts";
import type { Random } from "./base/random.ts";
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import { type DataFolder, openFolder } from "./io/folder.ts";
import { readEntry } from "./log/entry_reader.ts";
import type { EntryTable } from "./log/entry_table.ts";
import { inspectLog, type LogReport } from "./log/inspect.ts";
import type { Finding } from "./log/inventory.ts";
import { SegmentLog } from "./log/segment_log.ts";
import { newestSlot } from "./log/slots.ts";
import { initialConfiguration } from "./raft/configuration.ts";
import type { Entry, LogIndex, Member, NodeId, Term } from "./raft/types.ts";
import {
  type CheckpointRecord,
  readCheckpoint,
  writeCheckpoint,
} from "./replica/checkpoint_record.ts";
import { CHAIN_START, chainEquals } from "./wire/chain.ts";

/** What recovering a folder needs. */
export interface RecoverOptions {
  readonly disk: Disk;
  /** The data folder; no node may use it. */
  readonly dir: string;
  readonly clock: Clock;
  readonly random: Random;
  /** 32 hexadecimal digits, never used before. */
  readonly newClusterId: string;
}

/** What a folder still has, and what not. */
export interface RecoveryPlan {
  readonly nodeId: NodeId;
  readonly clusterId: string;
  readonly problems: readonly Finding[];
  /** The database file holds every entry up to here. */
  readonly completeIndex: LogIndex;
  /** The entries `[first, last]` are kept; `last` is `first - 1` when there are none. */
  readonly kept: { readonly first: LogIndex; readonly last: LogIndex };
  /** Entries that were there, as far as the rest of the log shows, and are given up. */
  readonly lost: { readonly first: LogIndex; readonly last: LogIndex } | undefined;
}

/** A folder that was looked at, and is locked until it is closed. */
export class FolderRecovery implements Disposable {
  readonly plan: RecoveryPlan;
  readonly #options: RecoverOptions;
  readonly #folder: DataFolder;
  readonly #report: LogReport;
  readonly #source: Source;

  private constructor(
    options: RecoverOptions,
    folder: DataFolder,
    found: { readonly report: LogReport; readonly source: Source; readonly plan: RecoveryPlan },
  ) {
    this.#options = options;
    this.#folder = folder;
    this.#report = found.report;
    this.#source = found.source;
    this.plan = found.plan;
  }

  /**
   * Locks a folder and finds out what is left of it. Only a damaged file of the identity is mended,
   * and a recovery that was cut off is taken to its end.
   *
   * @throws {DatabaseError} `DATA_FOLDER` when it is none, in use, or of no cluster; `CORRUPT` when
   * nothing can be made of what is left.
   */
  static open(options: RecoverOptions): FolderRecovery {
    const { disk, dir } = options;
    if (disk.list(dir).length === 0) throw notAMember(dir);
    const folder = openFolder(disk, dir, options.clock);
    try {
      const { clusterId, nodeId } = folder.identity;
      if (clusterId === undefined) throw notAMember(dir);
      const { logPath } = folder;
      if (disk.list(logPath).length === 0 && disk.list(newLogPath(logPath)).length > 0) {
        disk.rename(newLogPath(logPath), logPath);
        disk.syncFolder(dir);
      }
      const report = inspectLog(disk, logPath, undefined);
      try {
        const source = findSource(report.tables, checkpointOf(options), dir);
        const problems = report.problems;
        const { completeIndex, kept, lost } = source;
        const plan = { nodeId, clusterId, problems, completeIndex, kept, lost };
        return new FolderRecovery(options, folder, { report, source, plan });
      } catch (error) {
        report.files.close();
        throw error;
      }
    } catch (error) {
      folder.close();
      throw error;
    }
  }

  /**
   * Makes the new log, durably, and only then puts it in the place of the old one.
   *
   * @returns Where the old log is kept.
   */
  async run(): Promise<string> {
    const { disk, dir, newClusterId } = this.#options;
    const { logPath } = this.#folder;
    const newPath = newLogPath(logPath);
    for (const name of disk.list(newPath)) disk.remove(`${newPath}/${name}`);
    await this.#writeLog(newPath);
    const oldPath = freePath(disk, dir, `${logPath}.damaged`);
    if (this.#source.freshDatabase) {
      writeCheckpoint(disk, dir, { completeIndex: 0, fuzzyIndex: 0 });
    }
    disk.rename(logPath, oldPath);
    disk.rename(newPath, logPath);
    disk.syncFolder(dir);
    this.#folder.replaceClusterId(newClusterId);
    return oldPath;
  }

  close(): void {
    this.#report.files.close();
    this.#folder.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #writeLog(path: string): Promise<void> {
    const { disk, clock, random, newClusterId: clusterId } = this.#options;
    const { nodeId } = this.plan;
    const failed = Promise.withResolvers<never>();
    const log = SegmentLog.open({
      disk,
      folder: path,
      clusterId,
      nodeId,
      random,
      clock,
      onFatal: failed.reject,
    });
    const { base, tables } = this.#source;
    const hardState = { term: highestTerm(this.#report), votedFor: undefined };
    const configuration = initialConfiguration([memberOf(this.#report, nodeId)]);
    const reset = base.index === 0 ? undefined : { ...base, configuration };
    let entries: Entry[] = [];
    let bytes = 0;
    let alone = base.index > 0;
    const flush = (first: boolean) =>
      Promise.race([
        failed.promise,
        new Promise<void>((resolve) => {
          const state = first ? { hardState, reset } : { hardState: undefined };
          log.append({ ...state, truncateFrom: undefined, entries }, resolve);
          entries = [];
          bytes = 0;
        }),
      ]);
    await flush(true);
    for (const table of tables) {
      for (let index = table.firstIndex; index <= table.lastIndex; index++) {
        const entry = readEntry(table, this.#report.files, index);
        const { term } = entry;
        if (entry.type !== "configuration") entries.push(entry);
        else {
          // Of those who took part once, only this node does from now on.
          const type = alone ? "noop" : "configuration";
          entries.push(
            type === "noop" ? { type, index, term } : { type, index, term, configuration },
          );
          alone = true;
        }
        bytes += table.bodySizeBytes(index);
        if (bytes > LOG_BATCH_BYTES_MAX) await flush(false);
      }
    }
    await flush(false);
    await new Promise<void>((resolve) => log.close(resolve));
  }
}

/** What the new log is made from. */
interface Source {
  /** What comes before the first entry of the new log. */
  readonly base: EntryTable["base"];
  /** Entries that follow it, one table after the other. */
  readonly tables: readonly EntryTable[];
  readonly completeIndex: LogIndex;
  /** The database file counts for nothing: it is made anew from the first entry on. */
  readonly freshDatabase: boolean;
  readonly kept: RecoveryPlan["kept"];
  readonly lost: RecoveryPlan["lost"];
}

/** The longest history without a gap that the database file fits into. */
function findSource(
  tables: readonly EntryTable[],
  checkpoint: CheckpointRecord | DatabaseError,
  dir: string,
): Source {
  const whole = tables.find((table) => table.base.index === 0 && table.lastIndex > 0);
  const freshDatabase = checkpoint instanceof DatabaseError;
  if (freshDatabase && whole === undefined) throw checkpoint;
  const { completeIndex, fuzzyIndex } = freshDatabase
    ? { completeIndex: 0, fuzzyIndex: 0 }
    : checkpoint;
  const at = tables.findLastIndex((table) =>
    table.base.index <= completeIndex && completeIndex <= table.lastIndex && table.lastIndex > 0
  );
  if (at < 0 && completeIndex === 0) {
    throw hopeless(dir, "it has neither its first entry nor a checkpoint");
  }
  const used: EntryTable[] = at < 0 ? [] : [tables[at]!];
  for (const next of at < 0 ? [] : tables.slice(at + 1)) {
    const { index, chain } = used.at(-1)!.last;
    // What was damaged in between held no entry.
    if (next.base.index === index && chainEquals(next.base.chain, chain)) used.push(next);
    else break;
  }
  const base = used[0]?.base ??
    { index: completeIndex, term: termBefore(tables, completeIndex), chain: CHAIN_START };
  const last = used.at(-1)?.lastIndex ?? completeIndex;
  if (fuzzyIndex > last) {
    const what =
      `its last checkpoint was cut off, and not all entries up to ${fuzzyIndex} can be read`;
    throw hopeless(dir, what);
  }
  const end = Math.max(0, ...tables.map((table) => table.lastIndex));
  const lost = end > last ? { first: last + 1, last: end } : undefined;
  const kept = { first: base.index + 1, last };
  return { base, tables: used, completeIndex, freshDatabase, kept, lost };
}

function checkpointOf({ disk, dir }: RecoverOptions): CheckpointRecord | DatabaseError {
  try {
    return readCheckpoint(disk, dir).record;
  } catch (error) {
    if (error instanceof DatabaseError && error.code === "CORRUPT") return error;
    throw error;
  }
}

/** The term of the last entry up to `index` that is known. */
function termBefore(tables: readonly EntryTable[], index: LogIndex): Term {
  const before = tables.filter((table) => table.lastIndex <= index);
  return Math.max(1, ...before.map((table) => table.last.term));
}

function highestTerm({ slots, hardState, tables }: LogReport): Term {
  const terms = [hardState?.term, newestSlot(slots)?.hardState.term];
  return Math.max(1, ...tables.map((table) => table.last.term), ...terms.map((term) => term ?? 0));
}

/** This node as the last configuration that can be read has it. */
function memberOf({ tables }: LogReport, id: NodeId): Member {
  // Should none be left, the next start brings its own addresses.
  let member: Member = { id, address: "127.0.0.1:9001", httpUrl: "http://127.0.0.1:8080" };
  for (const table of tables) {
    const find = (members: readonly Member[]) => {
      member = members.find((known) => known.id === id) ?? member;
    };
    find(table.baseConfiguration.members);
    table.forEach((_index, _term, _bytes, configuration) => find(configuration?.members ?? []));
  }
  return member;
}

function newLogPath(logPath: string): string {
  return `${logPath}.new`;
}

function freePath(disk: Disk, dir: string, prefix: string): string {
  const names = disk.list(dir).map((name) => `${dir}/${name}`);
  for (let number = 1;; number++) {
    const path = `${prefix}-${number}`;
    if (!names.includes(path)) return path;
  }
}

function notAMember(dir: string): DatabaseError {
  return new DatabaseError("DATA_FOLDER", `${dir} is not the data folder of a node in a cluster`, {
    hint: "Name the folder that a node was started with by --dir.",
  });
}

function hopeless(dir: string, missing: string): DatabaseError {
  return new DatabaseError("CORRUPT", `${dir} cannot be recovered: ${missing}`, {
    hint: "Nothing was changed. The database file may still be read by SQLite's own tools.",
  });
}
