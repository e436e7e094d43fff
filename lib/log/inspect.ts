/**
 * Looks at a log without changing it, and goes on where a start would stop: after damage, at the
 * next batch or segment that is whole.
 */
import { messageOf } from "../base/errors.ts";
import type { Disk } from "../io/disk.ts";
import type { HardState } from "../raft/types.ts";
import { chainEquals } from "../wire/chain.ts";
import {
  decodeRecordHead,
  RECORD_ALIGNMENT,
  RECORD_HEAD_BYTES,
  recordSeed,
} from "../wire/record.ts";
import {
  LOG_FORMAT_VERSION,
  type LogOwner,
  SEGMENT_DATA_AT,
  type SegmentHeader,
} from "../wire/segment_header.ts";
import type { LogPoint } from "./batch.ts";
import { EntryTable } from "./entry_table.ts";
import { type Finding, takeInventory } from "./inventory.ts";
import { Replay } from "./replay.ts";
import { headerOf, SegmentFiles, segmentPath, segmentSequences } from "./segment_files.ts";
import { hasLaterUnit, scanUnit } from "./segment_scan.ts";
import { newestSlot, readSlots, SLOT_NAMES, type SlotFinding } from "./slots.ts";
import { isZero } from "./zero_map.ts";

/** What a segment looks like. */
export interface SegmentReport {
  readonly path: string;
  readonly sequence: number;
  /**
   * - `closed`: something later proves that its last batch was durable.
   * - `open`: nothing does.
   * - `torn`: its last batch was cut off, and never acknowledged.
   * - `damaged`: something in it is wrong.
   * - `unused`: made ahead of time. `obsolete`: not needed, removed by the next start.
   */
  readonly state: "closed" | "open" | "torn" | "damaged" | "unused" | "obsolete";
  /** Undefined when there is no header. */
  readonly header: SegmentHeader | undefined;
  /** Where its records end. */
  readonly end: number;
}

/** What a log looks like. */
export interface LogReport {
  /** Of `state.a` and `state.b`. */
  readonly slots: readonly SlotFinding[];
  readonly segments: readonly SegmentReport[];
  /** Term and vote as the records have them; undefined when none does. */
  readonly hardState: HardState | undefined;
  /** The entries; more than one table when damage hides what is between. */
  readonly tables: readonly EntryTable[];
  /** For reading entries back. To be closed. */
  readonly files: SegmentFiles;
  readonly problems: readonly Finding[];
}

/**
 * Reads and verifies everything in `folder`.
 *
 * @param owner Whose log it should be; undefined when that is not known.
 */
export function inspectLog(disk: Disk, folder: string, owner: LogOwner | undefined): LogReport {
  return new Inspector(disk, folder).run(owner);
}

class Inspector {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #files: SegmentFiles;
  readonly #segments: SegmentReport[] = [];
  readonly #tables: EntryTable[] = [];
  readonly #problems: Finding[] = [];
  #hardState: HardState | undefined;
  /** Where the records end that are known of the segment at hand. */
  #end = SEGMENT_DATA_AT;
  /** What was read so far; undefined when the next segment does not follow anything known. */
  #replay: Replay | undefined;

  constructor(disk: Disk, folder: string) {
    this.#disk = disk;
    this.#folder = folder;
    this.#files = new SegmentFiles(disk, folder);
  }

