import { expect, test } from "bun:test";

import { failureOf, Nodes } from "./nodes.ts";

const COUNT = "SELECT count(*) AS n FROM t";

async function tableOf(nodes: Nodes) {
  const [leader, other] = await nodes.cluster(2);
  const client = nodes.connect(leader!.url);
  await client.execute("CREATE TABLE t (a PRIMARY KEY)");
  const count = async () => (await client.execute(COUNT)).rows[0]!["n"];
  return { client, leader: leader!, other: other!, count };
}

test("a transaction commits what it did", async () => {
  await using nodes = new Nodes();
  const { client, leader, count } = await tableOf(nodes);
  const tx = await client.transaction("write");
  await tx.execute({ sql: "INSERT INTO t VALUES (?)", args: [1] });
  await tx.executeMultiple("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)");
  expect((await tx.batch([COUNT, COUNT])).map((r) => r.rows[0]!["n"])).toEqual([3, 3]);
  expect(tx.closed).toBe(false);
  await tx.commit();
  expect(tx.closed).toBe(true);
  expect(await count()).toBe(3);
  expect(leader.openStreams).toBe(0);
});

test("a transaction that is rolled back, or closed, leaves nothing", async () => {
  await using nodes = new Nodes();
  const { client, leader, count } = await tableOf(nodes);
  const rolledBack = await client.transaction("write");
  await rolledBack.execute("INSERT INTO t VALUES (1)");
  await rolledBack.rollback();
  await rolledBack.rollback();
  const closed = await client.transaction("write");
  await closed.execute("INSERT INTO t VALUES (1)");
  closed.close();
  while (leader.openStreams > 0) await Bun.sleep(1);
  expect(await count()).toBe(0);
  expect((await failureOf(() => closed.execute("SELECT 1"))).code).toBe("TRANSACTION_CLOSED");
  expect((await failureOf(() => closed.commit())).code).toBe("TRANSACTION_CLOSED");
});

test("a transaction without statements sends nothing", async () => {
  await using nodes = new Nodes();
  const { client, leader } = await tableOf(nodes);
  await (await client.transaction()).commit();
  await (await client.transaction("read")).rollback();
  expect(leader.pipelines.length).toBe(1);
});

test("a statement that fails leaves the transaction open", async () => {
  await using nodes = new Nodes();
  const { client, count } = await tableOf(nodes);
  const tx = await client.transaction("write");
  await tx.execute("INSERT INTO t VALUES (1)");
  const error = await failureOf(() => tx.batch(["SELECT 1", "INSERT INTO t VALUES (1)"]));
  expect([error.code, error.statementIndex]).toEqual(["SQLITE_CONSTRAINT", 1]);
  await tx.execute("INSERT INTO t VALUES (2)");
  await tx.commit();
  expect(await count()).toBe(2);
});

test("a transaction that could not begin is closed", async () => {
  await using nodes = new Nodes();
  const { client, count } = await tableOf(nodes);
  const first = await client.transaction("write");
  await first.execute("INSERT INTO t VALUES (1)");
  const second = await client.transaction("write");
  expect((await failureOf(() => second.execute("INSERT INTO t VALUES (2)"))).code)
    .toBe("SQLITE_BUSY");
  expect(second.closed).toBe(true);
  await first.commit();
  expect(await count()).toBe(1);
});

test("statements after SQLite ended the transaction do not run by themselves", async () => {
  await using nodes = new Nodes();
  const { client, count } = await tableOf(nodes);
  const tx = await client.transaction("write");
  await tx.execute("INSERT INTO t VALUES (1)");
  await failureOf(() => tx.execute("INSERT OR ROLLBACK INTO t VALUES (1)"));
  expect((await failureOf(() => tx.execute("INSERT INTO t VALUES (5)"))).code)
    .toBe("TRANSACTION_CLOSED");
  expect((await failureOf(() => tx.commit())).outcome).toBe("rejected");
  expect(await count()).toBe(0);
});

test("the leader dies in the middle: nothing is half-done, and the error says so", async () => {
  await using nodes = new Nodes();
  const { client, leader, other } = await tableOf(nodes);
  const tx = await client.transaction("write");
  await tx.execute("INSERT INTO t VALUES (1)");
  await leader.stop();
  nodes.elect([other], other, 2);
  const error = await failureOf(() => tx.execute("INSERT INTO t VALUES (2)"));
  expect([error.code, error.outcome]).toEqual(["TRANSACTION_LOST", "rejected"]);
  expect(tx.closed).toBe(true);
  expect((await client.execute(COUNT)).rows[0]!["n"]).toBe(0);
});

test("a commit whose answer is lost has an unknown outcome", async () => {
  await using nodes = new Nodes();
  const { client, leader, count } = await tableOf(nodes);
  const tx = await client.transaction("write");
  await tx.execute("INSERT INTO t VALUES (1)");
  leader.faults.push({ type: "drop", executed: true });
  const error = await failureOf(() => tx.commit());
  expect([error.code, error.outcome]).toEqual(["CONNECTION_LOST", "unknown"]);
  expect(await count()).toBe(1);
});

test("a commit at a stream that expired was rejected", async () => {
  await using nodes = new Nodes();
  const { client, leader, count } = await tableOf(nodes);
  const tx = await client.transaction("write");
  await tx.execute("INSERT INTO t VALUES (1)");
  leader.expireStreams();
  const error = await failureOf(() => tx.commit());
  expect([error.code, error.outcome]).toEqual(["TRANSACTION_LOST", "rejected"]);
  expect(await count()).toBe(0);
});

test("the first statement of a transaction finds the new leader", async () => {
  await using nodes = new Nodes();
  const { client, leader, other } = await tableOf(nodes);
  nodes.elect([leader, other], other, 2);
  const tx = await client.transaction("write");
  await tx.execute("INSERT INTO t VALUES (1)");
  await tx.commit();
  expect((await client.execute(COUNT)).rows[0]!["n"]).toBe(1);
});

test("calls of one transaction run in the order they were made", async () => {
  await using nodes = new Nodes();
  const { client, count } = await tableOf(nodes);
  const tx = await client.transaction("write");
  const calls = Array.from({ length: 10 }, (_, i) => tx.execute(`INSERT INTO t VALUES (${i})`));
  const ids = (await Promise.all(calls)).map((result) => Number(result.lastInsertRowid));
  expect(ids).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  await tx.commit();
  expect(await count()).toBe(10);
});

test("a mode that SQLite does not know is refused", async () => {
  await using nodes = new Nodes();
  const { client } = await tableOf(nodes);
  let thrown: unknown;
  try {
    await client.transaction("exclusive" as never);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(RangeError);
});
