import { type Client, createClient } from "@libsql/client/web";
import { expect, test } from "bun:test";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import {
  DEFAULT_RUNNER,
  number,
  onCluster,
  run,
  type Runner,
  START_TIMEOUT_MS,
} from "./harness.ts";

const TEST_TIMEOUT_MS = 90_000;

/** How a client speaks to a node. */
type Scheme = "http" | "ws";

async function withClient(
  node: NodeProcess,
  scheme: Scheme,
  body: (client: Client) => Promise<void>,
): Promise<void> {
  const client = createClient({ url: node.url.replace("http:", `${scheme}:`) });
  try {
    await body(client);
  } finally {
    client.close();
  }
}

/** The error that `promise` ends with. */
async function errorOf(promise: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { readonly code?: string };
  }
  throw new Error("An error was expected");
}

for (
  const { scheme, runner } of [
    { scheme: "http", runner: DEFAULT_RUNNER },
    { scheme: "ws", runner: DEFAULT_RUNNER },
    { scheme: "ws", runner: "deno" },
  ] as const
) {
  test(
    `transactions of @libsql/client commit and roll back, through any node: ${scheme}, ${runner}`,
    () => testTransactions(scheme, runner),
    TEST_TIMEOUT_MS,
  );
}

async function testTransactions(scheme: Scheme, runner: Runner): Promise<void> {
  await onCluster({ runner }, async ({ nodes }) => {
    await run(nodes[0]!, "CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER NOT NULL)");
    await run(nodes[0]!, "INSERT INTO account VALUES(1, 100), (2, 0)");
    for (const node of nodes) {
      await withClient(node, scheme, async (client) => {
        const transfer = await client.transaction("write");
        const { rows } = await transfer.execute("SELECT money FROM account WHERE id = 1");
        await transfer.execute({
          sql: "UPDATE account SET money = ? WHERE id = 1",
          args: [Number(rows[0]!["money"]) - 10],
        });
        await transfer.execute("UPDATE account SET money = money + 10 WHERE id = 2");
        await transfer.commit();

        const undone = await client.transaction("write");
        await undone.execute("DELETE FROM account");
        expect((await undone.execute("SELECT count(*) AS c FROM account")).rows[0]!["c"]).toBe(0);
        await undone.rollback();

        const abandoned = await client.transaction("write");
        await abandoned.execute("UPDATE account SET money = 0");
        abandoned.close();
      });
    }
    for (const node of nodes) {
      expect(await number(node, "SELECT money FROM account WHERE id = 1")).toBe(70);
      expect(await number(node, "SELECT money FROM account WHERE id = 2")).toBe(30);
    }
  });
}

for (const scheme of ["http", "ws"] as const) {
  test(
    `a transaction whose leader dies ends with an error and leaves nothing half-done: ${scheme}`,
    () => testLeaderDies(scheme),
    TEST_TIMEOUT_MS,
  );
}

async function testLeaderDies(scheme: Scheme): Promise<void> {
  await onCluster({}, async ({ cluster, nodes }) => {
    await run(nodes[0]!, "CREATE TABLE t(n INTEGER)");
    // The client talks to the leader in one round, and finds it through a follower in the other.
    for (const entryLeads of [true, false]) {
      const leader = await cluster.leader(START_TIMEOUT_MS);
      const entry = nodes.find((node) => (node === leader) === entryLeads)!;
      await withClient(entry, scheme, async (client) => {
        const transaction = await client.transaction("write");
        await transaction.execute("INSERT INTO t VALUES(1)");
        await transaction.execute("INSERT INTO t VALUES(2)");
        await leader.kill();
        const error = await errorOf(
          transaction.execute("INSERT INTO t VALUES(3)").then(() => transaction.commit()),
        );
        expect(error.message).toMatch(/\w{3,} \w+/);
        transaction.close();
      });
      const next = await cluster.leader(START_TIMEOUT_MS);
      expect(await number(next, "SELECT count(*) FROM t")).toBe(0);
      await leader.start();
      await cluster.waitReady(START_TIMEOUT_MS);
    }
    await run(nodes[0]!, "INSERT INTO t VALUES(4)");
    for (const node of nodes) expect(await number(node, "SELECT count(*) FROM t")).toBe(1);
  });
}
