import { expect, test } from "bun:test";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { commandOf, onCluster, post, run, type Stage } from "./harness.ts";

const TEST_TIMEOUT_MS = 180_000;
const READY_MS = 60_000;
/** More than a log keeps behind its checkpoint. */
const ROWS = 110;
const KILLS = 6;

/** A cluster whose log does not reach back to its beginning. */
async function fill({ cluster }: Stage): Promise<NodeProcess> {
  const leader = await cluster.leader(READY_MS);
  await run(leader, "CREATE TABLE t(id INTEGER PRIMARY KEY, data BLOB)");
  for (let row = 0; row < ROWS; row++) {
    await run(leader, "INSERT INTO t(data) VALUES (randomblob(1000000))");
  }
  await leader.checkpoint();
  return leader;
}

/** Whether all nodes hold the same pages once they have applied what any of them knows of. */
async function expectEqual(nodes: readonly NodeProcess[]): Promise<void> {
  const views = await Promise.all(nodes.map((node) => node.cluster()));
  const index = Math.max(...views.map(({ commitIndex }) => commitIndex));
  const digests = await Promise.all(nodes.map(async (node) => {
    while ((await node.cluster()).appliedIndex < index) await Bun.sleep(20);
    return await node.digest();
  }));
  expect(new Set(digests.map(({ sha256 }) => sha256)).size).toBe(1);
}

for (const runner of ["executable", "deno"] as const) {
  test(`a node under ${runner} is killed again and again while it takes a snapshot`, async () => {
    await onCluster({}, async (stage) => {
      const leader = await fill(stage);
      const fourth = await stage.addNode("fourth", {
        join: [leader.address],
        command: commandOf(runner),
      });
      let took = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        await fourth.start();
        const isReady = fourth.waitReady(READY_MS).then(() => true, () => false);
        // Later every time: before it joined, while pages come, while its log is replaced.
        await Promise.race([isReady, Bun.sleep(300 + 250 * kill)]);
        took += fourth.output.split("took a snapshot").length - 1;
        await fourth.kill();
        await run(leader, `UPDATE t SET data = randomblob(1000000) WHERE id = ${1 + kill}`);
      }
      await fourth.start();
      await fourth.waitReady(READY_MS);
      took += fourth.output.split("took a snapshot").length - 1;
      expect(took).toBeGreaterThan(0);
      await expectEqual([...stage.nodes, fourth]);
      const rows = await run(fourth, "PRAGMA integrity_check");
      expect(rows[0]![0]).toEqual({ type: "text", value: "ok" });
    });
  }, TEST_TIMEOUT_MS);
}

test("leadership changes while a snapshot is taken", async () => {
  await onCluster({}, async (stage) => {
    const leader = await fill(stage);
    const fourth = await stage.addNode("fourth", { join: [leader.address] });
    await fourth.start();
    while (!fourth.output.includes("takes a snapshot")) await Bun.sleep(5);
    await post(leader, "/cluster/transfer", {});
    await fourth.waitReady(READY_MS);
    const next = await stage.cluster.leader(READY_MS);
    expect(next).not.toBe(leader);
    await run(next, "INSERT INTO t(data) VALUES (randomblob(1000000))");
    await expectEqual([...stage.nodes, fourth]);
  });
}, TEST_TIMEOUT_MS);
