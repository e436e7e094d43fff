/** Runs many seeds, in this process or in several, and adds up what they came to. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Counters, type PlainCounters } from "./marks.ts";
import { runSeed } from "./run.ts";

/** What a range of seeds came to so far. */
export interface Tally {
  readonly counters: Counters;
  seeds: number;
  events: number;
  simulatedUs: number;
  readonly failures: Failure[];
}

/** A seed that broke a promise. */
export interface Failure {
  readonly seed: number;
  readonly reason: string;
}

/** What a worker process writes, one line of JSON for each seed. */
interface Line {
  readonly seed: number;
  readonly events: number;
  readonly simulatedUs: number;
  readonly counters: PlainCounters;
  readonly failure: string | null;
}

/** Which seeds to run, and when to stop. */
export interface Range {
  readonly from: number;
  readonly count: number;
  /** Ends early once so many seeds failed. */
  readonly failuresMax: number;
  readonly jobs: number;
}

export function newTally(): Tally {
  return { counters: new Counters(), seeds: 0, events: 0, simulatedUs: 0, failures: [] };
}

/** Runs seeds one after another in this process, and tells each as a line of JSON. */
export function workOn(from: number, count: number, step: number): void {
  for (let seed = from; seed < from + count; seed += step) {
    const { events, simulatedUs, counters, failure } = runSeed(seed);
    const line: Line = { seed, events, simulatedUs, counters, failure: failure ?? null };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

/**
 * Runs a range of seeds.
 *
 * @param progress Called after every seed.
 */
export async function runRange(range: Range, progress: (tally: Tally) => void): Promise<Tally> {
  const tally = newTally();
  const { from, count, jobs, failuresMax } = range;
  if (jobs === 1) {
    for (let seed = from; seed < from + count; seed++) {
      const result = runSeed(seed);
      take(tally, { ...result, failure: result.failure ?? null });
      progress(tally);
      if (tally.failures.length >= failuresMax) break;
    }
    return tally;
  }
  const ends = Array.from({ length: jobs }, (_, job) => runWorker(range, job, tally, progress));
  await Promise.all(ends);
  tally.failures.sort((a, b) => a.seed - b.seed);
  return tally;
}

function take(tally: Tally, line: Line): void {
  tally.seeds++;
  tally.events += line.events;
  tally.simulatedUs += line.simulatedUs;
  tally.counters.add(line.counters);
  if (line.failure !== null) tally.failures.push({ seed: line.seed, reason: line.failure });
}

async function runWorker(
  { from, count, jobs, failuresMax }: Range,
  job: number,
  tally: Tally,
  progress: (tally: Tally) => void,
): Promise<void> {
  const main = new URL("main.ts", import.meta.url).pathname;
  const runtime = "Deno" in globalThis ? ["run", "-A", main] : [main];
  const range = ["--worker", String(from + job), String(count - job), String(jobs)];
  const child = spawn(process.execPath, [...runtime, ...range], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  try {
    for await (const text of createInterface({ input: child.stdout })) {
      take(tally, JSON.parse(text) as Line);
      progress(tally);
      if (tally.failures.length >= failuresMax) return;
    }
    const code = await exited;
    if (code !== 0) throw new Error(`A worker ended with ${code}`);
  } finally {
    child.kill();
  }
}
