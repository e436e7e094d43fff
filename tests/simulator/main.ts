/**
 * The simulator's command line:
 *
 * ```text
 * --seed N [--verbose]          one seed, exactly as before; one line for each event
 * --seeds N [--from S] [--jobs J] [--marks] [--keep-going]
 *                               many seeds; with --marks all marks must be reached;
 *                               ends at the first that fails, or after all with --keep-going
 * --hash --seeds N [--from S]   the hash of each run, to compare engines
 * --sqlite                      with any of these: over real SQLite
 * --beyond                      with any of these: more damage than the promise covers
 * --mutants [--seeds N] [--jobs J] [NAME]
 *                               known mistakes, each of which must be found within N seeds
 * ```
 */
import { parseArgs } from "node:util";
import { beyond } from "./beyond.ts";
import { Counters, MARKS, SQLITE_MARKS } from "./marks.ts";
import { runMutants } from "./mutation.ts";
import { runRange, workOn } from "./pool.ts";
import { PAGES_MODE } from "./page_machine.ts";
import { runSeed as runSeedIn } from "./run.ts";
import { sqliteMode } from "./sqlite/mode.ts";
import type { Failure, Tally } from "./tally.ts";

/** Lines shown of what went before a failure. */
const LAST_LINES = 40;
/** A line of progress after this time, and later ones ever less often. */
const PROGRESS_MS = 1000;
const PROGRESS_GROWTH = 1.2;
const PROGRESS_MS_MAX = 30_000;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string" },
    verbose: { type: "boolean", default: false },
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    marks: { type: "boolean", default: false },
    "keep-going": { type: "boolean", default: false },
    hash: { type: "boolean", default: false },
    beyond: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    sqlite: { type: "boolean", default: false },
    worker: { type: "boolean", default: false },
  },
});

const kind = options.sqlite ? await sqliteMode() : PAGES_MODE;
const mode = options.beyond ? beyond(kind) : kind;
const modeOptions = [
  ...options.sqlite ? ["--sqlite"] : [],
  ...options.beyond ? ["--beyond"] : [],
];
const marks = options.sqlite ? SQLITE_MARKS : MARKS;
const runSeed = (seed: number, trace?: (line: string) => void) => runSeedIn(seed, trace, mode);

async function main(): Promise<number> {
  if (options.worker) {
    await workOn(runSeed);
    return 0;
  }
  if (options.mutants) {
    const seedsMax = Number(options.seeds ?? 10_000);
    return await runMutants(positionals, { seedsMax, jobs: Number(options.jobs) });
  }
  if (options.hash) return tellHashes(Number(options.from), Number(options.seeds ?? 1));
  if (options.seeds !== undefined) return await runSeeds(Number(options.seeds));
  return runOne(Number(options.seed ?? options.from));
}

function runOne(seed: number): number {
  const print = (line: string) => console.log(line);
  const result = runSeed(seed, options.verbose ? print : undefined);
  if (result.failure !== undefined) {
    tellFailure({ seed, reason: result.failure });
    return 1;
  }
  const seconds = (result.simulatedUs / 1e6).toFixed(1);
  print(`seed ${seed}: ${result.events} events in ${seconds} s of its time, hash ${result.hash}`);
  if (options.verbose) {
    const counters = new Counters();
    counters.add(result.counters);
    for (const [name, value] of [...counters.marks].sort()) print(`  ${value} × ${name}`);
  }
  return 0;
}

function tellHashes(from: number, count: number): number {
  for (let seed = from; seed < from + count; seed++) {
    console.log(`${seed} ${runSeed(seed).hash}`);
  }
  return 0;
}

async function runSeeds(count: number): Promise<number> {
  const startMs = performance.now();
  let toldMs = startMs;
  let everyMs = PROGRESS_MS;
  const range = {
    from: Number(options.from),
    count,
    failuresMax: options["keep-going"] ? Infinity : 1,
    jobs: Number(options.jobs),
    options: modeOptions,
  };
  let toldFailures = 0;
  const tally = await runRange(range, runSeed, (sofar) => {
    const nowMs = performance.now();
    while (options["keep-going"] && toldFailures < sofar.failures.length) {
      tellReason(sofar.failures[toldFailures++]!);
    }
    if (nowMs - toldMs < everyMs) return;
    toldMs = nowMs;
    everyMs = Math.min(PROGRESS_MS_MAX, everyMs * PROGRESS_GROWTH);
    tellProgress(sofar, nowMs - startMs);
  });
  tellProgress(tally, performance.now() - startMs);
  tellNumbers(tally);
  const [failure] = tally.failures;
  if (failure !== undefined) {
    if (options["keep-going"]) {
      console.log(`fail: ${tally.failures.map(({ seed }) => seed).join(" ")}`);
    } else tellFailure(failure);
    return 1;
  }
  const missing = tally.counters.missing(marks);
  if (missing.length > 0) console.log(`never reached: ${missing.join(", ")}`);
  return options.marks && missing.length > 0 ? 1 : 0;
}

function tellProgress(tally: Tally, elapsedMs: number): void {
  const { counters, seeds } = tally;
  const rate = (seeds / elapsedMs * 1000).toFixed(1);
  const faults = sum(counters, "fault ");
  console.log(
    `${seeds} seeds, ${rate}/s, ${describeTime(tally.simulatedUs)} simulated, ` +
      `${faults} faults, ${counters.get("commits")} commits, ` +
      `${counters.get("elections")} elections, ` +
      `${marks.length - counters.missing(marks).length}/${marks.length} marks`,
  );
}

function describeTime(us: number): string {
  const hours = us / 3.6e9;
  if (hours < 1) return `${Math.round(us / 1e6)} s`;
  return hours < 48 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} days`;
}

function sum(counters: Counters, prefix: string): number {
  let total = 0;
  for (const [name, value] of counters.numbers) if (name.startsWith(prefix)) total += value;
  return total;
}

/** Numbers, marks and histograms, sorted by name. */
function tellNumbers({ counters }: Tally): void {
  for (const [name, value] of [...counters.numbers].sort()) console.log(`  ${value} ${name}`);
  for (const [name, values] of [...counters.histograms].sort()) {
    const bars = [...values].sort(([a], [b]) => a - b).map(([from, count]) => `${from}:${count}`);
    console.log(`  ${name}, from each power of two on: ${bars.join(" ")}`);
  }
  if (!options.verbose) return;
  for (const mark of [...MARKS, ...SQLITE_MARKS]) {
    console.log(`  ${counters.marks.get(mark) ?? 0} × ${mark}`);
  }
}

/** Runs the seed again to show what went before. */
function tellFailure({ seed, reason }: Failure): void {
  const lines: string[] = [];
  if (!options.verbose) {
    runSeed(seed, (line) => {
      lines.push(line);
      if (lines.length > LAST_LINES) lines.shift();
    });
  }
  for (const line of lines) console.log(line);
  tellReason({ seed, reason });
}

function tellReason({ seed, reason }: Failure): void {
  console.log(
    `\nseed ${seed} fails: ${reason}\n\n  bun run sim ${
      ["--seed", seed, "--verbose", ...modeOptions].join(" ")
    }\n`,
  );
}

process.exitCode = await main();
