/**
 * What one node's disk holds for certain, and what else it may hold: kept apart from the log's own
 * books, by watching what is handed to the log and when it says that it is durable.
 */
import type { SegmentLog } from "../../../lib/log/segment_log.ts";
import type { LogBatch } from "../../../lib/log/types.ts";
import type { Chain } from "../../../lib/wire/chain.ts";
import type { HardState, LogIndex, NodeId, Term } from "../../../lib/raft/types.ts";
import { require } from "./violation.ts";

type Step =
  | { readonly type: "state"; readonly state: HardState }
  | { readonly type: "reset"; readonly index: LogIndex; readonly term: Term }
  | { readonly type: "truncate"; readonly from: LogIndex }
  | { readonly type: "entry"; readonly index: LogIndex; readonly term: Term }
  | { readonly type: "recovered" };

/** In place of the term of an entry that a snapshot or a compaction made go. */
export const GONE = -1;

/** Term, vote, and the term of every entry, as found on a disk. */
export interface Found {
  readonly hardState: HardState;
  /** That of entry `i + 1`; those before the base of the log say that they are gone. */
  readonly terms: readonly Term[];
  /** The log was cut at damage, and that was not made good. */
  readonly recovering: boolean;
}

/** The terms of a log that begins after `base`. */
export function termsAfter(base: { readonly index: LogIndex; readonly term: Term }): Term[] {
  if (base.index === 0) return [];
  return [...new Array<Term>(base.index - 1).fill(GONE), base.term];
}

/** What a log holds; tells the chain of every entry, that of the base included. */
export function foundIn(
  log: SegmentLog,
  holds: (index: LogIndex, term: Term, chain: Chain) => void,
): Found {
  const terms = termsAfter({ index: log.baseIndex, term: log.baseTerm });
  for (let index = log.baseIndex; index <= log.lastIndex; index++) {
    const point = log.pointAt(index);
    if (point === undefined) continue;
    if (index > log.baseIndex) terms.push(point.term);
    if (index > 0) holds(index, point.term, point.chain);
  }
  return { hardState: log.hardState, terms, recovering: log.recovering };
}

const NOTHING: HardState = { term: 0, votedFor: undefined };

/** The durable state of one node, over all its lives. */
export class Durable {
  readonly #id: NodeId;
  hardState: HardState = NOTHING;
  /** The term of entry `i + 1`. */
  terms: Term[] = [];
  /** Entries are missing that were durable once. */
  recovering = false;
  /** The terms of the entries before the first cut, as far as that was not made good. */
  #promised: Term[] = [];
  /** Everything that ever became durable, as far as it was not cut off. */
  #steps: Step[] = [];
  /** Handed to the log, in order, and not known to be durable. */
  #pending: Step[] = [];
  /** Entries up to here may go. */
  #compacted: LogIndex = 0;
  /** Number of steps that became durable. */
  #done = 0;

  constructor(id: NodeId) {
    this.#id = id;
  }

  get lastIndex(): LogIndex {
    return this.terms.length;
  }

  /**
   * Whether the node may be counted on for an entry. While it recovers, nothing counts but what it
   * acknowledged before: a leader may have counted that, as long as it did not hear of the damage.
   * What is gone was committed, and the database holds it.
   */
  holds(index: LogIndex, term: Term): boolean {
    const terms = this.recovering ? this.#promised : this.terms;
    return isSame(terms[index - 1], term);
  }

  compact(index: LogIndex): void {
    this.#compacted = Math.max(this.#compacted, index);
  }

  /** A batch was handed to the log. Returns its mark for {@linkcode reached}. */
  append(batch: LogBatch): number {
    const { hardState, reset, truncateFrom, entries, recovered } = batch;
    if (hardState !== undefined) this.#pending.push({ type: "state", state: hardState });
    if (reset !== undefined) {
      this.#pending.push({ type: "reset", index: reset.index, term: reset.term });
    }
    if (truncateFrom !== undefined) this.#pending.push({ type: "truncate", from: truncateFrom });
    for (const { index, term } of entries) this.#pending.push({ type: "entry", index, term });
    if (recovered === true) this.#pending.push({ type: "recovered" });
    return this.#done + this.#pending.length;
  }

