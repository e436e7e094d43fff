/** Brings a log back after a stop of any kind, or says exactly why it cannot. */
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import type { HardState, LogIndex } from "../raft/types.ts";
import { CHAIN_START, chainEquals } from "../wire/chain.ts";
import {
  BLOCK_BYTES,
  LOG_FORMAT_VERSION,
  type LogOwner,
  SEGMENT_DATA_AT,
  type SegmentHeader,
  type Slot,
} from "../wire/segment_header.ts";
import { encodeClose } from "./batch.ts";
import { EntryTable } from "./entry_table.ts";
import { type Finding, neverStarted, takeInventory } from "./inventory.ts";
import { LostPart } from "./lost_part.ts";
import { decide, type Observation, type Verdict } from "./recovery_table.ts";
import { Replay } from "./replay.ts";
import { segmentPath, segmentSequences } from "./segment_files.ts";
import type { SegmentStarts } from "./segment_starts.ts";
import { hasLaterUnit, isBatchHead, scanUnit } from "./segment_scan.ts";
import { newestSlot, readSlots, SLOT_NAMES, type SlotFinding } from "./slots.ts";
import { isZero } from "./zero_map.ts";

/** Bytes that a batch, of which one is rotten, would still have more of. */
const STRAY_BYTES_MAX = 4;

/** A close record that is damaged. What it says is known, so it is written again. */
export interface RottenClose {
  readonly sequence: number;
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What a cut gives up. */
export interface GivenUp {
  /** Where the damage is. */
  readonly finding: Finding;
  /** The row of the recovery table that decided. */
  readonly why: string;
  /** The highest entry that was found behind it; at most the last one that is kept when none. */
  readonly lastIndex: LogIndex;
  /** The base record, when the log goes on without it otherwise: the configuration in it. */
  readonly base: Uint8Array<ArrayBuffer> | undefined;
}

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
  /** What is lost, when the verdict is `recover`. */
  readonly givenUp: GivenUp | undefined;
  readonly rottenCloses: readonly RottenClose[];
  /** Segments that were made ahead of time and never used. */
  readonly unused: readonly number[];
  /** Segments that are not needed any more. */
  readonly obsolete: readonly number[];
}

interface Tail {
  tail: Observation["tail"];
  unwrittenSector: boolean;
  closed: boolean;
  finding: Finding | undefined;
  /** Segments that are kept, the one with the damage included. */
  kept: number;
  /** Where a batch begins that does not fit, and was applied in part. */
  misfit?: Stop;
}

/** Where to stop in a second attempt. */
interface Stop {
  readonly sequence: number;
  readonly offset: number;
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
  const inventory = takeInventory(disk, folder, sequences, slot, countValid(slots) === 2);
  const { headers, stranded, missing } = inventory;
  const owners = [...slots.filter((found) => typeof found !== "string"), ...headers, ...stranded];
  const newer = inventory.newer || slots.includes("newer");
  const foreign = owners.find((found) => !sameOwner(found.owner, owner))?.owner;
  // A file of unknown format or origin is not read any further.
  const readable = !newer && foreign === undefined;
  const reader = new SegmentsReader(disk, folder, readable ? headers : [], missing !== undefined);
  const tail = reader.run();
  const { replay, replay: { table } } = reader;
  const observation: Observation = {
    format: newer ? "newer" : "known",
    owner: foreign === undefined ? "ours" : "foreign",
    slots: countValid(slots),
    segments: missing === undefined ? "complete" : headers.length > 0 ? "gap" : "no_start",
    tail: tail.tail,
    unwrittenSector: tail.unwrittenSector,
    closed: tail.closed,
    alone: slot?.alone === true,
  };
  const row = decide(observation);
  if (row.verdict === "refuse") throw refusal(folder, owner, newer, foreign);
  const finding = tail.finding ?? missing;
  if (row.verdict === "corrupt" || slot === undefined) {
    throw corruption(finding ?? slotFinding(folder), row.name, observation.alone);
  }
  const keptHeaders = headers.slice(0, tail.kept);
  let givenUp: GivenUp | undefined;
  let hardState = newerState(slot.hardState, replay.hardState);
  if (row.verdict === "recover") {
    const lost = new LostPart(table.base);
    surveyLost(disk, folder, [...headers.slice(tail.kept - 1), ...stranded], replay.end, lost);
    // A slot may be older than it should be, if its last write went astray; the damage shows where.
    hardState = newerState(hardState, lost.hardState);
    if (lost.lastTerm > hardState.term) throw corruption(slotFinding(folder), row.name, false);
    givenUp = giveUp(lost, replay, finding!, row.name);
  }
  if (!replay.baseFound && givenUp?.base === undefined) {
    throw corruption(baseFinding(folder, replay), "base lost", false);
  }
  // What came before a reset is not needed any more.
  const needed = keptHeaders.filter(({ sequence }) => sequence >= replay.starts.first);
  const keptSequences = new Set(needed.map(({ sequence }) => sequence));
  return {
    table,
    starts: replay.starts,
    hardState,
    newestSlot: slot,
    headers: needed,
    end: replay.end,
    openBatchAt: replay.openBatchAt,
    lastUnitAt: replay.lastUnitAt,
    lastUnit: replay.lastUnit,
    lastBatch: replay.lastBatch,
    verdict: row.verdict,
    torn: row.verdict === "cut" ? finding : undefined,
    givenUp,
    rottenCloses: reader.rottenCloses,
    unused: inventory.unused,
    obsolete: sequences.filter((sequence) =>
      !keptSequences.has(sequence) && !inventory.unused.includes(sequence)
    ),
  };
}

