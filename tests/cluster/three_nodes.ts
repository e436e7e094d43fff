/** What three nodes promise while nothing goes wrong, whatever runs them. */
import { expect, test } from "bun:test";
import { countVoters } from "../../lib/demo/nodes.ts";
import { integer } from "../../lib/demo/sql.ts";
import { number, onCluster, run, type Runner } from "./harness.ts";

const ROUNDS = 30;
const TEST_TIMEOUT_MS = 90_000;

/** Defines the tests for nodes run that way. */
export function testThreeNodes(runner: Runner): void {
  test(
    `three nodes run by ${runner} agree, take writes anywhere and read them anywhere`,
    async () => {
      await onCluster({ runner }, async ({ nodes }) => {
        const views = await Promise.all(nodes.map((node) => node.cluster()));
        expect(new Set(views.map((view) => view.leader?.id)).size).toBe(1);
        expect(new Set(views.map((view) => view.clusterId)).size).toBe(1);
        expect(new Set(views.map((view) => view.nodeId)).size).toBe(3);
        expect(views.map(countVoters)).toEqual([3, 3, 3]);
        expect(views.filter((view) => view.role === "leader")).toHaveLength(1);
        const urls = nodes.map((node) => node.url).sort();
        for (const view of views) {
          expect(view.members.map((member) => member.httpUrl.replace(/\/$/, "")).sort()).toEqual(
            urls,
          );
          expect(view.members.filter((member) => member.leader).map((member) => member.id))
            .toEqual([view.leader!.id]);
        }

        await run(nodes[0]!, "CREATE TABLE t(id INTEGER PRIMARY KEY, node INTEGER NOT NULL)");
        for (let round = 1; round <= ROUNDS; round++) {
          const writer = nodes[round % nodes.length]!;
          await run(writer, "INSERT INTO t(id, node) VALUES(?, ?)", [integer(round), integer(1)]);
          // The very next thing anyone asks any node must show it.
          const counts = await Promise.all(
            nodes.map((node) => number(node, "SELECT count(*) FROM t")),
          );
          expect(counts).toEqual([round, round, round]);
        }

        const { commitIndex } = await nodes[0]!.cluster();
        const digests = await Promise.all(nodes.map((node) => node.digest(commitIndex)));
        expect(new Set(digests.map((digest) => JSON.stringify(digest))).size).toBe(1);
        expect(digests[0]!.pages).toBeGreaterThan(1);
      });
    },
    TEST_TIMEOUT_MS,
  );

  test(`a node run by ${runner} stops cleanly when asked to, and comes back`, async () => {
    await onCluster({ runner }, async ({ cluster, nodes }) => {
      await run(nodes[0]!, "CREATE TABLE t(n INTEGER)");
      for (const node of nodes) {
        expect(await node.stop()).toEqual({ code: 0, signal: undefined });
        const others = nodes.filter((other) => other !== node);
        const leader = await cluster.leader(TEST_TIMEOUT_MS);
        expect(others).toContain(leader);
        await run(leader, "INSERT INTO t(n) VALUES(1)");
        await node.start();
        await cluster.waitReady(TEST_TIMEOUT_MS);
        expect(await number(node, "SELECT count(*) FROM t")).toBe(nodes.indexOf(node) + 1);
      }
    });
  }, TEST_TIMEOUT_MS);
}
