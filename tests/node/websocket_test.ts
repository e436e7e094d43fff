import { afterEach, expect, test } from "bun:test";
import type { Node } from "../../lib/node.ts";
import { close, execute, HranaClient, open } from "../server/web_socket_client.ts";
import { cleanUp, newFolder, start, startThree, TIMEOUT_MS, view, waitFor } from "./harness.ts";

afterEach(cleanUp);

/** Runs one statement on a stream of its own. @returns Its result, or its error. */
async function once(client: HranaClient, sql: string) {
  client.send(open(0));
  const id = client.send(execute(0, sql));
  client.send(close(0));
  const answer = await client.answerTo(id);
  return answer.result ?? answer;
}

async function transfer(from: Node, to: Node): Promise<void> {
  const reply = await fetch(`${from.httpUrl}/cluster/transfer`, {
    method: "POST",
    body: JSON.stringify({ id: to.nodeId }),
  });
  expect(reply.status).toBe(200);
}

test("a WebSocket of a follower goes on when the leader changes", async () => {
  const [first, second, third] = await startThree();
  using client = await HranaClient.connect(third.httpUrl);
  expect(await once(client, "CREATE TABLE t (a)")).toMatchObject({ rows: [] });
  client.send(open(1));
  await client.ask(execute(1, "BEGIN IMMEDIATE"));
  await client.ask(execute(1, "INSERT INTO t VALUES (1)"));
  await transfer(first, third);
  const lost = await client.ask(execute(1, "INSERT INTO t VALUES (2)"));
  expect(lost).toMatchObject({ code: "TRANSACTION_LOST" });
  // Nothing of it runs outside of its transaction.
  expect(await client.ask(execute(1, "COMMIT"))).toEqual(lost);
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });

  // The node leads itself now, until it does not.
  expect(await once(client, "INSERT INTO t VALUES (3)")).toMatchObject({ affected_row_count: 1 });
  client.send(open(2));
  await client.ask(execute(2, "SELECT 1"));
  await transfer(third, first);
  expect(await client.ask(execute(2, "SELECT 1"))).toMatchObject({ code: "TRANSACTION_LOST" });
  expect(await once(client, "INSERT INTO t VALUES (4)")).toMatchObject({ affected_row_count: 1 });
  for (const node of [first, second, third]) {
    const { rows } = await node.client().execute("SELECT group_concat(a) AS a FROM t");
    expect(rows[0]!["a"]).toBe("3,4");
  }
}, TIMEOUT_MS);

test("a stream keeps what SQLite keeps for a connection, on whichever node", async () => {
  const [first, second] = await startThree();
  await first.client().execute("CREATE TABLE t (a)");
  for (const node of [first, second]) {
    using client = await HranaClient.connect(node.httpUrl);
    client.send(open(1));
    client.send(open(2));
    const inserted = await client.ask(execute(1, "INSERT INTO t VALUES (1)"));
    await client.ask(execute(2, "INSERT INTO t VALUES (2)"));
    await client.ask(execute(1, "PRAGMA case_sensitive_like = on"));
    const seen = await client.ask(execute(1, "SELECT last_insert_rowid(), 'a' LIKE 'A'"));
    const rowid = { type: "integer", value: inserted.result.last_insert_rowid };
    expect(seen.result.rows).toEqual([[rowid, { type: "integer", value: "0" }]]);
    const other = await client.ask(execute(2, "SELECT 'a' LIKE 'A'"));
    expect(other.result.rows).toEqual([[{ type: "integer", value: "1" }]]);
  }
}, TIMEOUT_MS);

test("a node that stops lets its WebSockets go, and keeps what it answered", async () => {
  const dir = newFolder();
  const node = await start({ dir });
  using client = await HranaClient.connect(node.httpUrl);
  await once(client, "CREATE TABLE t (a)");
  client.send(open(1));
  await client.ask(execute(1, "BEGIN"));
  await client.ask(execute(1, "INSERT INTO t VALUES (1)"));
  expect(await once(client, "SELECT count(*) FROM t")).toMatchObject({
    rows: [[{ type: "integer", value: "0" }]],
  });
  const stopped = node.stop();
  expect(await client.closed()).toBe(1001);
  await stopped;
  const after = await start({ dir });
  await waitFor("the node leads", async () => (await view(after)).role === "leader");
  const { rows } = await after.client().execute("SELECT count(*) AS n FROM t");
  expect(Number(rows[0]!["n"])).toBe(0);
}, TIMEOUT_MS);
