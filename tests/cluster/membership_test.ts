import { expect, test } from "bun:test";
import { countVoters } from "../../lib/demo/nodes.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import { number, onCluster, post, run, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const WRITES = 100;
const TEST_TIMEOUT_MS = 90_000;

test("leadership is handed over under load without a write that is lost or unknown", async () => {
  await onCluster({}, async ({ cluster, nodes }) => {
    await run(nodes[0]!, WRITTEN_TABLE);
    const old = await cluster.leader(START_TIMEOUT_MS);
    const heir = nodes.find((node) => node !== old)!;
    const { nodeId } = await heir.cluster();
    const writers = new Writers(nodes, 4);
    writers.start();
    try {
      await waitUntil("the clients write", START_TIMEOUT_MS, () => {
        return writers.acknowledged.length >= WRITES;
      });
      await post(old, "/cluster/transfer", { id: nodeId });
      await waitUntil("the heir leads", START_TIMEOUT_MS, async () => {
        return (await heir.cluster()).role === "leader";
      });
      const before = writers.acknowledged.length;
      await waitUntil("the clients write on", START_TIMEOUT_MS, () => {
        return writers.acknowledged.length >= before + WRITES;
      });
    } finally {
      await writers.stop();
    }
    expect(writers.unknown).toEqual([]);
    for (const node of nodes) await writers.check(node);
  });
}, TEST_TIMEOUT_MS);

test("a node is removed, the rest goes on, and a new one takes its place", async () => {
  await onCluster({}, async ({ cluster, nodes, addNode }) => {
    await run(nodes[0]!, "CREATE TABLE t(n INTEGER)");
    const leader = await cluster.leader(START_TIMEOUT_MS);
    const gone = nodes.find((node) => node !== leader)!;
    const { nodeId } = await gone.cluster();
    await post(leader, "/cluster/remove", { id: nodeId });
    await waitUntil("two members are left", START_TIMEOUT_MS, async () => {
      return (await leader.cluster()).members.length === 2;
    });
    await run(leader, "INSERT INTO t VALUES(1)");
    await gone.stop();

    const fresh = await addNode("fresh", { join: [leader.address] });
    await fresh.start();
    await fresh.waitReady(START_TIMEOUT_MS);
    await waitUntil("three nodes vote", START_TIMEOUT_MS, async () => {
      return countVoters(await leader.cluster()) === 3;
    });
    expect(await number(fresh, "SELECT count(*) FROM t")).toBe(1);
    const ids = (await fresh.cluster()).members.map((member) => member.id);
    expect(ids).not.toContain(nodeId);
    await run(fresh, "INSERT INTO t VALUES(2)");
    expect(await number(leader, "SELECT count(*) FROM t")).toBe(2);
  });
}, TEST_TIMEOUT_MS);
