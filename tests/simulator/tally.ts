/** What many seeds came to, added up. */
import { Counters, type PlainCounters } from "./marks.ts";
import type { RunResult } from "./run.ts";

/** Runs one seed. */
export type Runner = (seed: number) => RunResult;

/** A seed that broke a promise. */
export interface Failure {
  readonly seed: number;
  readonly reason: string;
}

/** Seeds that follow one another. */
export interface Seeds {
  readonly from: number;
  readonly count: number;
}

/** {@linkcode Tally} as JSON. */
export interface PlainTally {
  readonly seeds: number;
  readonly events: number;
  readonly simulatedUs: number;
  readonly failures: readonly Failure[];
  readonly counters: PlainCounters;
}

/** One seed in so many is run twice: both runs have to be the same. */
const REPEAT_EVERY = 64;

/** See the file comment. */
export class Tally {
  readonly counters = new Counters();
  seeds = 0;
  events = 0;
  simulatedUs = 0;
  readonly failures: Failure[] = [];

  /** Runs seeds one after another, until so many of all that were counted here failed. */
  run({ from, count }: Seeds, failuresMax: number, run: Runner): void {
    for (let seed = from; seed < from + count; seed++) {
      if (this.failures.length >= failuresMax) return;
      const result = run(seed);
      this.#take(result);
      if (result.failure === undefined && seed % REPEAT_EVERY === 0) this.#repeat(result, run);
    }
  }

  /** Takes in what another process counted. */
  add(other: PlainTally): void {
    this.seeds += other.seeds;
    this.events += other.events;
    this.simulatedUs += other.simulatedUs;
    this.failures.push(...other.failures);
    this.counters.add(other.counters);
  }

  plain(): PlainTally {
    const { seeds, events, simulatedUs, failures } = this;
    return { seeds, events, simulatedUs, failures, counters: this.counters.plain() };
  }

  #take({ seed, events, simulatedUs, counters, failure }: RunResult): void {
    this.seeds++;
    this.events += events;
    this.simulatedUs += simulatedUs;
    this.counters.add(counters);
    if (failure !== undefined) this.failures.push({ seed, reason: failure });
  }

  #repeat({ seed, hash }: RunResult, run: Runner): void {
    this.counters.count("seeds run twice");
    const again = run(seed).hash;
    if (again === hash) return;
    const reason = `its hash is ${hash}, then ${again}: the run depends on more than the seed`;
    this.failures.push({ seed, reason });
  }
}
