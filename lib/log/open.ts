import { assert } from "../base/assert.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import type { HardState } from "../raft/types.ts";
import { CHAIN_START } from "../wire/chain.ts";
import { type LogOwner, SEGMENT_DATA_AT, type SegmentHeader } from "../wire/segment_header.ts";
import { EntryTable } from "./entry_table.ts";
import type { ActiveSegment, StreamPosition } from "./log_writer.ts";
import { type Recovered, recoverLog } from "./recovery.ts";
import {
  createSegment,
  headerParts,
  SegmentFiles,
  segmentPath,
  segmentSequences,
} from "./segment_files.ts";
import { SegmentStarts } from "./segment_starts.ts";
import { Slots } from "./slots.ts";

/** What {@linkcode openLog} needs. */
export interface OpenOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly owner: LogOwner;
  readonly random: Random;
  readonly create: boolean;
  readonly segmentBytes: number;
}

/** A log that is ready to be written. */
export interface Opened {
  readonly table: EntryTable;
  readonly starts: SegmentStarts;
  readonly hardState: HardState;
  readonly files: SegmentFiles;
  readonly slots: Slots;
  readonly segment: ActiveSegment;
  readonly position: StreamPosition;
  readonly recovery: {
    readonly torn: { readonly path: string; readonly offset: number } | undefined;
    readonly slotRepaired: boolean;
  };
}

/** Reads a log and mends what may be mended, or makes a new one; see `SegmentLog.open`. */
export function openLog(options: OpenOptions): Opened {
  const { disk, folder, owner } = options;
  assert(options.segmentBytes % 8 === 0, `segments of ${options.segmentBytes} bytes`);
  try {
    const recovered = recoverLog(disk, folder, owner);
    if (recovered !== undefined) return resume(options, recovered);
    if (options.create) return make(options);
  } catch (error) {
    if (error instanceof DatabaseError) throw error;
    const message = `The log in ${folder} cannot be opened: ${messageOf(error)}`;
    throw new DatabaseError("DISK", message, { cause: error, outcome: "rejected" });
  }
  throw new DatabaseError("DATA_FOLDER", `The log of this node is missing in ${folder}`, {
    hint: "What the node had promised is lost with it. Remove the node from the cluster and add " +
      "it again with an empty folder.",
  });
}

function make(options: OpenOptions): Opened {
  const { disk, folder, owner, random, segmentBytes } = options;
  disk.createFolder(folder);
  const sequence = (segmentSequences(disk, folder).at(-1) ?? 0) + 1;
  removeSegments(disk, folder, segmentSequences(disk, folder));
  const slots = new Slots(disk, folder, owner, undefined);
  const hardState: HardState = { term: 0, votedFor: undefined };
  // No segment may be there before the slots that will tell of its loss.
  slots.writeBoth(hardState, 0, 0);
  disk.syncFolder(folder);
  const header: SegmentHeader = {
    owner,
    salt: random.next(),
    sequence,
    sizeBytes: segmentBytes,
    previousSequence: 0,
    previousEnd: 0,
    previousIndex: 0,
    previousTerm: 0,
    previousChain: CHAIN_START,
    previousBatch: 0,
  };
  const segment = makeActive(disk, folder, header);
  slots.writeBoth(hardState, sequence, sequence);
  const table = new EntryTable({ index: 0, term: 0, chain: CHAIN_START });
  const files = new SegmentFiles(disk, folder);
  files.add(sequence, header.salt);
  const starts = new SegmentStarts();
  starts.add(sequence, table.last);
  const position = { point: table.last, batch: 0, closed: true };
  const recovery = { torn: undefined, slotRepaired: false };
  return { table, starts, hardState, files, slots, segment, position, recovery };
}

function resume(options: OpenOptions, recovered: Recovered): Opened {
  const { disk, folder, owner } = options;
  const { table, starts, hardState, headers, lastBatch, torn, unused } = recovered;
  const first = headers[0]!.sequence;
  const files = new SegmentFiles(disk, folder);
  for (const header of headers) files.add(header.sequence, header.salt);
  removeSegments(disk, folder, unused.filter((sequence) => sequence > first));
  const slots = new Slots(disk, folder, owner, recovered.newestSlot);
  let segment: ActiveSegment;
  if (torn === undefined) segment = reopen(disk, folder, recovered);
  else {
    segment = seal(options, recovered, Math.max(0, ...unused));
    files.add(segment.sequence, segment.salt);
    starts.add(segment.sequence, table.last);
  }
  slots.writeBoth(hardState, first, segment.sequence);
  // Only now do both slots know that these are not needed, and hold what they said last.
  removeSegments(disk, folder, unused.filter((sequence) => sequence < first));
  const closed = torn !== undefined || recovered.openBatchAt === undefined;
  const position = { point: table.last, batch: lastBatch, closed };
  const recovery = { torn, slotRepaired: recovered.verdict === "repair_slot" };
  return { table, starts, hardState, files, slots, segment, position, recovery };
}

/** The last segment, to be written on. */
function reopen(disk: Disk, folder: string, recovered: Recovered): ActiveSegment {
  const header = recovered.headers.at(-1)!;
  const { sequence, salt, sizeBytes } = header;
  const file = disk.open(segmentPath(folder, sequence), { create: false });
  const { end, lastUnit, lastUnitAt } = recovered;
  // What was written last may be in the system's cache only, and even there marked as written
  // after a sync that failed. The same bytes once more make it durable, or fail. They are those
  // that were verified: another read might return something else.
  writeHeader(file, header);
  if (lastUnit.length > 0) file.write(lastUnitAt, lastUnit);
  file.sync();
  return { file, sequence, salt, sizeBytes, end };
}

function writeHeader(file: DiskFile, header: SegmentHeader): void {
  let at = 0;
  for (const part of headerParts(header)) {
    file.write(at, part);
    at += part.length;
  }
}

/** A new segment behind the last good batch; the torn one stays where it is, and out of use. */
function seal(options: OpenOptions, recovered: Recovered, unusedMax: number): ActiveSegment {
  const { disk, folder, owner, random, segmentBytes } = options;
  const previous = recovered.headers.at(-1)!;
  // What lies before the cut counts from now on, so it must be durable before the new header is.
  reopen(disk, folder, recovered).file.close();
  const { index, term, chain } = recovered.table.last;
  return makeActive(disk, folder, {
    owner,
    salt: random.next(),
    sequence: Math.max(previous.sequence, unusedMax) + 1,
    sizeBytes: segmentBytes,
    previousSequence: previous.sequence,
    previousEnd: recovered.end,
    previousIndex: index,
    previousTerm: term,
    previousChain: chain,
    previousBatch: recovered.lastBatch,
  });
}

function makeActive(disk: Disk, folder: string, header: SegmentHeader): ActiveSegment {
  const { sequence, salt, sizeBytes } = header;
  assert(sizeBytes > SEGMENT_DATA_AT, `segments of ${sizeBytes} bytes`);
  const file = createSegment(disk, folder, sequence, sizeBytes);
  writeHeader(file, header);
  file.sync();
  return { file, sequence, salt, sizeBytes, end: SEGMENT_DATA_AT };
}

function removeSegments(disk: Disk, folder: string, sequences: readonly number[]): void {
  for (const sequence of sequences) disk.remove(segmentPath(folder, sequence));
  if (sequences.length > 0) disk.syncFolder(folder);
}