  run(owner: LogOwner | undefined): LogReport {
    const slots = readSlots(this.#disk, this.#folder);
    const sequences = segmentSequences(this.#disk, this.#folder);
    // A node that belongs to no cluster yet may have no log.
    const none = owner === undefined && sequences.length === 0 && newestSlot(slots) === undefined;
    slots.forEach((slot, at) => {
      const path = `${this.#folder}/${SLOT_NAMES[at]}`;
      if (!none || slot !== "absent") this.#slot(slot, path, owner);
    });
    const slot = newestSlot(slots);
    const certain = slots.every((found) => typeof found !== "string");
    const inventory = takeInventory(this.#disk, this.#folder, sequences, slot, certain);
    const { unused, missing } = inventory;
    const headers = [...inventory.headers, ...inventory.stranded];
    const known = new Map(headers.map((header) => [header.sequence, header]));
    for (const sequence of sequences) {
      const header = known.get(sequence);
      if (header !== undefined) {
        this.#owner(header.owner, segmentPath(this.#folder, sequence), owner);
        const at = headers.indexOf(header);
        // Behind a gap nothing is known of what came before.
        if (at > 0 && header.previousSequence !== headers[at - 1]!.sequence) this.#lose();
        this.#segment(header, headers[at + 1]);
      } else if (unused.includes(sequence)) this.#report(sequence, "unused", undefined, 0);
      else if (missing === undefined || sequence < (slot?.firstSegment ?? 0)) {
        this.#report(sequence, "obsolete", undefined, 0);
      } else this.#headless(sequence);
    }
    if (missing !== undefined && !sequences.some((known) => this.#isAt(missing, known))) {
      this.#problems.push(missing);
    }
    if (missing === undefined) this.#base();
    const { hardState } = this.#replay ?? {};
    if (hardState !== undefined) this.#keep(hardState);
    return {
      slots,
      segments: this.#segments,
      hardState: this.#hardState,
      tables: this.#tables,
      files: this.#files,
      problems: this.#problems,
    };
  }

  #isAt(finding: Finding, sequence: number): boolean {
    return finding.path === segmentPath(this.#folder, sequence);
  }

  #slot(slot: SlotFinding, path: string, owner: LogOwner | undefined): void {
    if (typeof slot !== "string") this.#owner(slot.owner, path, owner);
    else this.#problem(path, 0, `a valid hard state, but it is ${slot}`);
  }

  #owner(found: LogOwner, path: string, owner: LogOwner | undefined): void {
    if (owner === undefined) return;
    if (found.clusterId === owner.clusterId && found.nodeId === owner.nodeId) return;
    const expected = `node ${owner.nodeId} of cluster ${owner.clusterId}, ` +
      `not node ${found.nodeId} of cluster ${found.clusterId}`;
    this.#problem(path, 16, expected);
  }

  /** A file with content but without a header. */
  #headless(sequence: number): void {
    const path = segmentPath(this.#folder, sequence);
    const bytes = this.#read(path, SEGMENT_DATA_AT);
    const newer = bytes !== undefined && headerOf(bytes) === "newer";
    const version = `a header of format ${LOG_FORMAT_VERSION} at most`;
    if (bytes !== undefined) this.#problem(path, 0, newer ? version : "the header of a segment");
    this.#report(sequence, "damaged", undefined, 0);
    this.#lose();
  }

  #segment(header: SegmentHeader, next: SegmentHeader | undefined): void {
    const { sequence, sizeBytes, salt } = header;
    const path = segmentPath(this.#folder, sequence);
    this.#files.add(sequence, salt);
    this.#link(path, header);
    const bytes = this.#read(path, sizeBytes);
    if (bytes === undefined || bytes.length < sizeBytes) {
      if (bytes !== undefined) this.#problem(path, bytes.length, `${sizeBytes} bytes`);
      this.#report(sequence, "damaged", header, SEGMENT_DATA_AT);
      this.#lose();
      return;
    }
    this.#replay ??= this.#anchor(pointBefore(header), header.previousBatch);
    this.#replay.startSegment(sequence, SEGMENT_DATA_AT);
    const knownEnd = next?.previousSequence === sequence ? next.previousEnd : undefined;
    const state = this.#records(path, bytes, header, knownEnd);
    this.#report(sequence, state, header, this.#replay?.end ?? this.#end);
    if (next !== undefined) this.#replay?.closeBatch();
  }

  #records(
    path: string,
    bytes: Uint8Array,
    { sequence, salt }: SegmentHeader,
    knownEnd: number | undefined,
  ): SegmentReport["state"] {
    const end = knownEnd ?? bytes.length;
    let state: SegmentReport["state"] = "closed";
    let at = SEGMENT_DATA_AT;
    while (at < end && this.#replay !== undefined) {
      const blank = knownEnd === undefined && isZero(bytes, at, Math.min(at + 8, end));
      if (blank && isZero(bytes, at, end)) break;
      const replay = this.#replay;
      const number = replay.lastBatch + 1;
      const unit = scanUnit(bytes, at, end, salt, number);
      let problem: { offset: number; expected: string } | undefined;
      if (unit.type === "close") replay.close(unit, at);
      else if (unit.type === "batch") problem = replay.batch(unit, at);
      else {
        const closed = knownEnd !== undefined || hasLaterUnit(bytes, at + 8, end, salt, number);
        if (!closed && unit.unwrittenSector) return "torn";
        problem = unit;
      }
      if (problem === undefined && unit.type !== "damage") {
        at = unit.end;
        continue;
      }
      state = "damaged";
      this.#problem(path, problem!.offset, problem!.expected);
      this.#end = replay.end;
      this.#lose();
      at = this.#resume(path, bytes, { from: at + RECORD_ALIGNMENT, end, salt, number });
      this.#replay?.startSegment(sequence, at);
    }
    if (state === "damaged" || knownEnd !== undefined) return state;
    return this.#replay?.openBatchAt === undefined ? "closed" : "open";
  }

  /** Goes on at the next batch that is whole; every later one that is not is a problem, too. */
  #resume(
    path: string,
    bytes: Uint8Array,
    place: { from: number; end: number; salt: number; number: number },
  ): number {
    const { end, salt } = place;
    let { number } = place;
    for (let at = place.from; at + RECORD_HEAD_BYTES <= end; at += RECORD_ALIGNMENT) {
      const head = decodeRecordHead(bytes, at, recordSeed(salt, at));
      if (head?.type !== "batch" || head.index <= number) continue;
      number = head.index;
      const unit = scanUnit(bytes, at, end, salt, number);
      if (unit.type === "batch") {
        const { previousIndex, previousTerm } = unit.body;
        const point = { index: previousIndex, term: previousTerm, chain: unit.chainBefore };
        this.#replay = this.#anchor(point, number - 1);
        return at;
      }
      if (unit.type === "damage") this.#problem(path, unit.offset, unit.expected);
    }
    return end;
  }

