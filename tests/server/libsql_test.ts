import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient, LibsqlError } from "@libsql/client/web";
import type { ServerOptions } from "../../lib/server/types.ts";
import { FakeSessions, startServer, type TestServer } from "./fixture.ts";
import { SqliteSessions } from "./sqlite_sessions.ts";

interface Setup extends AsyncDisposable {
  readonly client: Client;
  readonly node: TestServer;
  readonly sessions: SqliteSessions;
}

async function start(): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), "dqlite-libsql-"));
  const sessions = new SqliteSessions(join(folder, "test.db"));
  const node = await startServer({ sessions });
  const client = createClient({ url: node.url, intMode: "bigint" });
  return {
    client,
    node,
    sessions,
    async [Symbol.asyncDispose]() {
      client.close();
      await node[Symbol.asyncDispose]();
      sessions[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

async function failure(promise: Promise<unknown>): Promise<LibsqlError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof LibsqlError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

test("values of every type go there and come back", async () => {
  await using setup = await start();
  const { client } = setup;
  await client.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, r REAL, s TEXT, b BLOB, n ANY)");
  const inserted = await client.execute({
    sql: "INSERT INTO t VALUES (?, ?, ?, ?, ?)",
    args: [2n ** 62n, 1.5, "é\u{1f600}\n", new Uint8Array([0, 255]), null],
  });
  expect(inserted.rowsAffected).toBe(1);
  expect(inserted.lastInsertRowid).toBe(2n ** 62n);
  const { rows, columns, columnTypes } = await client.execute({
    sql: "SELECT *, typeof(:k) AS k FROM t WHERE s = :s",
    args: { k: 2, s: "é\u{1f600}\n" },
  });
  expect(columns).toEqual(["i", "r", "s", "b", "n", "k"]);
  expect(columnTypes).toEqual(["INTEGER", "REAL", "TEXT", "BLOB", "ANY", ""]);
  expect(rows[0]!.i).toBe(2n ** 62n);
  expect(rows[0]!.r).toBe(1.5);
  expect(rows[0]!.s).toBe("é\u{1f600}\n");
  expect(new Uint8Array(rows[0]!.b as ArrayBuffer)).toEqual(new Uint8Array([0, 255]));
  expect(rows[0]!.n).toBe(null);
  expect(rows[0]!.k).toBe("real");
  expect(setup.sessions.openStreams).toBe(0);
});

test("a batch is done as a whole or not at all", async () => {
  await using setup = await start();
  const { client } = setup;
  const results = await client.batch([
    "CREATE TABLE t (a INTEGER UNIQUE)",
    { sql: "INSERT INTO t VALUES (?)", args: [1] },
    "SELECT count(*) AS n FROM t",
  ], "write");
  expect(results[2]!.rows[0]!.n).toBe(1n);
  const error = await failure(
    client.batch(["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"], "write"),
  );
  expect(error.code).toBe("SQLITE_CONSTRAINT");
  expect(error.message).toContain("UNIQUE constraint failed: t.a");
  const { rows } = await client.execute("SELECT group_concat(a) AS all_a FROM t");
  expect(rows[0]!.all_a).toBe("1");
});

test("a transaction over several round trips commits and rolls back", async () => {
  await using setup = await start();
  const { client } = setup;
  await client.execute("CREATE TABLE t (a)");
  for (const end of ["commit", "rollback"] as const) {
    const transaction = await client.transaction("write");
    await transaction.execute("INSERT INTO t VALUES (1)");
    const { rows } = await transaction.execute("SELECT count(*) AS n FROM t");
    await transaction.batch([{ sql: "INSERT INTO t VALUES (?)", args: [rows[0]!.n!] }]);
    await transaction[end]();
  }
  expect((await client.execute("SELECT count(*) AS n FROM t")).rows[0]!.n).toBe(2n);
  const reader = await client.transaction("read");
  expect((await reader.execute("SELECT count(*) AS n FROM t")).rows[0]!.n).toBe(2n);
  reader.close();
});

test("several statements run as one script", async () => {
  await using setup = await start();
  const { client } = setup;
  await client.executeMultiple("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);");
  expect((await client.execute("SELECT sum(a) AS n FROM t")).rows[0]!.n).toBe(3n);
  expect((await failure(client.executeMultiple("SELECT 1; SELEC 2"))).code).toBe("SQLITE_ERROR");
});

test("many clients at once are all answered", async () => {
  await using setup = await start();
  const { client } = setup;
  const sums = await Promise.all(
    Array.from(
      { length: 200 },
      (_, i) => client.execute({ sql: "SELECT ? + 1 AS n", args: [BigInt(i)] }),
    ),
  );
  expect(sums.map(({ rows }) => rows[0]!.n)).toEqual(
    Array.from({ length: 200 }, (_, i) => BigInt(i + 1)),
  );
});

test("the code of an error reaches the program, of statements and of pipelines", async () => {
  await using setup = await start();
  expect((await failure(setup.client.execute("SELEC 1"))).code).toBe("SQLITE_ERROR");

  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  const client = createClient({ url: node.url });
  for (const code of ["BUSY", "STREAM_EXPIRED", "LEADERSHIP_LOST", "TRANSACTION_LOST"] as const) {
    sessions.refuse(code);
    const error = await failure(client.execute("SELECT 1"));
    expect([error.code, error.message]).toEqual([code, `${code}: refused: ${code}`]);
  }
  sessions.refuse("NOT_LEADER");
  const error = await failure(client.execute("SELECT 1"));
  expect(error.code).toBe("NO_LEADER");
  expect(error.message).toContain("No leader answered within 5000 ms");
  client.close();
});

test("a statement above the limit is refused with a code", async () => {
  await using setup = await start();
  const error = await failure(setup.client.execute(`SELECT '${"x".repeat(17 * 1024 * 1024)}'`));
  expect(error.code).toBe("TOO_LARGE");
  expect((await setup.client.execute("SELECT 1 AS n")).rows[0]!.n).toBe(1n);
});

test("a client of a follower talks to the leader from the second request on", async () => {
  await using setup = await start();
  const followerSessions = new FakeSessions();
  followerSessions.refuse("NOT_LEADER");
  const leadership: ServerOptions["leadership"] = {
    leaderUrl: () => setup.node.url,
    waitForLeader: () => Promise.resolve(true),
  };
  await using follower = await startServer({ sessions: followerSessions, leadership, nodeId: 2 });
  const hosts: string[] = [];
  const client = createClient({
    url: follower.url,
    fetch: (request: Request) => {
      hosts.push(new URL(request.url).origin);
      return fetch(request);
    },
  });
  const transaction = await client.transaction("write");
  await transaction.execute("CREATE TABLE t (a)");
  await transaction.execute("INSERT INTO t VALUES (5)");
  await transaction.commit();
  const leaderUrl = setup.node.url;
  expect(hosts).toEqual([follower.url, leaderUrl, leaderUrl]);
  expect((await client.execute("SELECT a FROM t")).rows[0]!.a).toBe(5);
  expect(hosts.at(-1)).toBe(follower.url);
  client.close();
});
