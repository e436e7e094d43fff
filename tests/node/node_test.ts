import { afterEach, expect, test } from "bun:test";
import { createClient } from "@libsql/client/web";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, startThree, TIMEOUT_MS, view, waitFor } from "./harness.ts";

afterEach(cleanUp);

async function digest(node: Node): Promise<{ index: number; sha256: string }> {
  return await (await fetch(`${node.httpUrl}/cluster/digest`)).json() as never;
}

/** The hash of every node's database, once all are at the same index: one, when they are equal. */
async function hashes(nodes: readonly Node[]): Promise<Set<string>> {
  let digests = await Promise.all(nodes.map(digest));
  await waitFor("all nodes at the same index", async () => {
    digests = await Promise.all(nodes.map(digest));
    return digests.every(({ index }) => index === digests[0]!.index);
  });
  return new Set(digests.map(({ sha256 }) => sha256));
}

async function count(node: Node): Promise<number> {
  const { rows } = await node.client().execute("SELECT count(*) AS n FROM t");
  return Number(rows[0]?.["n"]);
}

test("a node keeps what it acknowledged when it starts again", async () => {
  const dir = newFolder();
  const before = await start({ dir });
  await before.client().execute("CREATE TABLE t (a)");
  for (let i = 0; i < 20; i++) await before.client().execute("INSERT INTO t VALUES (?)", [i]);
  const { nodeId } = before;
  await before.stop();
  const after = await start({ dir });
  expect(after.nodeId).toBe(nodeId);
  await waitFor("the node leads", async () => (await view(after)).role === "leader");
  expect(await count(after)).toBe(20);
}, TIMEOUT_MS);

test("a restart begins at the last checkpoint, and replays the rest", async () => {
  const dir = newFolder();
  const before = await start({ dir });
  await before.client().execute("CREATE TABLE t (a)");
  await before.client().execute("INSERT INTO t VALUES (1)");
  const reply = await fetch(`${before.httpUrl}/cluster/checkpoint`, { method: "POST" });
  expect(reply.status).toBe(200);
  const { index } = await reply.json() as { index: number };
  expect(index).toBe((await view(before)).appliedIndex);
  await before.client().execute("INSERT INTO t VALUES (2)");
  const { sha256 } = await digest(before);
  await before.stop();
  const after = await start({ dir });
  await waitFor("the node leads", async () => (await view(after)).role === "leader");
  expect(await count(after)).toBe(2);
  expect((await digest(after)).sha256).toBe(sha256);
}, TIMEOUT_MS);

test("a write through any node is seen at once by a read through any other", async () => {
  const nodes = await startThree();
  await nodes[2].client().execute("CREATE TABLE t (a)");
  for (let i = 0; i < 30; i++) {
    const writer = nodes[i % 3]!;
    const reader = nodes[(i + 1) % 3]!;
    await writer.client().execute("INSERT INTO t VALUES (?)", [i]);
    expect(await count(reader)).toBe(i + 1);
  }
  expect((await hashes(nodes)).size).toBe(1);
}, TIMEOUT_MS);

test("a node that stops hands leadership over, and writes go on", async () => {
  const [first, second, third] = await startThree();
  await first.client().execute("CREATE TABLE t (a)");
  await first.stop();
  await second.client().execute("INSERT INTO t VALUES (1)");
  expect(await count(third)).toBe(1);
}, TIMEOUT_MS);

test("a transaction larger than one entry of the log is applied as a whole", async () => {
  const [first, second] = await startThree();
  await first.client().batch([
    "CREATE TABLE t (a)",
    // 12 MiB in pages of 4 KiB: three entries at least.
    `INSERT INTO t
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
       SELECT randomblob(4000) FROM n`,
  ], "write");
  expect(await count(second)).toBe(3000);
  expect((await hashes([first, second])).size).toBe(1);
}, TIMEOUT_MS);

test("VACUUM, DDL and FTS5 are replicated like any write", async () => {
  const [first, second] = await startThree();
  const client = first.client();
  await client.execute("CREATE TABLE t (a)");
  await client.execute("CREATE VIRTUAL TABLE words USING fts5 (body)");
  await client.execute("INSERT INTO words VALUES ('replicated by pages')");
  await client.execute(
    `INSERT INTO t
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
       SELECT hex(randomblob(500)) FROM n`,
  );
  await client.execute("DELETE FROM t WHERE rowid % 2");
  await client.execute("VACUUM");
  const found = await second.client().execute("SELECT * FROM words WHERE words MATCH 'pages'");
  expect(found.rows).toHaveLength(1);
  expect((await hashes([first, second])).size).toBe(1);
}, TIMEOUT_MS);

