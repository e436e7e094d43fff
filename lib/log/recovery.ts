/** Brings a log back after a stop of any kind, or says exactly why it cannot. */
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import type { HardState } from "../raft/types.ts";
import { CHAIN_START, chainEquals } from "../wire/chain.ts";
import {
  LOG_FORMAT_VERSION,
  type LogOwner,
  SEGMENT_DATA_AT,
  type SegmentHeader,
  type Slot,
} from "../wire/segment_header.ts";
import { EntryTable } from "./entry_table.ts";
import { type Finding, neverStarted, takeInventory } from "./inventory.ts";
import { decide, type Observation, type Verdict } from "./recovery_table.ts";
import { Replay } from "./replay.ts";
import { segmentPath, segmentSequences } from "./segment_files.ts";
import type { SegmentStarts } from "./segment_starts.ts";
import { hasLaterUnit, scanUnit } from "./segment_scan.ts";
import { newestSlot, readSlots, SLOT_NAMES, type SlotFinding } from "./slots.ts";
import { isZero } from "./zero_map.ts";

/** What the files hold. */
export interface Recovered {
  readonly table: EntryTable;
  readonly starts: SegmentStarts;
  readonly hardState: HardState;
  readonly newestSlot: Slot;
  /** Of the segments that are needed, in order. */
  readonly headers: readonly SegmentHeader[];
  /** Where the records of the last segment end. */
  readonly end: number;
  /** Where the last batch begins, when nothing proves that it was durable. */
  readonly openBatchAt: number | undefined;
  /** Where the last batch or close record of the last segment begins: nothing proves its sync. */
  readonly lastUnitAt: number;
  /** Its bytes, as they were verified. */
  readonly lastUnit: Uint8Array;
  readonly lastBatch: number;
  readonly verdict: Verdict;
  /** The batch that was torn, when the verdict is `cut`. */
  readonly torn: Finding | undefined;
  /** Segments that were made ahead of time and never used, or that are not needed any more. */
  readonly unused: readonly number[];
}

interface Tail {
  tail: Observation["tail"];
  unwrittenSector: boolean;
  closed: boolean;
  finding: Finding | undefined;
}

/**
 * Reads the log in `folder`. Nothing is written.
 *
 * @returns Undefined when no log was ever completely made there.
 * @throws {DatabaseError} `CORRUPT` naming file and offset; `DATA_FOLDER` when the files are of a
 * newer format or of another node.
 */
export function recoverLog(disk: Disk, folder: string, owner: LogOwner): Recovered | undefined {
  const slots = readSlots(disk, folder);
  const slot = newestSlot(slots);
  const sequences = segmentSequences(disk, folder);
  if (neverStarted(slots, slot, sequences)) return undefined;
  const inventory = takeInventory(disk, folder, sequences, slot);
  const base = inventory.headers[0];
  const table = new EntryTable({
    index: base?.previousIndex ?? 0,
    term: base?.previousTerm ?? 0,
    chain: base?.previousChain ?? CHAIN_START,
  });
  const replay = new Replay(table, base?.previousBatch ?? 0);
  const owners = [...slots.filter((found) => typeof found !== "string"), ...inventory.headers];
  const newer = inventory.newer || slots.includes("newer");
  const foreign = owners.find((found) => !sameOwner(found.owner, owner))?.owner;
  // A file of unknown format or origin is not read any further.
  const readable = !newer && foreign === undefined && inventory.missing === undefined;
  const tail = readable ? replaySegments(disk, folder, inventory.headers, replay) : untouched();
  const observation: Observation = {
    format: newer ? "newer" : "known",
    owner: foreign === undefined ? "ours" : "foreign",
    slots: countValid(slots),
    segments: inventory.missing === undefined ? "complete" : "missing",
    tail: tail.tail,
    unwrittenSector: tail.unwrittenSector,
    closed: tail.closed,
  };
  const row = decide(observation);
  if (row.verdict === "refuse") throw refusal(folder, owner, newer, foreign);
  const finding = inventory.missing ?? tail.finding;
  if (row.verdict === "corrupt" || slot === undefined) {
    throw corruption(finding ?? slotFinding(folder), row.name);
  }
  if (!replay.baseFound) throw corruption(baseFinding(folder, replay), "base lost");
  const { first } = replay.starts;
  const needed = inventory.headers.filter(({ sequence }) => sequence >= first);
  const forgotten = inventory.headers.filter(({ sequence }) => sequence < first);
  return {
    table,
    starts: replay.starts,
    hardState: newerState(slot.hardState, replay.hardState),
    newestSlot: slot,
    headers: needed,
    end: replay.end,
    openBatchAt: replay.openBatchAt,
    lastUnitAt: replay.lastUnitAt,
    lastUnit: replay.lastUnit,
    lastBatch: replay.lastBatch,
    verdict: row.verdict,
    torn: row.verdict === "cut" ? finding : undefined,
    unused: [...forgotten.map(({ sequence }) => sequence), ...inventory.unused],
  };
}

