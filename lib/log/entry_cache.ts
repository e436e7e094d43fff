import { assert } from "../base/assert.ts";
import type { Entry, LogIndex } from "../raft/types.ts";

/** Counts for every entry beside its payload. */
const ENTRY_OVERHEAD_BYTES = 128;
/** Evicted places at the front of the array before it is moved together. */
const COMPACT_MIN = 1024;

/**
 * The end of the log in memory: every entry that is not durable, and before those as many as the
 * bound allows.
 */
export class EntryCache {
  readonly #bytesMax: number;
  #entries: (Entry | undefined)[] = [];
  /** Evicted places at the front of the array. */
  #evicted = 0;
  #nextIndex: LogIndex;
  #bytes = 0;

  constructor(nextIndex: LogIndex, bytesMax: number) {
    this.#nextIndex = nextIndex;
    this.#bytesMax = bytesMax;
  }

  /** The first entry that is here; the index after the last one when none is. */
  get firstIndex(): LogIndex {
    return this.#nextIndex - (this.#entries.length - this.#evicted);
  }

  get(index: LogIndex): Entry | undefined {
    if (index < this.firstIndex || index >= this.#nextIndex) return undefined;
    return this.#entries[this.#entries.length - (this.#nextIndex - index)];
  }

  push(entry: Entry): void {
    assert(entry.index === this.#nextIndex, `entry ${entry.index} after ${this.#nextIndex - 1}`);
    this.#entries.push(entry);
    this.#nextIndex++;
    this.#bytes += costBytes(entry);
  }

  truncateFrom(from: LogIndex): void {
    while (this.#nextIndex > from) {
      if (this.#entries.length > this.#evicted) this.#bytes -= costBytes(this.#entries.pop());
      this.#nextIndex--;
    }
  }

  /** Forgets everything; the next entry has this index. */
  reset(nextIndex: LogIndex): void {
    this.#entries = [];
    this.#evicted = 0;
    this.#bytes = 0;
    this.#nextIndex = nextIndex;
  }

  /** Forgets the oldest entries up to `durableIndex` while there are too many bytes. */
  evict(durableIndex: LogIndex): void {
    this.#evict(durableIndex, this.#bytesMax);
  }

  /** Forgets every entry up to `index`. */
  truncatePrefix(index: LogIndex): void {
    this.#evict(index, 0);
  }

  #evict(upTo: LogIndex, bytesMax: number): void {
    while (this.#bytes > bytesMax && this.firstIndex <= upTo) {
      this.#bytes -= costBytes(this.#entries[this.#evicted]);
      this.#entries[this.#evicted++] = undefined;
    }
    if (this.#evicted < COMPACT_MIN || this.#evicted * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#evicted);
    this.#evicted = 0;
  }
}

function costBytes(entry: Entry | undefined): number {
  return ENTRY_OVERHEAD_BYTES + (entry?.type === "command" ? entry.payload.length : 0);
}
