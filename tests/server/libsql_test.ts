import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient, LibsqlError } from "@libsql/client/web";
import type { ServerOptions } from "../../lib/server/types.ts";
import { FakeSessions, startServer, type TestServer } from "./fixture.ts";
import { SqliteSessions } from "./sqlite_sessions.ts";

/** How the client reaches the database. */
interface Way {
  readonly scheme: "http" | "ws";
  /** The node that it asks. */
  readonly asked: "leader" | "follower";
}

const WAYS: readonly Way[] = [
  { scheme: "http", asked: "leader" },
  { scheme: "http", asked: "follower" },
  { scheme: "ws", asked: "leader" },
  { scheme: "ws", asked: "follower" },
];

interface Setup extends AsyncDisposable {
  readonly client: Client;
  readonly node: TestServer;
  readonly sessions: SqliteSessions;
}

async function start(way: Way): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), "dqlite-libsql-"));
  const sessions = new SqliteSessions(join(folder, "test.db"));
  const node = await startServer({ sessions });
  const follower = await startFollower(node);
  const url = urlFor(way.scheme, way.asked === "leader" ? node : follower);
  const client = createClient({ url, intMode: "bigint" });
  return {
    client,
    node,
    sessions,
    async [Symbol.asyncDispose]() {
      client.close();
      await follower[Symbol.asyncDispose]();
      await node[Symbol.asyncDispose]();
      sessions[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A node that can answer nothing itself. */
async function startFollower(leader: TestServer): Promise<TestServer> {
  const sessions = new FakeSessions();
  sessions.refuse("NOT_LEADER");
  const leadership: ServerOptions["leadership"] = {
    leaderUrl: () => leader.url,
    waitForLeader: () => Promise.resolve(true),
  };
  return await startServer({ sessions, leadership, nodeId: 2 });
}

function urlFor(scheme: Way["scheme"], node: TestServer): string {
  return node.url.replace("http:", `${scheme}:`);
}

/** A test of what does not depend on the way. */
function eachWay(title: string, run: (way: Way) => Promise<void>): void {
  for (const way of WAYS) test(`${title}: ${way.scheme}, ${way.asked}`, () => run(way));
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

eachWay("values of every type go there and come back", async (way) => {
  await using setup = await start(way);
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

eachWay("a batch is done as a whole or not at all", async (way) => {
  await using setup = await start(way);
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

eachWay("a transaction over several round trips commits and rolls back", async (way) => {
  await using setup = await start(way);
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

eachWay("several statements run as one script", async (way) => {
  await using setup = await start(way);
  const { client } = setup;
  await client.executeMultiple("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);");
  expect((await client.execute("SELECT sum(a) AS n FROM t")).rows[0]!.n).toBe(3n);
  expect((await failure(client.executeMultiple("SELECT 1; SELEC 2"))).code).toBe("SQLITE_ERROR");
});

eachWay("many clients at once are all answered", async (way) => {
  await using setup = await start(way);
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

eachWay("the code of an error reaches the program, of statements and of pipelines", async (way) => {
  await using setup = await start(way);
  expect((await failure(setup.client.execute("SELEC 1"))).code).toBe("SQLITE_ERROR");

  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  await using follower = await startFollower(node);
  const asked = way.asked === "leader" ? node : follower;
  const client = createClient({ url: urlFor(way.scheme, asked) });
  for (const code of ["BUSY", "STREAM_EXPIRED", "LEADERSHIP_LOST", "TRANSACTION_LOST"] as const) {
    sessions.refuse(code);
    const error = await failure(client.execute("SELECT 1"));
    expect([error.code, error.message]).toEqual([code, `${code}: refused: ${code}`]);
  }
  // A follower would look for another leader meanwhile.
  if (way.asked === "leader") {
    sessions.refuse("NOT_LEADER");
    const error = await failure(client.execute("SELECT 1"));
    expect(error.code).toBe("NO_LEADER");
    expect(error.message).toContain("No leader answered within 5000 ms");
  }
  client.close();
});

eachWay("a statement above the limit is refused, and the next one is answered", async (way) => {
  await using setup = await start(way);
  const error = await failure(setup.client.execute(`SELECT '${"x".repeat(17 * 1024 * 1024)}'`));
  // Over a WebSocket it costs the connection.
  expect(error.code).toBe(way.scheme === "http" ? "TOO_LARGE" : "HRANA_WEBSOCKET_ERROR");
  expect((await setup.client.execute("SELECT 1 AS n")).rows[0]!.n).toBe(1n);
});

test("a client of a follower talks to the leader from the second request on", async () => {
  await using setup = await start({ scheme: "http", asked: "leader" });
  await using follower = await startFollower(setup.node);
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
