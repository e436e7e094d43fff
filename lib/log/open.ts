import { assert } from "../base/assert.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import { decidesAlone } from "../raft/quorum.ts";
import type { HardState, LogIndex } from "../raft/types.ts";
import { crc32c } from "../base/crc32c.ts";
import { CHAIN_START } from "../wire/chain.ts";
import { type LogOwner, SEGMENT_DATA_AT, type SegmentHeader } from "../wire/segment_header.ts";
import { encodeBatch } from "./batch.ts";
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
  /** The log was cut, now or earlier, and nobody has confirmed since that nothing is missing. */
  readonly recovering: boolean;
  readonly recovery: LogRecovery;
}

/** What a start had to mend. */
export interface LogRecovery {
  /** The torn batch that was forgotten, never acknowledged to anybody. */
  readonly torn: { readonly path: string; readonly offset: number } | undefined;
  /** One of the two files of the hard state was damaged and is whole again. */
  readonly slotRepaired: boolean;
  /** What was cut off, though it may have been acknowledged. */
  readonly givenUp: {
    readonly path: string;
    readonly offset: number;
    readonly expected: string;
    /** The highest entry that was found behind the damage; 0 when none was. */
    readonly lastIndex: LogIndex;
  } | undefined;
}

/** Reads a log and mends what may be mended, or makes a new one; see `SegmentLog.open`. */
export function openLog(options: OpenOptions): Opened {
  const { disk, folder, owner } = options;
  assert(options.segmentBytes % 8 === 0, `segments of ${options.segmentBytes} bytes`);
  try {
    let recovered = recoverLog(disk, folder, owner);
    // Once more: nothing is given up for a read that went wrong once.
    if (recovered?.givenUp !== undefined) recovered = recoverLog(disk, folder, owner);
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
  slots.writeBoth({ hardState });
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
  slots.writeBoth({ firstSegment: sequence, activeSegment: sequence });
  const table = new EntryTable({ index: 0, term: 0, chain: CHAIN_START });
  const files = new SegmentFiles(disk, folder);
  files.add(sequence, header.salt);
  const starts = new SegmentStarts();
  starts.add(sequence, table.last);
  const position = { point: table.last, batch: 0, closed: true };
  const recovery = { torn: undefined, slotRepaired: false, givenUp: undefined };
  return {
    table,
    starts,
    hardState,
    files,
    slots,
    segment,
    position,
    recovering: false,
    recovery,
  };
}

function resume(options: OpenOptions, recovered: Recovered): Opened {
  const { disk, folder, owner } = options;
  const { table, starts, hardState, headers, torn, givenUp, unused, newestSlot } = recovered;
  const first = headers[0]!.sequence;
  const files = new SegmentFiles(disk, folder);
  for (const header of headers) files.add(header.sequence, header.salt);
  removeSegments(disk, folder, unused);
  for (const { sequence, offset, bytes } of recovered.rottenCloses) {
    overwrite(disk, segmentPath(folder, sequence), offset, bytes);
  }
  const slots = new Slots(disk, folder, owner, newestSlot);
  const recovering = newestSlot.recovering || givenUp !== undefined;
  const alone = !recovering && decidesAlone(table.configuration, owner.nodeId);
  // Before anything makes the damage harder to see, both slots tell of it.
  if (givenUp !== undefined) slots.writeBoth({ hardState, recovering, alone });
  const continued = torn === undefined && givenUp === undefined;
  const segment = continued ? reopen(disk, folder, recovered) : seal(options, recovered);
  if (!continued) {
    files.add(segment.sequence, segment.salt);
    starts.add(segment.sequence, table.last);
  }
  const activeSegment = segment.sequence;
  slots.writeBoth({ hardState, firstSegment: first, activeSegment, recovering, alone });
  // Only now do both slots know that these are not needed, and hold what they said last.
  removeSegments(disk, folder, recovered.obsolete);
  const position = {
    point: table.last,
    batch: recovered.lastBatch + (givenUp?.base === undefined ? 0 : 1),
    closed: continued ? recovered.openBatchAt === undefined : givenUp?.base === undefined,
  };
  const recovery = {
    torn,
    slotRepaired: recovered.verdict === "repair_slot",
    givenUp: givenUp && { ...givenUp.finding, lastIndex: givenUp.lastIndex },
  };
  return { table, starts, hardState, files, slots, segment, position, recovering, recovery };
}

function overwrite(disk: Disk, path: string, offset: number, bytes: Uint8Array): void {
  const file = disk.open(path, { create: false });
  try {
    file.write(offset, bytes);
    file.sync();
  } finally {
    file.close();
  }
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
  writeParts(file, 0, headerParts(header));
  if (lastUnit.length > 0) file.write(lastUnitAt, lastUnit);
  file.sync();
  return { file, sequence, salt, sizeBytes, end };
}

/** A new segment behind the last good batch; what is damaged stays where it is, out of use. */
function seal(options: OpenOptions, recovered: Recovered): ActiveSegment {
  const { disk, folder, owner, random, segmentBytes } = options;
  const { table, headers, unused, obsolete, newestSlot, givenUp } = recovered;
  const previous = headers.at(-1)!;
  // What lies before the cut counts from now on, so it must be durable before the new header is.
  reopen(disk, folder, recovered).file.close();
  const { index, term, chain } = table.last;
  const known = [previous.sequence, newestSlot.activeSegment, ...unused, ...obsolete];
  const header: SegmentHeader = {
    owner,
    salt: random.next(),
    sequence: Math.max(...known) + 1,
    sizeBytes: segmentBytes,
    previousSequence: previous.sequence,
    previousEnd: recovered.end,
    previousIndex: index,
    previousTerm: term,
    previousChain: chain,
    previousBatch: recovered.lastBatch,
  };
  if (givenUp?.base === undefined) return makeActive(disk, folder, header);
  const body = { bytes: givenUp.base, checksum: crc32c(givenUp.base) };
  const record = { type: "base", point: table.base, body, after: table.last } as const;
  const number = recovered.lastBatch + 1;
  const batch = encodeBatch(number, table.last, [record], header.salt, SEGMENT_DATA_AT);
  return makeActive(disk, folder, header, batch.parts);
}

/** @param parts The first batch: there before the header says that this is a segment. */
function makeActive(
  disk: Disk,
  folder: string,
  header: SegmentHeader,
  parts: readonly Uint8Array[] = [],
): ActiveSegment {
  const { sequence, salt, sizeBytes } = header;
  assert(sizeBytes > SEGMENT_DATA_AT, `segments of ${sizeBytes} bytes`);
  const file = createSegment(disk, folder, sequence, sizeBytes);
  const end = writeParts(file, SEGMENT_DATA_AT, parts);
  if (parts.length > 0) file.sync();
  writeParts(file, 0, headerParts(header));
  file.sync();
  return { file, sequence, salt, sizeBytes, end };
}

/** Writes one part after another; returns where they end. */
function writeParts(file: DiskFile, offset: number, parts: readonly Uint8Array[]): number {
  let at = offset;
  for (const part of parts) {
    file.write(at, part);
    at += part.length;
  }
  return at;
}

function removeSegments(disk: Disk, folder: string, sequences: readonly number[]): void {
  for (const sequence of sequences) disk.remove(segmentPath(folder, sequence));
  if (sequences.length > 0) disk.syncFolder(folder);
}