test("two transactions of @libsql/client write one after the other", async () => {
  const node = await start({ dir: newFolder() });
  const client = createClient({ url: node.httpUrl });
  await client.execute("CREATE TABLE t (a)");
  const one = await client.transaction("write");
  await one.execute("INSERT INTO t VALUES (1)");
  const other = client.transaction("write").then(async (transaction) => {
    const { rows } = await transaction.execute("SELECT count(*) AS n FROM t");
    await transaction.commit();
    return Number(rows[0]?.["n"]);
  });
  await one.execute("INSERT INTO t VALUES (2)");
  await one.commit();
  expect(await other).toBe(2);
}, TIMEOUT_MS);

test("a transaction that is left open is rolled back when its stream is closed", async () => {
  const node = await start({ dir: newFolder() });
  const client = createClient({ url: node.httpUrl });
  await client.execute("CREATE TABLE t (a)");
  const transaction = await client.transaction("write");
  await transaction.execute("INSERT INTO t VALUES (1)");
  transaction.close();
  await client.execute("INSERT INTO t VALUES (2)");
  expect(await count(node)).toBe(1);
}, TIMEOUT_MS);

test("a statement that writes in a read-only transaction is refused", async () => {
  const node = await start({ dir: newFolder() });
  const client = createClient({ url: node.httpUrl });
  await client.execute("CREATE TABLE t (a)");
  const transaction = await client.transaction("read");
  let code: unknown;
  try {
    await transaction.execute("INSERT INTO t VALUES (1)");
  } catch (error) {
    code = (error as { code?: unknown }).code;
  }
  expect(code).toBe("SQLITE_READONLY");
  transaction.close();
}, TIMEOUT_MS);

test("settings of one request do not leak into the next", async () => {
  const node = await start({ dir: newFolder() });
  const client = node.client();
  await client.executeMultiple("PRAGMA foreign_keys = ON; CREATE TEMP TABLE mine (a)");
  const { rows } = await client.execute("PRAGMA foreign_keys");
  expect(Number(rows[0]?.["foreign_keys"])).toBe(0);
  let message = "";
  try {
    await client.execute("SELECT * FROM mine");
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain("no such table: mine");
}, TIMEOUT_MS);

test("what would break replication is refused with its name", async () => {
  const node = await start({ dir: newFolder() });
  for (const sql of ["PRAGMA journal_mode = DELETE", "ATTACH '/tmp/x.db' AS x"]) {
    let code: unknown;
    try {
      await node.client().execute(sql);
    } catch (error) {
      code = (error as { code?: unknown }).code;
    }
    expect(code).toBe("BLOCKED");
  }
}, TIMEOUT_MS);

test("a node that listens on every address is reached by the one that it advertises", async () => {
  const node = await start({
    dir: newFolder(),
    listen: "0.0.0.0:0",
    http: "0.0.0.0:0",
    advertise: "127.0.0.1:9",
  });
  expect(node.address).toBe("127.0.0.1:9");
  expect(new URL(node.httpUrl).hostname).toBe("127.0.0.1");
  expect((await view(node)).role).toBeDefined();
  let message = "";
  try {
    await start({ dir: newFolder(), listen: "0.0.0.0:0" });
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain("--advertise");
}, TIMEOUT_MS);

test("a member that comes back at another address is found there", async () => {
  const dir = newFolder();
  const first = await start({ dir: newFolder() });
  const before = await start({ dir, join: [first.address] });
  await waitFor("two voters", async () => {
    const { members } = await view(first);
    return members.filter(({ role }) => role === "voter").length === 2;
  });
  await before.stop();
  const after = await start({ dir, join: [first.address] });
  expect(after.address).not.toBe(before.address);
  await waitFor("the cluster knows the new addresses", async () => {
    const text = JSON.stringify((await view(first)).members);
    return text.includes(after.address) && text.includes(after.httpUrl);
  });
}, TIMEOUT_MS);
