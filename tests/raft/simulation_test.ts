import { expect, test } from "bun:test";
import { messageOf } from "../../lib/base/errors.ts";
import { runSimulation, type RunSummary } from "./simulation.ts";

const SEEDS = Number(process.env["SEEDS"] ?? 400);
const FIRST_SEED = Number(process.env["SEED"] ?? 1);
const STEPS = 4000;

function runSeed(seed: number): RunSummary {
  try {
    return runSimulation(seed, STEPS);
  } catch (error) {
    throw new Error(`seed ${seed}: ${messageOf(error)}`, { cause: error });
  }
}

test("random runs keep every promise of Raft and recover when healed", () => {
  const total = { committed: 0, leaders: 0, truncations: 0, configurations: 0, reads: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const summary = runSeed(seed);
    total.committed += summary.committed;
    total.leaders += summary.leaders;
    total.truncations += summary.truncations;
    total.configurations += summary.configurations;
    total.reads += summary.reads;
  }
  if (process.env["VERBOSE"] === "1") console.log(total);
  // Runs in which nothing happens prove nothing.
  expect(total.committed).toBeGreaterThan(20 * SEEDS);
  expect(total.leaders).toBeGreaterThan(SEEDS);
  if (SEEDS < 100) return;
  expect(total.truncations).toBeGreaterThan(SEEDS / 4);
  expect(total.configurations).toBeGreaterThan(SEEDS * 5);
  expect(total.reads).toBeGreaterThan(SEEDS * 5);
}, 60_000);

test("a run is the same every time", () => {
  expect(runSimulation(7, 2000)).toEqual(runSimulation(7, 2000));
});