  /** The log said that everything up to a mark is durable. */
  reached(mark: number): void {
    require(mark >= this.#done, () => `n${this.#id}: durable writes out of order`);
    for (const step of this.#pending.splice(0, mark - this.#done)) {
      this.#steps.push(step);
      if (step.type === "state") this.hardState = step.state;
      else if (step.type === "recovered") this.recovering = false;
      else take(this.terms, step);
    }
    this.#done = mark;
  }

  /** The term of an entry that it may have acknowledged before the last damage. */
  promisedTerm(index: LogIndex): Term | undefined {
    return this.#promised[index - 1];
  }

  /** Whether a start found the entries that {@linkcode check} demands. */
  fits(found: Found): boolean {
    const terms = [...this.terms];
    let recovering = this.recovering;
    if (equal(terms, found.terms) && recovering === found.recovering) return true;
    return this.#pending.some((step) => {
      if (step.type === "recovered") recovering = false;
      else if (step.type !== "state") take(terms, step);
      return equal(terms, found.terms) && recovering === found.recovering;
    });
  }

  /** What a start found must be what was durable, with what came next up to some point. */
  check(found: Found, where: string): void {
    const terms = [...this.terms];
    let state = this.hardState;
    let recovering = this.recovering;
    const gone = found.terms.lastIndexOf(GONE) + 1;
    const isFound = () =>
      equal(terms, found.terms) && recovering === found.recovering &&
      gone <= Math.max(this.#compacted, terms.lastIndexOf(GONE) + 1);
    let fits = isFound();
    let stateFits = fits && equalState(state, found.hardState);
    for (const step of this.#pending) {
      if (step.type === "state") state = step.state;
      else if (step.type === "recovered") recovering = false;
      else take(terms, step);
      if (isFound()) fits = true;
      // The slots may be ahead of the stream.
      if (fits && equalState(state, found.hardState)) stateFits = true;
    }
    require(
      fits,
      () =>
        `n${this.#id} ${where}: finds ${found.terms.length} entries, the last of term ` +
        `${found.terms.at(-1)}; durable were ${this.terms.length}, the last of term ` +
        `${this.terms.at(-1)}, and ${this.#pending.length} steps were under way; recovering ` +
        `${found.recovering}, was ${this.recovering}`,
    );
    require(
      stateFits,
      () =>
        `n${this.#id} ${where}: finds term ${found.hardState.term} with a vote for ` +
        `${found.hardState.votedFor}; durable was ${this.hardState.term} with ` +
        `${this.hardState.votedFor}`,
    );
  }

  /**
   * What a start found after damage must be what was durable at some moment, with term and vote as
   * they were last.
   */
  cut(found: Found, where: string): void {
    require(found.recovering, () => `n${this.#id} ${where}: cuts its log and does not say so`);
    let state = this.hardState;
    let stateFits = equalState(state, found.hardState);
    const steps = [...this.#steps, ...this.#pending];
    for (const step of this.#pending) {
      if (step.type === "state") state = step.state;
      if (equalState(state, found.hardState)) stateFits = true;
    }
    const terms: Term[] = [];
    let last = equal(terms, found.terms) ? 0 : -1;
    steps.forEach((step, at) => {
      if (step.type !== "state" && step.type !== "recovered") take(terms, step);
      if (equal(terms, found.terms)) last = at + 1;
    });
    require(last >= 0, () => `n${this.#id} ${where}: a cut leaves entries that never stood alone`);
    require(
      stateFits,
      () =>
        `n${this.#id} ${where}: keeps term ${found.hardState.term} with a vote for ` +
        `${found.hardState.votedFor}; durable was ${this.hardState.term} with ` +
        `${this.hardState.votedFor}`,
    );
    if (!this.recovering) this.#promised = this.terms;
    this.hardState = found.hardState;
    this.terms = [...found.terms];
    this.recovering = true;
    this.#steps = steps.slice(0, last);
    this.#pending = [];
  }

  /** A new life began with this; it is durable. */
  restart(found: Found): void {
    const terms = [...this.terms];
    let count = 0;
    this.#pending.forEach((step, at) => {
      if (step.type !== "state" && step.type !== "recovered") take(terms, step);
      if (equal(terms, found.terms)) count = at + 1;
    });
    this.#steps.push(...this.#pending.slice(0, count));
    this.hardState = found.hardState;
    this.terms = [...found.terms];
    this.recovering = found.recovering;
    this.#pending = [];
  }

  /** The folder was emptied before the node ever took part. */
  reset(): void {
    this.#pending = [];
    this.#steps = [];
    this.#compacted = 0;
    this.restart({ hardState: NOTHING, terms: [], recovering: false });
  }
}

function take(terms: Term[], step: Extract<Step, { type: "reset" | "truncate" | "entry" }>): void {
  if (step.type === "reset") terms.splice(0, terms.length, ...termsAfter(step));
  else if (step.type === "truncate") terms.length = Math.min(terms.length, step.from - 1);
  else {
    require(step.index === terms.length + 1, () => `entry ${step.index} after ${terms.length}`);
    terms.push(step.term);
  }
}

/** Whether a disk holds these entries; what was found to be gone may have been compacted. */
function equal(terms: readonly Term[], found: readonly Term[]): boolean {
  return terms.length === found.length &&
    terms.every((term, at) => found[at] === GONE || found[at] === term);
}

/** Whether an entry has a term, or is gone. */
export function isSame(found: Term | undefined, term: Term): boolean {
  return found === term || found === GONE;
}

function equalState(one: HardState, other: HardState): boolean {
  return one.term === other.term && one.votedFor === other.votedFor;
}