/** The base goes on in the new segment, when the part that is kept does not have it. */
function giveUp(lost: LostPart, replay: Replay, finding: Finding, why: string): GivenUp {
  const { base, lastIndex } = lost;
  if (replay.baseFound || base === undefined) return { finding, why, lastIndex, base: undefined };
  replay.table.baseConfiguration = base.configuration;
  return { finding, why, lastIndex, base: base.bytes };
}

/** The error that refuses a damaged log. */
export function corruption(finding: Finding, why: string, alone: boolean): DatabaseError {
  const way = alone
    ? "nobody else holds what is damaged, as this node is the only voter. " +
      "`dqlite recover --dir DIR --accept-data-loss` goes on with what can be read."
    : "then remove this node from the cluster and add it again with an empty folder.";
  return new DatabaseError(
    "CORRUPT",
    `${finding.path} is damaged at offset ${finding.offset}: expected ${finding.expected} (${why})`,
    { hint: `Nothing was changed. Keep a copy of the data folder; ${way}` },
  );
}

/** Reads segments one after another, up to the first damage. */
class SegmentsReader {
  replay: Replay;
  rottenCloses: RottenClose[] = [];
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #headers: readonly SegmentHeader[];
  readonly #isCut: boolean;

  /** @param isCut What comes after the last of `headers` is missing. */
  constructor(disk: Disk, folder: string, headers: readonly SegmentHeader[], isCut: boolean) {
    this.#disk = disk;
    this.#folder = folder;
    this.#headers = headers;
    this.#isCut = isCut;
    this.replay = newReplay(headers[0]);
  }