  #link(path: string, header: SegmentHeader): void {
    if (this.#replay === undefined) return;
    const { lastBatch, table } = this.#replay;
    const { last } = table;
    const fits = header.previousIndex === last.index && header.previousTerm === last.term &&
      header.previousBatch === lastBatch && chainEquals(header.previousChain, last.chain);
    if (fits) return;
    const expected = `a segment after entry ${last.index} and batch ${lastBatch}, ` +
      `not after ${header.previousIndex} and ${header.previousBatch}`;
    this.#problem(path, 0, expected);
    this.#lose();
  }

  /** The whole log is read from one end to the other, or the problem is told already. */
  #base(): void {
    const replay = this.#replay;
    if (replay === undefined || this.#tables.length > 1 || replay.baseFound) return;
    const path = segmentPath(this.#folder, replay.starts.first);
    const expected = `the configuration at entry ${replay.table.base.index}, ` +
      "in this segment or a later one";
    this.#problem(path, SEGMENT_DATA_AT, expected);
  }

  #anchor(point: LogPoint, lastBatch: number): Replay {
    const before = this.#tables.at(-1);
    if (before !== undefined && before.lastIndex > point.index) {
      before.truncateFrom(Math.max(before.firstIndex, point.index + 1));
    }
    const table = new EntryTable(point);
    this.#tables.push(table);
    return new Replay(table, lastBatch);
  }

  /** What comes next does not follow what was read. */
  #lose(): void {
    if (this.#replay !== undefined) this.#keep(this.#replay.hardState);
    this.#replay = undefined;
  }

  #keep(hardState: HardState): void {
    if (hardState.term > 0) this.#hardState = hardState;
  }

  #read(path: string, length: number): Uint8Array | undefined {
    try {
      const file = this.#disk.open(path, { create: false });
      try {
        return file.read(0, length);
      } finally {
        file.close();
      }
    } catch (error) {
      this.#problem(path, 0, `${length} bytes, not the error ${messageOf(error)}`);
      return undefined;
    }
  }

  #report(
    sequence: number,
    state: SegmentReport["state"],
    header: SegmentHeader | undefined,
    end: number,
  ): void {
    this.#segments.push({
      path: segmentPath(this.#folder, sequence),
      sequence,
      state,
      header,
      end,
    });
  }

  #problem(path: string, offset: number, expected: string): void {
    this.#problems.push({ path, offset, expected });
  }
}

function pointBefore(header: SegmentHeader): LogPoint {
  const { previousIndex: index, previousTerm: term, previousChain: chain } = header;
  return { index, term, chain };
}
