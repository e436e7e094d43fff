import { expect, test } from "bun:test";
import { closeSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { onCluster, run } from "./harness.ts";

const TEST_TIMEOUT_MS = 180_000;
const READY_MS = 60_000;
const ROWS = 30;
const KILLS = 6;
const PAGE_BYTES = 4_096;
const PAGES_CHANGED = 2_000;
const random = new SeededRandom(11);

/** Changes pages of a node that is down, where nothing says what they should hold. */
function makeDiffer({ folder }: NodeProcess): void {
  rmSync(join(folder, "page_hashes"), { force: true });
  const path = join(folder, "main.db");
  const pages = Math.floor(statSync(path).size / PAGE_BYTES);
  const file = openSync(path, "r+");
  for (let i = 0; i < PAGES_CHANGED; i++) {
    const page = 10 + below(random, pages - 10);
    writeSync(file, new Uint8Array([below(random, 256)]), 0, 1, page * PAGE_BYTES + 2_000);
  }
  closeSync(file);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + READY_MS;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`Not in time: ${what}`);
    await Bun.sleep(2);
  }
}

test("a node is killed again and again while its database is healed", async () => {
  await onCluster({}, async ({ cluster, nodes }) => {
    const leader = await cluster.leader(READY_MS);
    const differing = nodes.find((node) => node !== leader)!;
    await run(leader, "CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)");
    await run(leader, "CREATE TABLE w(n)");
    for (let row = 0; row < ROWS; row++) {
      await run(leader, "INSERT INTO t(data) VALUES (randomblob(1000000))");
    }
    for (const node of nodes) await node.checkpoint();
    let stopped = false;
    let written = 0;
    const writing = (async () => {
      for (; !stopped; written++) {
        await run(leader, "INSERT INTO w VALUES (1)");
        await Bun.sleep(10);
      }
    })();
    const isHealing = () =>
      differing.output.includes("fetches the pages that differ") ||
      differing.output.includes("goes on to heal");
    await differing.kill();
    for (let kill = 0; kill < KILLS; kill++) {
      makeDiffer(differing);
      await differing.start();
      await until("it is found to differ", isHealing);
      // Later every time: marked, given up, while pages come, in place.
      await Bun.sleep(25 * kill);
      await differing.kill();
    }
    makeDiffer(differing);
    await differing.start();
    await until("it is healed", () => differing.output.includes("healed: this node holds again"));
    await differing.waitReady(READY_MS);
    stopped = true;
    await writing;
    const rows = await run(differing, "SELECT count(*) FROM w");
    expect(rows[0]![0]).toEqual({ type: "integer", value: String(written) });
    const check = await run(differing, "PRAGMA integrity_check");
    expect(check[0]![0]).toEqual({ type: "text", value: "ok" });
    const views = await Promise.all(nodes.map((node) => node.cluster()));
    const index = Math.max(...views.map(({ commitIndex }) => commitIndex));
    const digests = await Promise.all(nodes.map(async (node) => {
      while ((await node.cluster()).appliedIndex < index) await Bun.sleep(20);
      return await node.digest();
    }));
    expect(new Set(digests.map((digest) => digest.index)).size).toBe(1);
    expect(new Set(digests.map(({ sha256 }) => sha256)).size).toBe(1);
  });
}, TEST_TIMEOUT_MS);
