import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { beyond } from "./beyond.ts";
import { misfits } from "./mutation.ts";
import { PAGES_MODE } from "./page_machine.ts";
import { runRange } from "./pool.ts";
import { type RunResult, runSeed } from "./run.ts";
import { Tally } from "./tally.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const ROOT = new URL("../..", import.meta.url).pathname;
/** Seeds of every test run; more of them by `SIMULATOR_SEEDS`. */
const SEEDS = Number(process.env["SIMULATOR_SEEDS"] ?? 2000);
const SEEDS_BEYOND = Math.ceil(SEEDS / 5);
const FROM = Number(process.env["SIMULATOR_FROM"] ?? 1);
/** Runs of so many seeds reach every mark, by far. */
const SEEDS_FOR_MARKS = 2000;

/** Seeds with the hashes of their runs. */
function hashes(runtime: readonly string[], from: number, count: number): string {
  const [program, ...prefix] = runtime;
  const range = ["--from", String(from), "--seeds", String(count)];
  const run = spawnSync(program!, [...prefix, MAIN, "--hash", ...range], {
    encoding: "utf8",
    cwd: ROOT,
  });
  expect(run.stderr).toBe("");
  return run.stdout;
}

test(`a cluster keeps its promises under ${SEEDS} mixtures of faults`, async () => {
  const range = { from: FROM, count: SEEDS, failuresMax: 1, jobs: 2 };
  const tally = await runRange(range, runSeed);
  expect(tally.failures).toEqual([]);
  expect(tally.seeds).toBe(SEEDS);
  expect(tally.counters.get("seeds run twice")).toBeGreaterThanOrEqual(Math.floor(SEEDS / 64));
  if (SEEDS >= SEEDS_FOR_MARKS) expect(tally.counters.missing()).toEqual([]);
}, 300_000);

test(`beyond the promise nodes refuse and do not lie, in ${SEEDS_BEYOND} runs`, async () => {
  const range = { from: FROM, count: SEEDS_BEYOND, failuresMax: 1, jobs: 2 };
  const tally = await runRange({ ...range, options: ["--beyond"] }, (seed) => {
    return runSeed(seed, undefined, beyond(PAGES_MODE));
  });
  expect(tally.failures).toEqual([]);
  expect(tally.seeds).toBe(SEEDS_BEYOND);
  expect(tally.counters.get("seeds without a majority left")).toBeGreaterThan(SEEDS_BEYOND / 8);
}, 120_000);

test("the same seeds give the same runs, also on another engine", () => {
  const from = 4242;
  const bun = hashes([process.execPath], from, 8);
  expect(bun.trimEnd().split("\n").length).toBe(8);
  expect(bun).toContain(`${from} ${runSeed(from).hash}\n`);
  expect(hashes([`${ROOT}node_modules/.bin/deno`, "run", "-A"], from, 8)).toBe(bun);
}, 60_000);

test("a run that depends on more than its seed is a failure", () => {
  let runs = 0;
  const drifts = (seed: number): RunResult => ({ ...runSeed(1), seed, hash: `${runs++}` });
  const tally = new Tally();
  tally.run({ from: 60, count: 10 }, Infinity, drifts);
  expect(tally.failures.map(({ seed }) => seed)).toEqual([64]);
});

test("a run that is watched is the run that is not", () => {
  const seed = 77;
  const lines: string[] = [];
  expect(runSeed(seed, (line) => lines.push(line)).hash).toBe(runSeed(seed).hash);
  expect(lines.length).toBeGreaterThan(100);
});

test("what two processes counted adds up to what one counts", async () => {
  const range = { from: 11, count: 30, failuresMax: 1 };
  const one = await runRange({ ...range, jobs: 1 }, runSeed);
  const two = await runRange({ ...range, jobs: 2 }, runSeed);
  expect(two.seeds).toBe(30);
  expect(two.events).toBe(one.events);
  expect([...two.counters.numbers].sort()).toEqual([...one.counters.numbers].sort());
}, 60_000);

test("many seeds end at the first that fails, unless they are to go on", async () => {
  const fails = (seed: number): RunResult => {
    return { ...runSeed(1), seed, failure: seed % 7 === 0 ? "broken" : undefined };
  };
  const range = { from: 1, count: 30, jobs: 1 };
  const first = await runRange({ ...range, failuresMax: 1 }, fails);
  expect(first.failures).toEqual([{ seed: 7, reason: "broken" }]);
  expect(first.seeds).toBe(7);
  const all = await runRange({ ...range, failuresMax: Infinity }, fails);
  expect(all.failures.map(({ seed }) => seed)).toEqual([7, 14, 21, 28]);
});

test("every known mistake can still be put in", () => {
  expect(misfits()).toEqual([]);
});
