/** The exhaustive check at a small bound; `bun tests/raft/exhaustive.ts` goes deeper. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../lib/base/assert.ts";
import { applyEdit, describeMoves, describeResult, explore, runMutant } from "./exhaustive.ts";
import { MUTANTS } from "./exhaustive/mutants.ts";
import { SCENARIOS } from "./exhaustive/scenarios.ts";

const ROOT = join(import.meta.dir, "../..");

for (const scenario of SCENARIOS) {
  const { name, depth } = scenario;
  test(`every order of ${depth} moves keeps the rules: ${name}`, () => {
    const result = explore(scenario, { depth });
    const { violation } = result;
    const moves = violation === undefined ? [] : describeMoves(violation.moves);
    assert(violation === undefined, [violation?.rule, ...moves].join("\n"));
    if (process.env["VERBOSE"] === "1") console.log(describeResult(scenario, depth, result));
    // A search that stops early proves nothing.
    expect(result.depth).toBe(depth);
    expect(result.states).toBeGreaterThan(1000);
  }, 30_000);
}

test("every mistake of the list still fits the source", () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(5);
  for (const { edits, scenario } of MUTANTS) {
    expect(SCENARIOS.map(({ name }) => name)).toContain(scenario);
    for (const edit of edits) applyEdit(readFileSync(join(ROOT, edit.file), "utf8"), edit);
  }
});

for (const mutant of MUTANTS.filter(({ depth }) => depth <= 11)) {
  test(`the search finds that ${mutant.name}`, () => {
    const { found, output } = runMutant(mutant);
    assert(found, `not found:\n${output}`);
  }, 30_000);
}
