/**
 * What one node's disk holds for certain, and what else it may hold: kept apart from the log's own
 * books, by watching what is handed to the log and when it says that it is durable.
 */
import type { LogBatch } from "../../../lib/log/types.ts";
import type { HardState, LogIndex, NodeId, Term } from "../../../lib/raft/types.ts";
import { require } from "./violation.ts";

type Step =
  | { readonly type: "state"; readonly state: HardState }
  | { readonly type: "truncate"; readonly from: LogIndex }
  | { readonly type: "entry"; readonly index: LogIndex; readonly term: Term };

/** Term, vote, and the term of every entry, as found on a disk. */
export interface Found {
  readonly hardState: HardState;
  readonly terms: readonly Term[];
}

const NOTHING: HardState = { term: 0, votedFor: undefined };

/** The durable state of one node, over all its lives. */
export class Durable {
  readonly #id: NodeId;
  hardState: HardState = NOTHING;
  /** The term of entry `i + 1`. */
  terms: Term[] = [];
  /** Handed to the log, in order, and not known to be durable. */
  #pending: Step[] = [];
  /** Number of steps that became durable. */
  #done = 0;

  constructor(id: NodeId) {
    this.#id = id;
  }

  get lastIndex(): LogIndex {
    return this.terms.length;
  }

  holds(index: LogIndex, term: Term): boolean {
    return this.terms[index - 1] === term;
  }

  /** A batch was handed to the log. Returns its mark for {@linkcode reached}. */
  append(batch: LogBatch): number {
    const { hardState, truncateFrom, entries } = batch;
    if (hardState !== undefined) this.#pending.push({ type: "state", state: hardState });
    if (truncateFrom !== undefined) this.#pending.push({ type: "truncate", from: truncateFrom });
    for (const { index, term } of entries) this.#pending.push({ type: "entry", index, term });
    return this.#done + this.#pending.length;
  }

  /** The log said that everything up to a mark is durable. */
  reached(mark: number): void {
    require(mark >= this.#done, () => `n${this.#id}: durable writes out of order`);
    for (const step of this.#pending.splice(0, mark - this.#done)) {
      if (step.type === "state") this.hardState = step.state;
      else take(this.terms, step);
    }
    this.#done = mark;
  }

  /** What a start found must be what was durable, with what came next up to some point. */
  check(found: Found, where: string): void {
    const terms = [...this.terms];
    let state = this.hardState;
    let fits = equal(terms, found.terms);
    let stateFits = fits && equalState(state, found.hardState);
    for (const step of this.#pending) {
      if (step.type === "state") state = step.state;
      else {
        take(terms, step);
        if (equal(terms, found.terms)) fits = true;
      }
      // The slots may be ahead of the stream.
      if (fits && equalState(state, found.hardState)) stateFits = true;
    }
    require(
      fits,
      () =>
        `n${this.#id} ${where}: finds ${found.terms.length} entries, the last of term ` +
        `${found.terms.at(-1)}; durable were ${this.terms.length}, the last of term ` +
        `${this.terms.at(-1)}, and ${this.#pending.length} steps were under way`,
    );
    require(
      stateFits,
      () =>
        `n${this.#id} ${where}: finds term ${found.hardState.term} with a vote for ` +
        `${found.hardState.votedFor}; durable was ${this.hardState.term} with ` +
        `${this.hardState.votedFor}`,
    );
  }

  /** A new life began with this; it is durable. */
  restart(found: Found): void {
    this.hardState = found.hardState;
    this.terms = [...found.terms];
    this.#pending = [];
  }

  /** The folder was emptied before the node ever took part. */
  reset(): void {
    this.restart({ hardState: NOTHING, terms: [] });
  }
}

function take(terms: Term[], step: Exclude<Step, { type: "state" }>): void {
  if (step.type === "truncate") terms.length = Math.min(terms.length, step.from - 1);
  else {
    require(step.index === terms.length + 1, () => `entry ${step.index} after ${terms.length}`);
    terms.push(step.term);
  }
}

function equal(one: readonly Term[], other: readonly Term[]): boolean {
  return one.length === other.length && one.every((term, at) => term === other[at]);
}

function equalState(one: HardState, other: HardState): boolean {
  return one.term === other.term && one.votedFor === other.votedFor;
}
