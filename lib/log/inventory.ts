/** Which segments there are, before any record is read. */
import { messageOf } from "../base/errors.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import {
  BLOCK_BYTES,
  SEGMENT_DATA_AT,
  type SegmentHeader,
  type Slot,
} from "../wire/segment_header.ts";
import { headerOf, segmentPath } from "./segment_files.ts";
import type { SlotFinding } from "./slots.ts";
import { isZero } from "./zero_map.ts";

/** A place in a file, and what should have been there. */
export interface Finding {
  readonly path: string;
  readonly offset: number;
  readonly expected: string;
}

/** The segments of a folder. */
export interface Inventory {
  /** Of the segments that hold records, each after the one that it names; oldest first. */
  readonly headers: readonly SegmentHeader[];
  /** Segments that were made ahead of time and never used. */
  readonly unused: readonly number[];
  /** Segments before the first that is needed, and those that a cut has replaced. */
  readonly obsolete: readonly number[];
  /** Segments with a header that do not follow those of `headers`, since one is missing. */
  readonly stranded: readonly SegmentHeader[];
  /** Whether one of them has a newer format. */
  readonly newer: boolean;
  /** The first segment that should be there and is not, or has no header. */
  readonly missing: Finding | undefined;
}

/** True when making the log was cut short before its first segment came into use. */
export function neverStarted(
  slots: readonly SlotFinding[],
  newest: Slot | undefined,
  sequences: readonly number[],
): boolean {
  // A damaged slot might be the one that names a segment in use.
  if (slots.some((found) => found === "damaged" || found === "unreadable" || found === "newer")) {
    return false;
  }
  return newest === undefined ? sequences.length === 0 : newest.activeSegment === 0;
}

/**
 * Reads the header of every segment, and follows them back from the newest: whatever the newest
 * ones do not name was replaced, and does not matter any more.
 *
 * @param certain Whether both slots are valid, so that none can name a later segment.
 */
export function takeInventory(
  disk: Disk,
  folder: string,
  sequences: readonly number[],
  slot: Slot | undefined,
  certain: boolean,
): Inventory {
  const { firstSegment: first = 0, activeSegment: active = 0 } = slot ?? {};
  const found = new Map<number, SegmentHeader>();
  const errors = new Map<number, string>();
  const unused: number[] = [];
  let newer = false;
  let missing: { sequence: number; expected: string } | undefined;
  for (const sequence of sequences.filter((known) => known >= first)) {
    const { header, error } = readHeader(disk, segmentPath(folder, sequence));
    if (error !== undefined) errors.set(sequence, error);
    if (header === "newer") newer = true;
    else if (typeof header !== "string" && header.sequence === sequence) {
      found.set(sequence, header);
    } else if (sequence > active && (certain || header === "unused")) unused.push(sequence);
    // What a slot that is lost may have named.
    else if (sequence > active) missing = { sequence, expected: "the header of a segment" };
  }
  let newest = Math.max(0, ...found.keys());
  if (newest < active) {
    missing = { sequence: active, expected: "the last segment, as the hard state names it" };
  }
  let headers: SegmentHeader[] = [];
  while (newest > 0) {
    headers = chainTo(found, newest);
    const { sequence, previousSequence } = headers[0]!;
    const older = [...found.keys()].filter((known) => known < sequence);
    if (sequence === first || slot === undefined && older.length === 0) break;
    missing = { sequence: previousSequence, expected: "a segment, as the next one names it" };
    newest = Math.max(0, ...older);
  }
  if (slot !== undefined && headers[0]?.sequence !== first) {
    headers = [];
    missing = { sequence: first, expected: "the first segment, as the hard state names it" };
  }
  const error = missing && errors.get(missing.sequence);
  const kept = new Set(headers.map(({ sequence }) => sequence));
  const last = headers.at(-1)?.sequence ?? 0;
  return {
    headers,
    unused,
    obsolete: sequences.filter((known) => !kept.has(known) && !unused.includes(known)),
    stranded: [...found.values()].filter(({ sequence }) =>
      missing !== undefined && sequence > last
    ),
    newer,
    missing: missing && {
      path: segmentPath(folder, missing.sequence),
      offset: 0,
      expected: missing.expected + (error === undefined ? "" : `, not the error ${error}`),
    },
  };
}

/** The segments back from `newest`, as far as each is there that the next one names. */
function chainTo(found: ReadonlyMap<number, SegmentHeader>, newest: number): SegmentHeader[] {
  const chain: SegmentHeader[] = [];
  for (let header = found.get(newest); header !== undefined;) {
    chain.unshift(header);
    const { sequence, previousSequence } = header;
    header = previousSequence < sequence ? found.get(previousSequence) : undefined;
  }
  return chain;
}

interface HeaderFinding {
  readonly header: SegmentHeader | "newer" | "damaged" | "unused";
  /** What the system said, when it could not read the header. */
  readonly error?: string;
}

/** A file without a header counts as unused only when it holds nothing else either. */
function readHeader(disk: Disk, path: string): HeaderFinding {
  const file = disk.open(path, { create: false });
  try {
    const bytes = new Uint8Array(SEGMENT_DATA_AT);
    let error: string | undefined;
    for (let at = 0; at < SEGMENT_DATA_AT; at += BLOCK_BYTES) {
      error = readBlock(file, at, bytes) ?? error;
    }
    const header = headerOf(bytes);
    if (header !== "damaged") return { header };
    if (error !== undefined) return { header, error };
    const data = file.read(0, file.size());
    return { header: isZero(data, 0, data.length) ? "unused" : "damaged" };
  } catch (error) {
    return { header: "damaged", error: messageOf(error) };
  } finally {
    file.close();
  }
}

/**
 * One copy of the header is enough, so that the other one need not be readable.
 *
 * @returns What the system said, when this one is not.
 */
function readBlock(file: DiskFile, at: number, into: Uint8Array): string | undefined {
  try {
    into.set(file.read(at, BLOCK_BYTES), at);
    return undefined;
  } catch (error) {
    into.fill(0, at, at + BLOCK_BYTES);
    return messageOf(error);
  }
}
