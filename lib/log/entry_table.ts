import { assert, present } from "../base/assert.ts";
import { EMPTY_CONFIGURATION } from "../raft/configuration.ts";
import type { Configuration, LogIndex, Term } from "../raft/types.ts";
import type { Chain } from "../wire/chain.ts";
import type { LogPoint } from "./batch.ts";

/** Words per entry: segment, offset, body size, and the two halves of the chain. */
const WORDS = 5;
const CAPACITY_MIN = 1024;

/** Where the record of an entry lies. */
export interface EntryPosition {
  readonly segment: number;
  readonly offset: number;
  readonly bodySizeBytes: number;
}

/** What {@linkcode EntryTable.forEach} tells of each entry. */
export type EntryVisitor = (
  index: LogIndex,
  term: Term,
  bodySizeBytes: number,
  configuration: Configuration | undefined,
) => void;

interface TermRun {
  readonly first: LogIndex;
  readonly term: Term;
}

/** Knows every entry of the log by its place, in 20 bytes each; terms are kept as runs. */
export class EntryTable {
  #base: LogPoint;
  #baseConfiguration = EMPTY_CONFIGURATION;
  #words = new Uint32Array(CAPACITY_MIN * WORDS);
  #count = 0;
  readonly #runs: TermRun[] = [];
  readonly #configurations: { index: LogIndex; configuration: Configuration }[] = [];

  /** @param base What comes before the first entry. */
  constructor(base: LogPoint) {
    this.#base = base;
  }

  /** What comes before the first entry. */
  get base(): LogPoint {
    return this.#base;
  }

  /** The configuration as of {@linkcode base}; empty when nothing comes before. */
  get baseConfiguration(): Configuration {
    return this.#baseConfiguration;
  }

  set baseConfiguration(configuration: Configuration) {
    this.#baseConfiguration = configuration;
  }

  /** The configuration in force at the end of the log. */
  get configuration(): Configuration {
    return this.#configurations.at(-1)?.configuration ?? this.#baseConfiguration;
  }

  get firstIndex(): LogIndex {
    return this.#base.index + 1;
  }

  get lastIndex(): LogIndex {
    return this.#base.index + this.#count;
  }

  /** The end of the log. */
  get last(): LogPoint {
    return this.pointAt(this.lastIndex);
  }