/** The error that refuses a damaged log. */
export function corruption(finding: Finding, why: string): DatabaseError {
  return new DatabaseError(
    "CORRUPT",
    `${finding.path} is damaged at offset ${finding.offset}: expected ${finding.expected} (${why})`,
    {
      hint: "Nothing was changed. Keep a copy of the data folder; " +
        "then remove this node from the cluster and add it again with an empty folder.",
    },
  );
}

function replaySegments(
  disk: Disk,
  folder: string,
  headers: readonly SegmentHeader[],
  replay: Replay,
): Tail {
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!;
    const path = segmentPath(folder, header.sequence);
    requireLink(path, header, replay);
    const next = headers[i + 1];
    const bytes = readSegment(disk, path, header);
    if (!(bytes instanceof Uint8Array)) return bytes;
    const tail = replaySegment(path, bytes, header, next?.previousEnd, replay);
    if (next === undefined) replay.endSegment(bytes);
    if (tail.tail !== "zeros") return tail;
    if (next !== undefined) replay.closeBatch();
  }
  return untouched();
}

function replaySegment(
  path: string,
  bytes: Uint8Array,
  header: SegmentHeader,
  knownEnd: number | undefined,
  replay: Replay,
): Tail {
  const end = knownEnd ?? bytes.length;
  let at = SEGMENT_DATA_AT;
  replay.startSegment(header.sequence, at);
  while (at < end) {
    const blank = knownEnd === undefined && isZero(bytes, at, Math.min(at + 8, end));
    if (blank && isZero(bytes, at, end)) break;
    const number = replay.lastBatch + 1;
    const unit = scanUnit(bytes, at, end, header.salt, number);
    if (unit.type === "damage") {
      return {
        tail: "damaged",
        unwrittenSector: unit.unwrittenSector,
        closed: knownEnd !== undefined || hasLaterUnit(bytes, at + 8, end, header.salt, number),
        finding: { path, offset: unit.offset, expected: unit.expected },
      };
    }
    if (unit.type === "close") replay.close(unit, at);
    else {
      const problem = replay.batch(unit, at);
      if (problem !== undefined) throw corruption({ path, ...problem }, "history does not fit");
    }
    at = unit.end;
  }
  return untouched();
}

function readSegment(disk: Disk, path: string, header: SegmentHeader): Uint8Array | Tail {
  let file: DiskFile | undefined;
  let expected = `${header.sizeBytes} bytes`;
  let offset = 0;
  try {
    file = disk.open(path, { create: false });
    const bytes = file.read(0, header.sizeBytes);
    if (bytes.length === header.sizeBytes) return bytes;
    offset = bytes.length;
  } catch (error) {
    expected += `, not the error ${messageOf(error)}`;
  } finally {
    file?.close();
  }
  const finding = { path, offset, expected };
  return { tail: "unreadable", unwrittenSector: false, closed: false, finding };
}

function requireLink(path: string, header: SegmentHeader, replay: Replay): void {
  const last = replay.table.last;
  const fits = header.previousIndex === last.index && header.previousTerm === last.term &&
    header.previousBatch === replay.lastBatch && chainEquals(header.previousChain, last.chain);
  if (fits) return;
  const expected = `a segment after entry ${last.index} and batch ${replay.lastBatch}, ` +
    `not after ${header.previousIndex} and ${header.previousBatch}`;
  throw corruption({ path, offset: 0, expected }, "history does not fit");
}

function untouched(): Tail {
  return { tail: "zeros", unwrittenSector: false, closed: false, finding: undefined };
}

function newerState(slot: HardState, stream: HardState): HardState {
  if (slot.term !== stream.term) return slot.term > stream.term ? slot : stream;
  return slot.votedFor === undefined ? stream : slot;
}

function sameOwner(one: LogOwner, other: LogOwner): boolean {
  return one.clusterId === other.clusterId && one.nodeId === other.nodeId;
}

function countValid(slots: readonly SlotFinding[]): Observation["slots"] {
  const count = slots.filter((found) => typeof found !== "string").length;
  return count === 2 ? 2 : count === 1 ? 1 : 0;
}

function slotFinding(folder: string): Finding {
  const path = `${folder}/${SLOT_NAMES.join(" and ")}`;
  return { path, offset: 0, expected: "a valid hard state in one of the two files" };
}

function baseFinding(folder: string, { table, starts }: Replay): Finding {
  const path = segmentPath(folder, starts.first);
  const { index } = table.base;
  const expected = `the configuration at entry ${index}, in this segment or a later one`;
  return { path, offset: SEGMENT_DATA_AT, expected };
}

function refusal(
  folder: string,
  owner: LogOwner,
  newer: boolean,
  foreign: LogOwner | undefined,
): DatabaseError {
  const message = newer
    ? `The log in ${folder} has a newer format than ${LOG_FORMAT_VERSION}, the newest known here`
    : `The log in ${folder} belongs to node ${foreign?.nodeId} of cluster ${foreign?.clusterId}, ` +
      `not to node ${owner.nodeId} of cluster ${owner.clusterId}`;
  return new DatabaseError("DATA_FOLDER", message);
}
