import { expect, test } from "bun:test";

import { failureOf, Nodes } from "./nodes.ts";

test("a session keeps its transaction and its temporary tables across calls", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  const session = client.session({ intMode: "bigint" });
  await session.execute("CREATE TEMP TABLE mine (a)");
  await session.execute("INSERT INTO mine VALUES (1)");
  expect(session.inTransaction).toBe(false);
  await session.execute("BEGIN");
  expect(session.inTransaction).toBe(true);
  await session.executeMultiple("CREATE TABLE t (a); INSERT INTO t VALUES (7)");
  expect((await failureOf(() => client.execute("SELECT * FROM t"))).code).toBe("SQLITE_ERROR");
  await session.execute("COMMIT");
  expect(session.inTransaction).toBe(false);
  expect((await client.execute("SELECT a FROM t")).rows[0]!["a"]).toBe(7);
  expect((await session.execute("SELECT a FROM mine")).rows[0]!["a"]).toBe(1n);
  session.close();
  expect((await failureOf(() => session.execute("SELECT 1"))).code).toBe("CLOSED");
});

test("a session without a transaction goes on after its stream expired", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const session = nodes.connect(node.url).session();
  await session.execute("CREATE TABLE t (a)");
  node.expireStreams();
  await session.execute("INSERT INTO t VALUES (1)");
  expect((await session.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(1);
  session.close();
});

test("a session follows the leader", async () => {
  await using nodes = new Nodes();
  const all = await nodes.cluster(2);
  const session = nodes.connect(all[0]!.url).session();
  await session.execute("CREATE TABLE t (a)");
  await all[0]!.stop();
  nodes.elect([all[1]!], all[1]!, 2);
  await session.execute("INSERT INTO t VALUES (1)");
  expect((await session.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(1);
  session.close();
});

test("a transaction whose stream is gone is reported as rolled back, once", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const session = nodes.connect(node.url).session();
  await session.execute("CREATE TABLE t (a)");
  await session.execute("BEGIN");
  await session.execute("INSERT INTO t VALUES (1)");
  node.expireStreams();
  const error = await failureOf(() => session.execute("SELECT 1"));
  expect([error.code, error.outcome]).toEqual(["TRANSACTION_LOST", "rejected"]);
  expect(error.message).toContain("rolled back");
  expect(session.inTransaction).toBe(false);
  expect((await session.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(0);
  session.close();
});

test("a commit whose answer is lost is reported as unknown", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const session = nodes.connect(node.url).session();
  await session.execute("BEGIN");
  await session.execute("CREATE TABLE t (a)");
  node.faults.push({ type: "drop", executed: true });
  const error = await failureOf(() => session.execute("COMMIT"));
  expect([error.code, error.outcome]).toEqual(["TRANSACTION_LOST", "unknown"]);
  session.close();
});

test("a write outside of a transaction whose answer is lost is not repeated", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const session = nodes.connect(node.url).session();
  await session.execute("CREATE TABLE t (a)");
  node.faults.push({ type: "drop", executed: true });
  const error = await failureOf(() => session.execute("INSERT INTO t VALUES (1)"));
  expect([error.code, error.outcome]).toEqual(["CONNECTION_LOST", "unknown"]);
  expect((await session.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(1);
  session.close();
});
