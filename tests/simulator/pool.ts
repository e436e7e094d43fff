/** Runs many seeds, in this process or in several that are handed a few at a time. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type PlainTally, type Runner, type Seeds, Tally } from "./tally.ts";

/** Which seeds to run, and when to stop. */
export interface Range extends Seeds {
  /** Ends early once so many seeds failed. */
  readonly failuresMax: number;
  /** Processes; with 1 there is only this one. */
  readonly jobs: number;
  /** Options of the command line that each process gets. */
  readonly options?: readonly string[];
}

/** Seeds that are handed out at once. */
const SEEDS_AT_ONCE = 20;
/** Seeds after which a process makes room for a new one, so that no leak can grow. */
const SEEDS_OF_PROCESS = 5000;

/** Runs what the other process asks for, a line of JSON for each line `from count failuresMax`. */
export async function workOn(run: Runner): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [from = 1, count = 1, failuresMax = 1] = line.split(" ").map(Number);
    const tally = new Tally();
    tally.run({ from, count }, failuresMax, run);
    process.stdout.write(`${JSON.stringify(tally.plain())}\n`);
  }
}

/**
 * Runs a range of seeds.
 *
 * @param progress Called after every few seeds.
 */
export async function runRange(
  range: Range,
  run: Runner,
  progress: (tally: Tally) => void = () => {},
): Promise<Tally> {
  const tally = new Tally();
  const supply = new Supply(range, tally);
  const work = range.jobs === 1
    ? () => workHere(range, supply, tally, run, progress)
    : () => workElsewhere(range, supply, tally, progress);
  const jobs = Array.from({ length: range.jobs }, async () => {
    try {
      await work();
    } finally {
      // Whoever ends found nothing more to do, or failed: the others end soon.
      supply.stop();
    }
  });
  for (const end of await Promise.allSettled(jobs)) {
    if (end.status === "rejected") throw end.reason;
  }
  tally.failures.sort((a, b) => a.seed - b.seed);
  return tally;
}

/** Hands out a few seeds at a time, until none is left or enough failed. */
class Supply {
  readonly #range: Range;
  readonly #tally: Tally;
  #next: number;
  #stopped = false;

  constructor(range: Range, tally: Tally) {
    this.#range = range;
    this.#tally = tally;
    this.#next = range.from;
  }

  next(): Seeds | undefined {
    const { from, count, jobs, failuresMax } = this.#range;
    const left = from + count - this.#next;
    const enough = this.#tally.failures.length >= failuresMax;
    if (left === 0 || enough || this.#stopped) return undefined;
    // Fewer towards the end, so that all are done at about the same time.
    const seeds = { from: this.#next, count: Math.min(SEEDS_AT_ONCE, Math.ceil(left / jobs / 2)) };
    this.#next += seeds.count;
    return seeds;
  }

  stop(): void {
    this.#stopped = true;
  }
}

async function workHere(
  { failuresMax }: Range,
  supply: Supply,
  tally: Tally,
  run: Runner,
  progress: (tally: Tally) => void,
): Promise<void> {
  for (let seeds = supply.next(); seeds !== undefined; seeds = supply.next()) {
    tally.run(seeds, failuresMax, run);
    progress(tally);
    // Collected garbage is given back only between turns.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function workElsewhere(
  range: Range,
  supply: Supply,
  tally: Tally,
  progress: (tally: Tally) => void,
): Promise<void> {
  let worker: Worker | undefined;
  try {
    for (let seeds = supply.next(); seeds !== undefined; seeds = supply.next()) {
      if (worker !== undefined && worker.seeds >= SEEDS_OF_PROCESS) {
        worker.end();
        worker = undefined;
      }
      worker ??= new Worker(range);
      tally.add(await worker.run(seeds));
      progress(tally);
    }
  } finally {
    worker?.end();
  }
}

/** A process that runs seeds. */
class Worker {
  /** Seeds that were handed to it. */
  seeds = 0;
  readonly #failuresMax: number;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exited: Promise<string>;

  constructor({ failuresMax, options = [] }: Range) {
    this.#failuresMax = failuresMax;
    const main = new URL("main.ts", import.meta.url).pathname;
    const runtime = "Deno" in globalThis ? ["run", "-A", main] : [main];
    const child = spawn(process.execPath, [...runtime, "--worker", ...options], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve(`${signal ?? code}`));
    });
  }

  async run({ from, count }: Seeds): Promise<PlainTally> {
    this.seeds += count;
    this.#child.stdin?.write(`${from} ${count} ${this.#failuresMax}\n`);
    const line = await this.#lines.next();
    if (line.done !== true) return JSON.parse(line.value) as PlainTally;
    throw new Error(
      `A process ended with ${await this.#exited} in seeds ${from} to ${from + count - 1}`,
    );
  }

  /** It ends by itself, as nothing is asked of it any more. */
  end(): void {
    this.#child.stdin?.end();
  }
}