  /** Adds the next entry; its place is not known yet. */
  push(point: LogPoint, bodySizeBytes: number, configuration: Configuration | undefined): void {
    const { index, term, chain } = point;
    assert(index === this.lastIndex + 1, `entry ${index} after ${this.lastIndex}`);
    const lastTerm = this.#runs.at(-1)?.term ?? this.#base.term;
    assert(term >= lastTerm, `entry ${index} of term ${term} after term ${lastTerm}`);
    const at = this.#count * WORDS;
    if (at === this.#words.length) {
      const words = new Uint32Array(this.#words.length * 2);
      words.set(this.#words);
      this.#words = words;
    }
    this.#words[at + 2] = bodySizeBytes;
    this.#words[at + 3] = chain.a;
    this.#words[at + 4] = chain.b;
    this.#count++;
    if (this.#runs.at(-1)?.term !== term) this.#runs.push({ first: index, term });
    if (configuration !== undefined) this.#configurations.push({ index, configuration });
  }

  /** Notes where the entry at `index` was written. */
  place(index: LogIndex, segment: number, offset: number): void {
    const at = this.#at(index);
    this.#words[at] = segment;
    this.#words[at + 1] = offset;
  }

  position(index: LogIndex): EntryPosition {
    const at = this.#at(index);
    return {
      segment: this.#words[at]!,
      offset: this.#words[at + 1]!,
      bodySizeBytes: this.#words[at + 2]!,
    };
  }

  bodySizeBytes(index: LogIndex): number {
    return this.#words[this.#at(index) + 2]!;
  }

  truncateFrom(from: LogIndex): void {
    assert(from >= this.firstIndex, `truncation from ${from}, before ${this.firstIndex}`);
    if (from > this.lastIndex) return;
    this.#count = from - this.firstIndex;
    while ((this.#runs.at(-1)?.first ?? 0) >= from) this.#runs.pop();
    while ((this.#configurations.at(-1)?.index ?? 0) >= from) this.#configurations.pop();
  }

  /** Forgets entries up to `index`, of which term, chain and configuration stay known. */
  truncatePrefix(index: LogIndex): void {
    const gone = index - this.#base.index;
    if (gone <= 0) return;
    this.#base = this.pointAt(index);
    this.#words.copyWithin(0, gone * WORDS, this.#count * WORDS);
    this.#count -= gone;
    const capacity = Math.max(this.#count * 2, CAPACITY_MIN) * WORDS;
    if (capacity * 2 <= this.#words.length) this.#words = this.#words.slice(0, capacity);
    let runs = 0;
    while (runs < this.#runs.length && this.#runEnd(runs) <= index) runs++;
    this.#runs.splice(0, runs);
    const [run] = this.#runs;
    if (run !== undefined && run.first <= index) this.#runs[0] = { ...run, first: index + 1 };
    let changes = 0;
    while ((this.#configurations[changes]?.index ?? Infinity) <= index) changes++;
    const [last] = this.#configurations.splice(0, changes).slice(-1);
    if (last !== undefined) this.#baseConfiguration = last.configuration;
  }

  /** Forgets everything: the log goes on after `base`. */
  reset(base: LogPoint, configuration: Configuration): void {
    this.#base = base;
    this.#baseConfiguration = configuration;
    this.#words = new Uint32Array(CAPACITY_MIN * WORDS);
    this.#count = 0;
    this.#runs.length = 0;
    this.#configurations.length = 0;
  }

  /** The latest configuration at or before `index`, which is the base or an entry. */
  configurationAt(index: LogIndex): Configuration {
    const inside = index >= this.#base.index && index <= this.lastIndex;
    assert(inside, `entry ${index} outside ${this.#base.index} to ${this.lastIndex}`);
    const latest = this.#configurations.findLast((placed) => placed.index <= index);
    return latest?.configuration ?? this.#baseConfiguration;
  }

  /** The term of the entry at `index`, or of what comes before the first one. */
  termAt(index: LogIndex): Term | undefined {
    if (index === this.#base.index) return this.#base.term;
    if (index < this.firstIndex || index > this.lastIndex) return undefined;
    let low = 0;
    let high = this.#runs.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]!.first <= index) low = middle;
      else high = middle;
    }
    return this.#runs[low]!.term;
  }

  chainAt(index: LogIndex): Chain {
    if (index === this.#base.index) return this.#base.chain;
    const at = this.#at(index);
    return { a: this.#words[at + 3]!, b: this.#words[at + 4]! };
  }

  pointAt(index: LogIndex): LogPoint {
    const term = present(this.termAt(index), `entry ${index}`);
    return { index, term, chain: this.chainAt(index) };
  }

  /** Tells of every entry, in order. */
  forEach(visit: EntryVisitor): void {
    let run = 0;
    let change = 0;
    for (let index = this.firstIndex; index <= this.lastIndex; index++) {
      while ((this.#runs[run + 1]?.first ?? Infinity) <= index) run++;
      const configuration = this.#configurations[change]?.index === index
        ? this.#configurations[change++]!.configuration
        : undefined;
      visit(index, this.#runs[run]!.term, this.bodySizeBytes(index), configuration);
    }
  }

  #runEnd(run: number): LogIndex {
    return (this.#runs[run + 1]?.first ?? this.lastIndex + 1) - 1;
  }

  #at(index: LogIndex): number {
    const place = index - this.firstIndex;
    // The message is built only when it is needed: this runs several times for every entry sent.
    if (place < 0 || place >= this.#count) {
      assert(false, `entry ${index} outside ${this.firstIndex} to ${this.lastIndex}`);
    }
    return place * WORDS;
  }
}
