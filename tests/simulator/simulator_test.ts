import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { misfits } from "./mutation.ts";
import { newTally, runRange } from "./pool.ts";
import { runSeed } from "./run.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const ROOT = new URL("../..", import.meta.url).pathname;
/** Seeds of every test run; more of them by `SIMULATOR_SEEDS`. */
const SEEDS = Number(process.env["SIMULATOR_SEEDS"] ?? 2000);
const FROM = Number(process.env["SIMULATOR_FROM"] ?? 1);
/** Marks that are too rare to be demanded of so few seeds. */
const RARE_MAX = 3;

function hashes(runtime: readonly string[], seed: number): string {
  const [program, ...prefix] = runtime;
  const run = spawnSync(program!, [...prefix, MAIN, "--seed", String(seed)], {
    encoding: "utf8",
    cwd: ROOT,
  });
  expect(run.stderr).toBe("");
  return run.stdout;
}

test(`a cluster keeps its promises under ${SEEDS} mixtures of faults`, async () => {
  const range = { from: FROM, count: SEEDS, failuresMax: 1, jobs: 2 };
  const tally = await runRange(range, () => {});
  expect(tally.failures).toEqual([]);
  expect(tally.seeds).toBe(SEEDS);
  expect(tally.counters.missing().length).toBeLessThanOrEqual(RARE_MAX);
}, 300_000);

test("the same seed gives the same run, also on another engine", () => {
  const seed = 4242;
  const { hash } = runSeed(seed);
  expect(runSeed(seed).hash).toBe(hash);
  const bun = hashes([process.execPath], seed);
  expect(bun).toContain(hash);
  expect(hashes([`${ROOT}node_modules/.bin/deno`, "run", "-A"], seed)).toBe(bun);
}, 60_000);

test("a run that is watched is the run that is not", () => {
  const seed = 77;
  const lines: string[] = [];
  expect(runSeed(seed, (line) => lines.push(line)).hash).toBe(runSeed(seed).hash);
  expect(lines.length).toBeGreaterThan(100);
});

test("what two processes counted adds up to what one counts", async () => {
  const range = { from: 11, count: 4, failuresMax: 1 };
  const one = await runRange({ ...range, jobs: 1 }, () => {});
  const two = await runRange({ ...range, jobs: 2 }, () => {});
  expect(two.events).toBe(one.events);
  expect(two.counters.get("commits")).toBe(one.counters.get("commits"));
  expect(newTally().events).toBe(0);
}, 60_000);

test("every known mistake can still be put in", () => {
  expect(misfits()).toEqual([]);
});