  run(): Tail {
    const tail = this.#segments(undefined);
    if (tail.misfit === undefined) return tail;
    // What does not fit was taken in, in part: once more, and only up to there.
    this.replay = newReplay(this.#headers[0]);
    this.rottenCloses = [];
    this.#segments(tail.misfit);
    return tail;
  }

  #segments(stop: Stop | undefined): Tail {
    const headers = this.#headers;
    for (let i = 0; i < headers.length; i++) {
      const header = headers[i]!;
      const misfit = this.#misfit(header);
      if (misfit !== undefined) return { ...damagedTail(misfit, true), kept: i };
      const next = headers[i + 1];
      const path = segmentPath(this.#folder, header.sequence);
      const { bytes, error } = readPrefix(this.#disk, path, next?.previousEnd ?? header.sizeBytes);
      const tail = this.#segment(header, bytes, error, { knownEnd: next?.previousEnd, stop });
      this.replay.endSegment(bytes);
      if (tail !== undefined) return { ...tail, kept: i + 1 };
      if (next !== undefined || this.#isCut) this.replay.closeBatch();
    }
    return { ...untouched(), kept: headers.length };
  }

  /** What is wrong with the place of a segment in the log; undefined when it fits. */
  #misfit(header: SegmentHeader): Finding | undefined {
    const { table: { last }, lastBatch } = this.replay;
    const fits = header.previousIndex === last.index && header.previousTerm === last.term &&
      header.previousBatch === lastBatch && chainEquals(header.previousChain, last.chain);
    if (fits) return undefined;
    const path = segmentPath(this.#folder, header.sequence);
    const expected = `a segment after entry ${last.index} and batch ${lastBatch}, ` +
      `not after ${header.previousIndex} and ${header.previousBatch}`;
    return { path, offset: 0, expected };
  }

  /** @returns What is wrong; undefined when the segment has a clean end. */
  #segment(
    header: SegmentHeader,
    bytes: Uint8Array,
    error: string,
    { knownEnd, stop }: { knownEnd: number | undefined; stop: Stop | undefined },
  ): Omit<Tail, "kept"> | undefined {
    const { sequence, sizeBytes, salt } = header;
    const path = segmentPath(this.#folder, sequence);
    const length = knownEnd ?? sizeBytes;
    const expected = `${length} bytes${error === "" ? "" : `, not the error ${error}`}`;
    const unreadable: Omit<Tail, "kept"> | undefined = bytes.length === length ? undefined : {
      tail: "unreadable",
      unwrittenSector: false,
      closed: false,
      finding: { path, offset: bytes.length, expected },
    };
    const { replay } = this;
    let at = SEGMENT_DATA_AT;
    replay.startSegment(sequence, at);
    while (at < bytes.length) {
      const blank = knownEnd === undefined && isZero(bytes, at, Math.min(at + 8, bytes.length));
      if (blank && isZero(bytes, at, bytes.length)) break;
      if (stop?.sequence === sequence && stop.offset === at) break;
      const unit = this.#unit(bytes, at, header, knownEnd);
      if (unit.type === "damage") {
        if (unreadable !== undefined) break;
        const { unwrittenSector, offset } = unit;
        const next = replay.lastBatch + 1;
        const finding = { path, offset, expected: unit.expected };
        if (knownEnd !== undefined || hasLaterUnit(bytes, at + 8, length, salt, next)) {
          return damagedTail(finding, true);
        }
        const unwritten = unwrittenSector || isStray(bytes, at);
        return { ...damagedTail(finding, false), unwrittenSector: unwritten };
      }
      if (unit.type === "close") replay.close(unit, at);
      else {
        const problem = replay.batch(unit, at);
        if (problem !== undefined) {
          const misfit = { sequence, offset: at };
          return { ...damagedTail({ path, ...problem }, true), misfit };
        }
      }
      at = unit.end;
    }
    return unreadable;
  }

  /**
   * What is at `at`. A close record that is damaged is as good as a whole one when most of its
   * bytes are right, or when what comes behind its place shows that it was there.
   */
  #unit(
    bytes: Uint8Array,
    at: number,
    { sequence, salt }: SegmentHeader,
    knownEnd: number | undefined,
  ): ReturnType<typeof scanUnit> {
    const { replay } = this;
    const next = replay.lastBatch + 1;
    const unit = scanUnit(bytes, at, bytes.length, salt, next);
    if (unit.type !== "damage" || replay.openBatchAt === undefined) return unit;
    const whole = encodeClose(replay.lastBatch, replay.table.last.chain, salt, at);
    const end = at + whole.length;
    if (end > bytes.length) return unit;
    // No batch is as short as that.
    const isFollowed = end === knownEnd || isBatchHead(bytes, end, salt, next);
    if (!isFollowed && countWrong(bytes, at, whole) > STRAY_BYTES_MAX) return unit;
    this.rottenCloses.push({ sequence, offset: at, bytes: whole });
    bytes.set(whole, at);
    return { type: "close", number: replay.lastBatch, end };
  }
}

function countWrong(bytes: Uint8Array, at: number, expected: Uint8Array): number {
  let wrong = 0;
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) wrong++;
  return wrong;
}

function newReplay(base: SegmentHeader | undefined): Replay {
  const table = new EntryTable({
    index: base?.previousIndex ?? 0,
    term: base?.previousTerm ?? 0,
    chain: base?.previousChain ?? CHAIN_START,
  });
  return new Replay(table, base?.previousBatch ?? 0);
}

/** No batch, torn or rotten, is left with so few bytes: these were zeros, and never written. */
function isStray(bytes: Uint8Array, from: number): boolean {
  let count = 0;
  for (let at = from; at < bytes.length; at++) {
    if (bytes[at] !== 0 && ++count > STRAY_BYTES_MAX) return false;
  }
  return true;
}

/** Reads up to the first block that cannot be read. A file that cannot be opened is no damage. */
function readPrefix(
  disk: Disk,
  path: string,
  length: number,
): { readonly bytes: Uint8Array; readonly error: string } {
  const file = disk.open(path, { create: false });
  try {
    return { bytes: file.read(0, length), error: "" };
  } catch {
    return readBlocks(file, length);
  } finally {
    file.close();
  }
}

function readBlocks(
  file: DiskFile,
  length: number,
): { readonly bytes: Uint8Array; readonly error: string } {
  const bytes = new Uint8Array(length);
  let at = 0;
  try {
    while (at < length) {
      const block = file.read(at, Math.min(BLOCK_BYTES, length - at));
      bytes.set(block, at);
      at += block.length;
      if (block.length === 0) break;
    }
    return { bytes: bytes.subarray(0, at), error: "" };
  } catch (error) {
    return { bytes: bytes.subarray(0, at), error: messageOf(error) };
  }
}

/** Surveys the end of the first of `headers`, from `from` on, and all of the others. */
function surveyLost(
  disk: Disk,
  folder: string,
  headers: readonly SegmentHeader[],
  from: number,
  lost: LostPart,
): void {
  headers.forEach(({ sequence, sizeBytes, salt }, place) => {
    const { bytes } = readPrefix(disk, segmentPath(folder, sequence), sizeBytes);
    lost.survey(bytes, place === 0 ? from : SEGMENT_DATA_AT, salt);
  });
}

function damagedTail(finding: Finding, closed: boolean): Omit<Tail, "kept"> {
  return { tail: "damaged", unwrittenSector: false, closed, finding };
}

function untouched(): Omit<Tail, "kept"> {
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
