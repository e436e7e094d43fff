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

/** What the slots tell beside the count of their writes. */
export type SlotState = Omit<Slot, "owner" | "sequence">;

const NOTHING: SlotState = {
  hardState: { term: 0, votedFor: undefined },
  firstSegment: 0,
  activeSegment: 0,
  recovering: false,
  alone: false,
};

/**
 * The second home of term and vote: two files, written in turn, so that one of them is always
 * whole. Each also names the first and the last segment, which makes the loss of one noticeable.
 */
export class Slots {
  readonly #owner: LogOwner;
  readonly #files: readonly DiskFile[];
  #sequence: number;
  #state: SlotState;

  constructor(disk: Disk, folder: string, owner: LogOwner, newest: Slot | undefined) {
    this.#owner = owner;
    this.#sequence = newest?.sequence ?? 0;
    this.#state = newest ?? NOTHING;
    this.#files = SLOT_NAMES.map((name) => disk.open(`${folder}/${name}`, { create: true }));
  }

  /** Whether every decision is left to this node, as last set. */
  get alone(): boolean {
    return this.#state.alone;
  }

  /** Writes both files at once; only while nothing else is under way. */
  writeBoth(state: Partial<SlotState>): void {
    this.#state = { ...this.#state, ...state };
    // One after the other: should the first write be cut short, the second file is whole.
    for (let i = 0; i < SLOT_NAMES.length; i++) {
      const file = this.#next();
      file.write(0, this.#encode());
      file.sync();
    }
  }

  /** Sets term and vote, and whether this node is alone, in one of the files. */
  setHardState(
    hardState: HardState | undefined,
    alone: boolean,
    done: (error: Error | undefined) => void,
  ): void {
    const before = this.#state.hardState;
    const after = hardState ?? before;
    assert(after.term >= before.term, `term ${after.term} goes back`);
    this.#state = { ...this.#state, hardState: after, alone };
    this.#next().writeDurably("hard state", 0, [this.#encode()], done);
  }

  setActiveSegment(sequence: number, done: (error: Error | undefined) => void): void {
    const { activeSegment } = this.#state;
    assert(sequence > activeSegment, `segment ${sequence} after ${activeSegment}`);
    this.#state = { ...this.#state, activeSegment: sequence };
    this.#next().writeDurably("active segment", 0, [this.#encode()], done);
  }

  /** Names the first segment that is needed in both files, so that older ones may go. */
  setFirstSegment(sequence: number, done: (error: Error | undefined) => void): void {
    const { firstSegment, activeSegment } = this.#state;
    assert(sequence >= firstSegment, `first segment ${sequence} < ${firstSegment}`);
    assert(sequence <= activeSegment, `first segment ${sequence} > ${activeSegment}`);
    this.#setBoth("first segment", { firstSegment: sequence }, done);
  }

  /** The log misses nothing any more that this node ever acknowledged. */
  setRecovered(done: (error: Error | undefined) => void): void {
    this.#setBoth("recovered", { recovering: false }, done);
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  #setBoth(
    operation: string,
    state: Partial<SlotState>,
    done: (error: Error | undefined) => void,
  ): void {
    this.#state = { ...this.#state, ...state };
    this.#next().writeDurably(operation, 0, [this.#encode()], (error) => {
      if (error !== undefined) return done(error);
      this.#next().writeDurably(operation, 0, [this.#encode()], done);
    });
  }

  #next(): DiskFile {
    this.#sequence++;
    return this.#files[this.#sequence % SLOT_NAMES.length]!;
  }

  #encode(): Uint8Array {
    return encodeSlot({ ...this.#state, owner: this.#owner, sequence: this.#sequence });
  }
}
