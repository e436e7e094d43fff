/**
 * What the core knows of the log: terms and sizes, no payloads.
 *
 * - Indexes are contiguous from `firstIndex` to `lastIndex`; `baseIndex` is `firstIndex - 1`.
 * - Terms never decrease along the log, so they are kept as runs.
 * - Sizes are kept as running totals, so that the size of a range is one subtraction.
 */
import { assert } from "../base/assert.ts";
import type { LogIndex, Term } from "./types.ts";

interface Run {
  /** The first entry of `term`. */
  readonly first: LogIndex;
  readonly term: Term;
}

export class LogOutline {
  #baseIndex: LogIndex;
  #lastIndex: LogIndex;
  /** The run at the bottom stands for the base entry. */
  #runs: Run[];
  /** Bytes from the beginning of time up to entry `#totalsFrom + i`. */
  #totals: number[] = [0];
  #totalsFrom: LogIndex;

  constructor(baseIndex: LogIndex, baseTerm: Term) {
    assert(Number.isSafeInteger(baseIndex) && baseIndex >= 0, `bad base index ${baseIndex}`);
    this.#baseIndex = baseIndex;
    this.#lastIndex = baseIndex;
    this.#totalsFrom = baseIndex;
    this.#runs = [{ first: baseIndex, term: baseTerm }];
  }

  /** The entry before the first one that is kept. */
  get baseIndex(): LogIndex {
    return this.#baseIndex;
  }

  get firstIndex(): LogIndex {
    return this.#baseIndex + 1;
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#runs[this.#runs.length - 1]!.term;
  }

  /** The term of the entry at `index`, that of the base included; undefined outside the log. */
  termAt(index: LogIndex): Term | undefined {
    if (index > this.#lastIndex || index < this.#baseIndex) return undefined;
    return this.#runs[this.#runAt(index)]!.term;
  }

  append(term: Term, sizeBytes: number): void {
    const lastTerm = this.lastTerm;
    assert(term >= lastTerm, `term ${term} follows ${lastTerm}`);
    assert(sizeBytes >= 0, `entry of ${sizeBytes} bytes`);
    this.#totals.push(this.#totals[this.#totals.length - 1]! + sizeBytes);
    this.#lastIndex++;
    if (term > lastTerm) this.#runs.push({ first: this.#lastIndex, term });
  }

  /** Forgets entries from `index` on. */
  truncate(index: LogIndex): void {
    assert(index > this.#baseIndex, `cannot truncate at ${index}, base is ${this.#baseIndex}`);
    if (index > this.#lastIndex) return;
    this.#lastIndex = index - 1;
    this.#totals.length = this.#lastIndex - this.#totalsFrom + 1;
    while (this.#runs[this.#runs.length - 1]!.first > this.#lastIndex) this.#runs.pop();
  }

  /** Forgets everything: the log goes on after `baseIndex`. */
  reset(baseIndex: LogIndex, baseTerm: Term): void {
    this.#baseIndex = baseIndex;
    this.#lastIndex = baseIndex;
    this.#totals = [0];
    this.#totalsFrom = baseIndex;
    this.#runs = [{ first: baseIndex, term: baseTerm }];
  }

  /** Forgets entries before `firstIndex`. */
  compact(firstIndex: LogIndex): void {
    const base = firstIndex - 1;
    if (base <= this.#baseIndex) return;
    assert(base <= this.#lastIndex, `cannot compact to ${base}, log ends at ${this.#lastIndex}`);
    const run = this.#runAt(base);
    this.#runs.splice(0, run);
    this.#baseIndex = base;
    const dead = base - this.#totalsFrom;
    // Moving the rest costs its length, so it is done when it is the smaller half.
    if (dead * 2 < this.#totals.length) return;
    this.#totals.splice(0, dead);
    this.#totalsFrom = base;
  }

  /** Bytes of the payloads of `[first, last]`; 0 when `last < first`. */
  sizeOf(first: LogIndex, last: LogIndex): number {
    if (last < first) return 0;
    assert(first > this.#baseIndex && last <= this.#lastIndex, `no range ${first}..${last}`);
    return this.#totals[last - this.#totalsFrom]! - this.#totals[first - 1 - this.#totalsFrom]!;
  }

  /** The last entry of a message that starts with `first`: at least that one entry. */
  fit(first: LogIndex, entriesMax: number, bytesMax: number): LogIndex {
    let low = first;
    let high = Math.min(this.#lastIndex, first + entriesMax - 1);
    if (this.sizeOf(first, high) <= bytesMax) return high;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.sizeOf(first, middle) <= bytesMax) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /**
   * The last entry at or before `index` whose term is at most `term`, or the base: where two logs
   * may agree at the latest, when the other one holds `term` at `index`.
   */
  lastWithTermAtMost(index: LogIndex, term: Term): LogIndex {
    let at = Math.min(index, this.#lastIndex);
    if (at <= this.#baseIndex) return this.#baseIndex;
    for (let run = this.#runAt(at); run >= 0; run--) {
      const { first, term: runTerm } = this.#runs[run]!;
      if (runTerm <= term) return at;
      at = first - 1;
    }
    return this.#baseIndex;
  }

  copy(): LogOutline {
    const copy = new LogOutline(this.#baseIndex, this.#runs[0]!.term);
    copy.#lastIndex = this.#lastIndex;
    copy.#runs = [...this.#runs];
    copy.#totals = [...this.#totals];
    copy.#totalsFrom = this.#totalsFrom;
    return copy;
  }

  /** The number of the run that holds `index`. */
  #runAt(index: LogIndex): number {
    let high = this.#runs.length - 1;
    if (this.#runs[high]!.first <= index) return high;
    let low = 0;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#runs[middle]!.first <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
