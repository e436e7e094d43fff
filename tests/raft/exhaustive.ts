/**
 * Bounded exhaustive check of the real core: three nodes, every order of delivery, with loss and
 * repetition, in a few scenarios. As a program it goes deeper than the tests do:
 *
 *     bun tests/raft/exhaustive.ts [--depth N] [--seconds S] [--scenario NAME]
 *     bun tests/raft/exhaustive.ts --mutants [NAME]     the mistakes of mutants.ts, one by one
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Edit, type Mutant, MUTANTS } from "./exhaustive/mutants.ts";
import { Nodes } from "./exhaustive/node.ts";
import { type Scenario, SCENARIOS, startOf } from "./exhaustive/scenarios.ts";
import { search, type SearchOptions, type SearchResult } from "./exhaustive/search.ts";
import type { Move } from "./exhaustive/model.ts";

const ROOT = join(import.meta.dirname!, "../..");
const SECONDS_MAX = 60;

/** Looks at everything within the scenario's bounds and the given depth. */
export function explore(scenario: Scenario, options: SearchOptions): SearchResult {
  const nodes = new Nodes();
  return search(nodes, startOf(nodes, scenario), scenario.bounds, options);
}

/** One line for each move, so that a failure can be read. */
export function describeMoves(moves: readonly Move[]): string[] {
  return moves.map(({ at, input }) => {
    const what = input.type === "deliver" ? input.letter.text : JSON.stringify(input);
    return `  n${at + 1} ${what}`;
  });
}

/** What a search looked at, as a line of text. */
export function describeResult(scenario: Scenario, bound: number, result: SearchResult): string {
  const { states, steps, depth, isComplete, elapsedMs } = result;
  const rate = Math.round(states / elapsedMs * 1000);
  return `${scenario.name}: depth ${depth} of ${bound}${isComplete ? ", complete" : ""}, ` +
    `${states} states, ${steps} steps, ${(elapsedMs / 1000).toFixed(1)} s, ${rate} states/s`;
}

/** Applies an edit to a text that must hold its place exactly once. */
export function applyEdit(text: string, { file, search: place, replace }: Edit): string {
  const parts = text.split(place);
  if (parts.length !== 2) {
    throw new Error(`${file}: ${JSON.stringify(place)} is there ${parts.length - 1} times`);
  }
  return parts.join(replace);
}

/** Runs the search on a copy of the core with a mistake in it; returns what it printed. */
export function runMutant(mutant: Mutant): { readonly found: boolean; readonly output: string } {
  const folder = mkdtempSync(join(tmpdir(), "exhaustive-"));
  try {
    mkdirSync(join(folder, "tests"));
    for (const part of ["lib/base", "lib/raft", "tests/raft"]) {
      cpSync(join(ROOT, part), join(folder, part), { recursive: true });
    }
    for (const edit of mutant.edits) {
      const path = join(folder, edit.file);
      writeFileSync(path, applyEdit(readFileSync(path, "utf8"), edit));
    }
    const words = ["--scenario", mutant.scenario, "--depth", String(mutant.depth)];
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [join(folder, "tests/raft/exhaustive.ts"), ...words, "--seconds", String(SECONDS_MAX)],
      { encoding: "utf8" },
    );
    if (status !== 0 && status !== 1) throw new Error(`a mutant does not run: ${stderr}`);
    return { found: status === 1 && stdout.includes("broken: "), output: stdout };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      depth: { type: "string" },
      seconds: { type: "string" },
      scenario: { type: "string" },
      mutants: { type: "boolean", default: false },
    },
  });
  if (values.mutants) return runMutants(positionals[0] ?? "");
  const secondsMax = Number(values.seconds ?? SECONDS_MAX);
  for (const scenario of SCENARIOS) {
    if (values.scenario !== undefined && values.scenario !== scenario.name) continue;
    const depth = Number(values.depth ?? scenario.depth);
    const result = explore(scenario, { depth, secondsMax });
    console.log(describeResult(scenario, depth, result));
    if (result.violation === undefined) continue;
    console.log(`broken: ${result.violation.rule}`);
    for (const line of describeMoves(result.violation.moves)) console.log(line);
    return 1;
  }
  return 0;
}

function runMutants(part: string): number {
  let missed = 0;
  for (const mutant of MUTANTS.filter(({ name }) => name.includes(part))) {
    const { found, output } = runMutant(mutant);
    if (!found) missed++;
    console.log(`${found ? "found " : "MISSED"} ${mutant.name}`);
    for (const line of output.split("\n").slice(0, 2)) console.log(`         ${line}`);
  }
  return missed === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = main();
