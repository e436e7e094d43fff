import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { waitUntil } from "../../lib/demo/wait.ts";
import { onCluster, run, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const CLIENTS = 8;
const ROUNDS = 3;
/** Writes before each kill. */
const WRITES_BEFORE = 200;
/** Promised for the median; a single round may be unlucky with a split vote. */
const OUTAGE_MEDIAN_MS = 2_000;
const OUTAGE_MAX_MS = 10_000;
const TEST_TIMEOUT_MS = 120_000;
const SQLITE_HEADER = Buffer.from("SQLite format 3\0");

/** The hash of every SQLite database file under a folder, by its name. */
function hashDatabases(folder: string): Record<string, string> {
  const hashes: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const content = readFileSync(path);
    if (!content.subarray(0, SQLITE_HEADER.length).equals(SQLITE_HEADER)) continue;
    hashes[path.slice(folder.length)] = createHash("sha256").update(content).digest("hex");
  }
  return hashes;
}

test(
  "killing the leader under eight clients loses nothing and stops writes for a moment only",
  async () => {
    await onCluster({}, async ({ cluster, nodes }) => {
      await run(nodes[0]!, WRITTEN_TABLE);
      const writers = new Writers(nodes, CLIENTS);
      writers.start();
      const outagesMs: number[] = [];
      try {
        for (let round = 1; round <= ROUNDS; round++) {
          const target = writers.acknowledged.length + WRITES_BEFORE;
          await waitUntil("the clients write", START_TIMEOUT_MS, () => {
            return writers.acknowledged.length >= target;
          });
          const old = await cluster.leader(START_TIMEOUT_MS);
          writers.mark();
          await old.kill();
          const what = "a write is acknowledged after the kill";
          outagesMs.push(await waitUntil(what, OUTAGE_MAX_MS, () => writers.sinceMarkMs));
          const leader = await cluster.leader(START_TIMEOUT_MS);
          expect(leader.name).not.toBe(old.name);
          await old.start();
          await cluster.waitReady(START_TIMEOUT_MS);
        }
      } finally {
        await writers.stop();
      }
      console.error(`outages: ${outagesMs.map((ms) => ms.toFixed(0)).join(", ")} ms`);
      outagesMs.sort((a, b) => a - b);
      expect(outagesMs[Math.floor(ROUNDS / 2)]).toBeLessThan(OUTAGE_MEDIAN_MS);
      expect(writers.acknowledged.length).toBeGreaterThanOrEqual(ROUNDS * WRITES_BEFORE);
      for (const node of nodes) await writers.check(node);

      const { commitIndex } = await nodes[0]!.cluster();
      const digests = await Promise.all(nodes.map((node) => node.digest(commitIndex)));
      expect(new Set(digests.map((digest) => JSON.stringify(digest))).size).toBe(1);
      for (const node of nodes) await node.checkpoint();
      const files = nodes.map((node) => hashDatabases(node.folder));
      expect(Object.keys(files[0]!).length).toBeGreaterThan(0);
      expect(files[1]).toEqual(files[0]!);
      expect(files[2]).toEqual(files[0]!);
    });
  },
  TEST_TIMEOUT_MS,
);
