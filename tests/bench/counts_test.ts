import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { COUNTED_WORKLOADS, CountedCluster } from "./counted_cluster.ts";
import type { Counts } from "./counted_edges.ts";

/**
 * Counts for 1,000 operations on three nodes. A count may differ by a share of itself, and by what
 * heartbeats and a pause of the machine can make of it.
 */
interface Allowed {
  readonly tolerance: number;
  readonly slack: Counts;
  readonly counts: Readonly<Record<string, Counts>>;
}

const ALLOWED = JSON.parse(
  readFileSync(new URL("./allowed_counts.json", import.meta.url), "utf8"),
) as Allowed;
const TIMEOUT_MS = 60_000;

/** What is out of bounds. A count that fell is told as well: then the bound should follow it. */
function problems(workload: string, found: Counts): string[] {
  const allowed = ALLOWED.counts[workload];
  if (allowed === undefined) return [`${workload} has no bounds: ${JSON.stringify(found)}`];
  const told: string[] = [];
  for (const [name, count] of Object.entries(found)) {
    const wanted = allowed[name as keyof Counts];
    const slack = ALLOWED.slack[name as keyof Counts];
    if (Math.abs(count - wanted) <= wanted * ALLOWED.tolerance + slack) continue;
    told.push(`${workload}: ${Math.round(count)} ${name} for 1,000 operations, not ${wanted}`);
  }
  return told;
}

test(
  "a thousand operations cost as many writes, messages, bytes and calls as are allowed",
  async () => {
    await using cluster = await CountedCluster.start();
    const told: string[] = [];
    for (const workload of COUNTED_WORKLOADS) {
      const found = await cluster.count(workload);
      if (process.env["SHOW_COUNTS"]) console.log(workload.name, JSON.stringify(found));
      told.push(...problems(workload.name, found));
    }
    expect(told.join("\n")).toBe("");
  },
  TIMEOUT_MS,
);

test("the counts tell when a count is out of bounds, in both directions", () => {
  const allowed = ALLOWED.counts["insert-1"]!;
  expect(problems("insert-1", allowed)).toEqual([]);
  expect(problems("insert-1", { ...allowed, logWrites: allowed.logWrites * 1.3 })).toHaveLength(1);
  expect(problems("insert-1", { ...allowed, libraryCalls: 0 })).toHaveLength(1);
});
