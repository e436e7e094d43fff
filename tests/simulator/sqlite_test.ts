import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mode } from "./database.ts";
import { SQLITE_MARKS } from "./marks.ts";
import { runRange } from "./pool.ts";
import { runSeed } from "./run.ts";
import { sqliteMode } from "./sqlite/mode.ts";

const MAIN = new URL("main.ts", import.meta.url).pathname;
const ROOT = new URL("../..", import.meta.url).pathname;
/** Seeds of every test run; more of them by `SIMULATOR_SQLITE_SEEDS`. */
const SEEDS = Number(process.env["SIMULATOR_SQLITE_SEEDS"] ?? 100);
/** Marks that are too rare to be demanded of so few seeds. */
const RARE_MAX = 4;

const mode = await sqliteMode();

test(`real SQLite keeps the promises of a cluster under ${SEEDS} mixtures of faults`, async () => {
  const range = { from: 1, count: SEEDS, failuresMax: 1, jobs: 2, options: ["--sqlite"] };
  const tally = await runRange(range, (seed) => runSeed(seed, undefined, mode));
  expect(tally.failures).toEqual([]);
  expect(tally.seeds).toBe(SEEDS);
  expect(tally.counters.missing(SQLITE_MARKS).length).toBeLessThanOrEqual(RARE_MAX);
}, 120_000);

test("the same seed gives the same run over real SQLite, also on another engine", () => {
  const here = [7, 8, 9].map((seed) => `${seed} ${runSeed(seed, undefined, mode).hash}\n`);
  const args = ["run", "-A", MAIN, "--hash", "--from", "7", "--seeds", "3", "--sqlite"];
  const deno = `${ROOT}node_modules/.bin/deno`;
  const there = spawnSync(deno, args, { encoding: "utf8", cwd: ROOT });
  expect(there.stderr).toBe("");
  expect(there.stdout).toBe(here.join(""));
}, 60_000);

test("a run over real SQLite gives its files back, also when it fails", async () => {
  const parent = mkdtempSync(join(tmpdir(), "dqlite-sqlite-mode-"));
  try {
    const own = await sqliteMode(parent);
    let foldersAtEnd = 0;
    const broken: Mode = {
      ...own,
      open: (settings) => {
        const databases = own.open(settings);
        return {
          creation: databases.creation,
          newReference: () => databases.newReference(),
          newMachine: (options) => databases.newMachine(options),
          close: () => databases.close(),
          atEnd: () => {
            foldersAtEnd = readdirSync(parent).length;
            throw new Error("broken on purpose");
          },
        };
      },
    };
    expect(runSeed(3, undefined, broken).failure).toContain("broken on purpose");
    expect(foldersAtEnd).toBe(1);
    expect(readdirSync(parent)).toEqual([]);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});
