/** Which segments there are, before any record is read. */
import type { Disk } from "../io/disk.ts";
import { SEGMENT_DATA_AT, type SegmentHeader, type Slot } from "../wire/segment_header.ts";
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
  /** Of the segments that hold records, in order. */
  readonly headers: SegmentHeader[];
  /** Segments that were made ahead of time and never used, or that are not needed any more. */
  readonly unused: number[];
  /** Whether one of them has a newer format. */
  newer: boolean;
  /** The first segment that should be there and is not, or has no header. */
  missing: Finding | undefined;
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

/** Reads the header of every segment, and looks for those that are missing. */
export function takeInventory(
  disk: Disk,
  folder: string,
  sequences: readonly number[],
  slot: Slot | undefined,
): Inventory {
  const inventory: Inventory = { headers: [], unused: [], newer: false, missing: undefined };
  const miss = (sequence: number, expected: string) => {
    inventory.missing ??= { path: segmentPath(folder, sequence), offset: 0, expected };
  };
  for (const sequence of sequences) {
    if (sequence < (slot?.firstSegment ?? 0)) {
      inventory.unused.push(sequence);
      continue;
    }
    const header = readHeader(disk, segmentPath(folder, sequence));
    if (header === "newer") inventory.newer = true;
    else if (header === "unused" && sequence > (slot?.activeSegment ?? 0)) {
      inventory.unused.push(sequence);
    } else if (typeof header === "string") miss(sequence, "the header of a segment");
    else if (header.sequence !== sequence) miss(sequence, `the header of segment ${sequence}`);
    else inventory.headers.push(header);
  }
  for (let i = 1; i < inventory.headers.length; i++) {
    const { previousSequence } = inventory.headers[i]!;
    if (previousSequence !== inventory.headers[i - 1]!.sequence) {
      miss(previousSequence, "a file, as the next segment names it");
    }
  }
  const first = inventory.headers[0]?.sequence ?? 0;
  if (slot !== undefined && first !== slot.firstSegment) {
    miss(slot.firstSegment, "the first segment, as the hard state names it");
  }
  const last = inventory.headers.at(-1)?.sequence ?? 0;
  if (slot !== undefined && last < slot.activeSegment) {
    miss(slot.activeSegment, "the last segment, as the hard state names it");
  }
  return inventory;
}

/** A file without a header counts as unused only when it holds nothing else either. */
function readHeader(disk: Disk, path: string): SegmentHeader | "newer" | "damaged" | "unused" {
  const file = disk.open(path, { create: false });
  try {
    const header = headerOf(file.read(0, SEGMENT_DATA_AT));
    if (header !== "damaged") return header;
    const data = file.read(SEGMENT_DATA_AT, Math.max(0, file.size() - SEGMENT_DATA_AT));
    return isZero(data, 0, data.length) ? "unused" : "damaged";
  } catch {
    return "damaged";
  } finally {
    file.close();
  }
}
