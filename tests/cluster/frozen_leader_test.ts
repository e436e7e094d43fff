import { expect, test } from "bun:test";
import { integer, query } from "../../lib/demo/sql.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import { number, onCluster, run, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const WRITES = 100;
const TEST_TIMEOUT_MS = 90_000;

test("a leader that was frozen shows nothing old once it goes on", async () => {
  await onCluster({}, async ({ cluster, nodes }) => {
    await run(nodes[0]!, WRITTEN_TABLE);
    const old = await cluster.leader(START_TIMEOUT_MS);
    const others = nodes.filter((node) => node !== old);
    await run(old, "INSERT INTO written(n) VALUES(?)", [integer(-1)]);
    old.freeze(true);
    // These reach the frozen node's socket, and are looked at when it goes on.
    const read = query(old.url, "SELECT count(*) FROM written");
    const write = query(old.url, "INSERT INTO written(n) VALUES(0)");
    try {
      await waitUntil("the others have a leader of their own", START_TIMEOUT_MS, async () => {
        const views = await Promise.all(others.map((node) => node.cluster()));
        return views.some((view) => view.role === "leader");
      });
      const writers = new Writers(others, 2);
      writers.start();
      await waitUntil("the others write", START_TIMEOUT_MS, () => {
        return writers.acknowledged.length >= WRITES;
      });
      await writers.stop();
      const written = writers.acknowledged.length;
      old.freeze(false);

      // The read was sent before those writes, but answered after them.
      const seen = await read;
      if (seen.type === "ok") {
        const [value] = seen.results[0]!.rows[0]!;
        expect(value).not.toEqual(integer(1));
      }
      const late = await write;
      await cluster.waitReady(START_TIMEOUT_MS);
      const counts = await Promise.all(
        nodes.map((node) => number(node, "SELECT count(*) FROM written WHERE n > 0")),
      );
      expect(counts[0]).toBeGreaterThanOrEqual(written);
      expect(new Set(counts).size).toBe(1);
      const zeros = await number(old, "SELECT count(*) FROM written WHERE n = 0");
      if (late.type === "ok") expect(zeros).toBe(1);
      else if (late.outcome === "rejected") expect(zeros).toBe(0);
    } finally {
      old.freeze(false);
    }
  });
}, TEST_TIMEOUT_MS);

test("a follower that is frozen holds nobody up", async () => {
  await onCluster({}, async ({ cluster, nodes }) => {
    await run(nodes[0]!, WRITTEN_TABLE);
    const leader = await cluster.leader(START_TIMEOUT_MS);
    const { term } = await leader.cluster();
    const follower = nodes.find((node) => node !== leader)!;
    const others = nodes.filter((node) => node !== follower);
    follower.freeze(true);
    const writers = new Writers(others, 4);
    writers.start();
    await waitUntil("the others write", START_TIMEOUT_MS, () => {
      return writers.acknowledged.length >= WRITES;
    });
    await writers.stop();
    expect(writers.messages).toEqual([]);
    follower.freeze(false);
    await cluster.waitReady(START_TIMEOUT_MS);
    expect((await leader.cluster()).term).toBe(term);
    await writers.check(follower);
  });
}, TEST_TIMEOUT_MS);
