import { assert } from "../base/assert.ts";
import type { Disk, DiskFile } from "../io/disk.ts";
import type { HardState } from "../raft/types.ts";
import {
  BLOCK_BYTES,
  type BlockFault,
  decodeSlot,
  encodeSlot,
  type LogOwner,
  type Slot,
} from "../wire/segment_header.ts";
import { isZero } from "./zero_map.ts";

/** Names of the two files. */
export const SLOT_NAMES = ["state.a", "state.b"] as const;

/** What a start found in one file. */
export type SlotFinding = Slot | BlockFault | "absent" | "unreadable";

/** Reads both slots. */
export function readSlots(disk: Disk, folder: string): readonly SlotFinding[] {
  return SLOT_NAMES.map((name) => {
    const path = `${folder}/${name}`;
    if (!disk.exists(path)) return "absent";
    const file = disk.open(path, { create: false });
    try {
      const block = file.read(0, BLOCK_BYTES);
      // A start that was cut short before its first sync leaves a file without content.
      return isZero(block, 0, block.length) ? "absent" : decodeSlot(block);
    } catch {
      return "unreadable";
    } finally {
      file.close();
    }
  });
}

/** The newest of the slots that are valid. */
export function newestSlot(findings: readonly SlotFinding[]): Slot | undefined {
  let newest: Slot | undefined;
  for (const finding of findings) {
    if (typeof finding === "string") continue;
    if (newest === undefined || finding.sequence > newest.sequence) newest = finding;
  }
  return newest;
}

/**
 * The second home of term and vote: two files, written in turn, so that one of them is always
 * whole. Each also names the first and the last segment, which makes the loss of one noticeable.
 */
export class Slots {
  readonly #owner: LogOwner;
  readonly #files: readonly DiskFile[];
  #sequence: number;
  #hardState: HardState;
  #firstSegment: number;
  #activeSegment: number;

  constructor(disk: Disk, folder: string, owner: LogOwner, newest: Slot | undefined) {
    this.#owner = owner;
    this.#sequence = newest?.sequence ?? 0;
    this.#hardState = newest?.hardState ?? { term: 0, votedFor: undefined };
    this.#firstSegment = newest?.firstSegment ?? 0;
    this.#activeSegment = newest?.activeSegment ?? 0;
    this.#files = SLOT_NAMES.map((name) => disk.open(`${folder}/${name}`, { create: true }));
  }

  /** Writes both files at once; only while nothing else is under way. */
  writeBoth(hardState: HardState, firstSegment: number, activeSegment: number): void {
    this.#hardState = hardState;
    this.#firstSegment = firstSegment;
    this.#activeSegment = activeSegment;
    // One after the other: should the first write be cut short, the second file is whole.
    for (let i = 0; i < SLOT_NAMES.length; i++) {
      const file = this.#next();
      file.write(0, this.#encode());
      file.sync();
    }
  }

  setHardState(hardState: HardState, done: (error: Error | undefined) => void): void {
    assert(hardState.term >= this.#hardState.term, `term ${hardState.term} goes back`);
    this.#hardState = hardState;
    this.#next().writeDurably("hard state", 0, [this.#encode()], done);
  }

  setActiveSegment(sequence: number, done: (error: Error | undefined) => void): void {
    assert(sequence > this.#activeSegment, `segment ${sequence} after ${this.#activeSegment}`);
    this.#activeSegment = sequence;
    this.#next().writeDurably("active segment", 0, [this.#encode()], done);
  }

  /** Names the first segment that is needed in both files, so that older ones may go. */
  setFirstSegment(sequence: number, done: (error: Error | undefined) => void): void {
    assert(sequence >= this.#firstSegment, `first segment ${sequence} < ${this.#firstSegment}`);
    assert(sequence <= this.#activeSegment, `first segment ${sequence} > ${this.#activeSegment}`);
    this.#firstSegment = sequence;
    this.#next().writeDurably("first segment", 0, [this.#encode()], (error) => {
      if (error !== undefined) return done(error);
      this.#next().writeDurably("first segment", 0, [this.#encode()], done);
    });
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  #next(): DiskFile {
    this.#sequence++;
    return this.#files[this.#sequence % SLOT_NAMES.length]!;
  }

  #encode(): Uint8Array {
    return encodeSlot({
      owner: this.#owner,
      sequence: this.#sequence,
      hardState: this.#hardState,
      firstSegment: this.#firstSegment,
      activeSegment: this.#activeSegment,
    });
  }
}
