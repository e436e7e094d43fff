import { expect, test } from "bun:test";
import { waitUntil } from "../../lib/demo/wait.ts";
import { onCluster, run, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const CLIENTS = 8;
const ROUNDS = 2;
const WRITES_BEFORE = 300;
const TEST_TIMEOUT_MS = 120_000;

test("every acknowledged row survives that all nodes are killed at once", async () => {
  await onCluster({}, async ({ cluster, nodes }) => {
    await run(nodes[0]!, WRITTEN_TABLE);
    const writers = new Writers(nodes, CLIENTS);
    writers.start();
    try {
      for (let round = 1; round <= ROUNDS; round++) {
        const target = writers.acknowledged.length + WRITES_BEFORE;
        await waitUntil("the clients write", START_TIMEOUT_MS, () => {
          return writers.acknowledged.length >= target;
        });
        await Promise.all(nodes.map((node) => node.kill()));
        await Promise.all(nodes.map((node) => node.start()));
        await cluster.waitReady(START_TIMEOUT_MS);
      }
    } finally {
      await writers.stop();
    }
    expect(writers.acknowledged.length).toBeGreaterThanOrEqual(ROUNDS * WRITES_BEFORE);
    for (const node of nodes) await writers.check(node);
  });
}, TEST_TIMEOUT_MS);

test("a node alone keeps what it acknowledged when it is killed", async () => {
  await onCluster({ count: 1 }, async ({ cluster, nodes }) => {
    await run(nodes[0]!, WRITTEN_TABLE);
    const writers = new Writers(nodes, 2);
    writers.start();
    try {
      await waitUntil("the clients write", START_TIMEOUT_MS, () => {
        return writers.acknowledged.length >= WRITES_BEFORE;
      });
      await nodes[0]!.kill();
      await nodes[0]!.start();
      await cluster.waitReady(START_TIMEOUT_MS);
    } finally {
      await writers.stop();
    }
    await writers.check(nodes[0]!);
  });
}, TEST_TIMEOUT_MS);
