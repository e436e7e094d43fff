/** Writes the log of a new cluster: the entries of a source, and who takes part from now on. */
import { DatabaseError } from "../base/errors.ts";
import { LOG_BATCH_BYTES_MAX } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import { readEntry } from "../log/entry_reader.ts";
import { SegmentLog } from "../log/segment_log.ts";
import type { LogBatch } from "../log/types.ts";
import type { Configuration, Entry } from "../raft/types.ts";
import type { LogOwner } from "../wire/segment_header.ts";
import type { UsableSurvivor } from "./choice.ts";

/** What making the files of a new cluster takes. */
export interface MakeOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  /** 32 hexadecimal digits, never used before. */
  readonly clusterId: string;
  /** The members of the new cluster. */
  readonly configuration: Configuration;
}

/**
 * Writes a log into `folder`, which is empty or missing; it is durable when this returns.
 *
 * @throws {DatabaseError} `DISK` when the disk refuses, `DISK_FULL` when it is full, `CORRUPT` when
 * an entry cannot be read.
 */
export async function writeNewLog(
  { disk, clock, random, clusterId, configuration }: MakeOptions,
  folder: string,
  nodeId: LogOwner["nodeId"],
  survivor: UsableSurvivor,
): Promise<void> {
  const failed = Promise.withResolvers<never>();
  // It may come when nobody waits.
  failed.promise.catch(() => {});
  const log = SegmentLog.open({
    disk,
    folder,
    clusterId,
    nodeId,
    random,
    clock,
    onFatal: failed.reject,
    // A log waits for space; here nobody would make any.
    onSpace: (space) => {
      if (space === "low") failed.reject(diskFull(folder));
    },
  });
  let closed = false;
  try {
    for (const batch of batchesOf(survivor, configuration)) {
      const done = new Promise<void>((resolve) => log.append(batch, resolve));
      await Promise.race([failed.promise, done]);
    }
    closed = true;
    await Promise.race([failed.promise, new Promise<void>((resolve) => log.close(resolve))]);
  } finally {
    if (!closed) log.close(() => {});
  }
}

/** All of the new log, in parts that are written at once. */
function* batchesOf(
  { source: { base, tables }, files, term }: UsableSurvivor,
  configuration: Configuration,
): Generator<LogBatch> {
  yield {
    hardState: { term, votedFor: undefined },
    reset: base.index === 0 ? undefined : { ...base, configuration },
    truncateFrom: undefined,
    entries: [],
  };
  let isTold = base.index > 0;
  let entries: Entry[] = [];
  let bytes = 0;
  for (const table of tables) {
    for (let index = table.firstIndex; index <= table.lastIndex; index++) {
      const entry = readEntry(table, files, index);
      if (entry.type !== "configuration") entries.push(entry);
      else if (isTold) entries.push({ type: "noop", index, term: entry.term });
      else {
        // In place of the first configuration, as nobody of the old ones takes part any more.
        entries.push({ type: "configuration", index, term: entry.term, configuration });
        isTold = true;
      }
      bytes += table.bodySizeBytes(index);
      if (bytes < LOG_BATCH_BYTES_MAX) continue;
      yield { hardState: undefined, truncateFrom: undefined, entries };
      entries = [];
      bytes = 0;
    }
  }
  if (entries.length > 0) yield { hardState: undefined, truncateFrom: undefined, entries };
}

function diskFull(folder: string): DatabaseError {
  return new DatabaseError("DISK_FULL", `The disk of ${folder} is full`, {
    hint: "Free space, or name a folder on another disk with --to; then try again.",
  });
}
