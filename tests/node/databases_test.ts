import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { DATABASES_OPEN_MAX } from "../../lib/base/limits.ts";
import { connect } from "../../lib/client/client.ts";
import type { Node } from "../../lib/node.ts";
import type { StorageOptions } from "../../lib/node_options.ts";
import { HranaClient } from "../server/web_socket_client.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";
import { Lines } from "./lines.ts";
import { command } from "./program.ts";

afterEach(cleanUp);

interface Answer {
  readonly status: number;
  readonly body: {
    readonly results?: {
      readonly type: string;
      readonly response?: { readonly result: { readonly rows: { readonly value: string }[][] } };
      readonly error?: { readonly message: string };
    }[];
    readonly code?: string;
    readonly message?: string;
  };
}

/** Runs one statement on a database of a node. */
async function run(
  node: Node,
  path: string,
  sql: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const requests = [{ type: "execute", stmt: { sql } }, { type: "close" }];
  const response = await fetch(`${node.httpUrl}${path}/v2/pipeline`, {
    method: "POST",
    headers,
    body: JSON.stringify({ requests }),
  });
  return { status: response.status, body: await response.json() as Answer["body"] };
}

/** The first column of the first row of what a statement yields. */
async function valueOf(node: Node, path: string, sql: string, headers = {}): Promise<string> {
  const { body } = await run(node, path, sql, headers);
  const [result] = body.results ?? [];
  const value = result?.response?.result.rows[0]?.[0]?.value;
  return value ?? result?.error?.message ?? body.message ?? "no row";
}

async function write(node: Node, path: string, sql: string): Promise<void> {
  const { status, body } = await run(node, path, sql);
  expect([status, body.results?.[0]?.type, body]).toEqual([200, "ok", body]);
}

async function names(node: Node): Promise<string[]> {
  const response = await fetch(`${node.httpUrl}/cluster/databases`);
  const { databases = [] } = await response.json() as { databases?: { name: string }[] };
  return databases.map(({ name }) => name);
}

async function change(node: Node, method: "POST" | "DELETE", name: string): Promise<unknown> {
  const body = JSON.stringify({ name });
  const response = await fetch(`${node.httpUrl}/cluster/databases`, { method, body });
  const answer = await response.json() as { code?: string };
  return answer.code ?? response.status;
}

test("a database is made when it is used first, and holds its own tables", async () => {
  const node = await start({ dir: newFolder() });
  await write(node, "", "CREATE TABLE t (a)");
  await write(node, "/app", "CREATE TABLE t (a)");
  await write(node, "/app", "INSERT INTO t VALUES (7)");
  expect(await valueOf(node, "/app", "SELECT a FROM t")).toBe("7");
  expect(await valueOf(node, "/db/app", "SELECT a FROM t")).toBe("7");
  expect(await valueOf(node, "/dev/app", "SELECT a FROM t")).toBe("7");
  expect(await valueOf(node, "", "SELECT a FROM t", { "x-namespace": "app" })).toBe("7");
  expect(await valueOf(node, "", "SELECT count(*) FROM t")).toBe("0");
  expect(await valueOf(node, "/main", "SELECT count(*) FROM t")).toBe("0");
  expect(await names(node)).toEqual(["main", "app"]);
}, TIMEOUT_MS);

test("a WebSocket speaks to the database that its path names", async () => {
  const node = await start({ dir: newFolder() });
  for (const path of ["/app", "/db/app", "/dev/app/"]) {
    using socket = await HranaClient.connect(`${node.httpUrl}${path}`);
    await socket.ask({ type: "open_stream", stream_id: 1 });
    const stmt = { sql: "CREATE TABLE IF NOT EXISTS t AS SELECT 5 AS a" };
    await socket.ask({ type: "execute", stream_id: 1, stmt });
  }
  expect(await valueOf(node, "/app", "SELECT a FROM t")).toBe("5");
  expect(await valueOf(node, "", "SELECT count(*) FROM sqlite_schema")).toBe("0");
}, TIMEOUT_MS);

test("what is no name makes no database", async () => {
  const node = await start({ dir: newFolder() });
  for (const path of ["/a.b", "/-a", `/${"a".repeat(65)}`, "/%41"]) {
    expect((await run(node, path, "SELECT 1")).body.code).toBe("DATABASE_NAME");
  }
  expect(await change(node, "POST", "")).toBe("DATABASE_NAME");
  expect(await names(node)).toEqual(["main"]);
}, TIMEOUT_MS);

test("databases are made and dropped by name, and the first one stays", async () => {
  const dir = newFolder();
  const node = await start({ dir });
  expect(await change(node, "POST", "one")).toBe(200);
  expect(await change(node, "POST", "one")).toBe(200);
  expect(await change(node, "POST", "two")).toBe(200);
  await write(node, "/one", "CREATE TABLE t (a)");
  expect(await names(node)).toEqual(["main", "one", "two"]);
  expect(await change(node, "DELETE", "one")).toBe(200);
  expect(await change(node, "DELETE", "one")).toBe("DATABASE_UNKNOWN");
  expect(await change(node, "DELETE", "main")).toBe("DATABASE_NAME");
  expect(await names(node)).toEqual(["main", "two"]);
  // Of the same name, and another one.
  expect(await valueOf(node, "/one", "SELECT count(*) FROM sqlite_schema")).toBe("0");
  await waitFor("its files are gone", () => !existsSync(`${dir}/databases/2.db`));
  expect(existsSync(`${dir}/databases/4.db`)).toBe(true);
}, TIMEOUT_MS);

test("databases are there again after a restart, with and without a checkpoint", async () => {
  const dir = newFolder();
  const node = await start({ dir });
  for (const name of ["a", "b", "c"]) {
    await write(node, `/${name}`, "CREATE TABLE t (a)");
    await write(node, `/${name}`, `INSERT INTO t VALUES ('${name}')`);
  }
  await fetch(`${node.httpUrl}/cluster/checkpoint`, { method: "POST" });
  await write(node, "/b", "UPDATE t SET a = 'later'");
  await write(node, "/d", "CREATE TABLE t (a)");
  expect(await change(node, "DELETE", "c")).toBe(200);
  await node.stop();
  const again = await start({ dir });
  expect(await valueOf(again, "/a", "SELECT a FROM t")).toBe("a");
  expect(await valueOf(again, "/b", "SELECT a FROM t")).toBe("later");
  expect(await names(again)).toEqual(["main", "a", "b", "d"]);
  await fetch(`${again.httpUrl}/cluster/checkpoint`, { method: "POST" });
  const files = readdirSync(`${dir}/databases`).filter((name) => name.endsWith(".db"));
  expect(files.sort()).toEqual(["2.db", "3.db", "5.db"]);
  await again.stop();
  const last = await start({ dir });
  expect(await valueOf(last, "/b", "SELECT a FROM t")).toBe("later");
  expect(await valueOf(last, "/d", "SELECT count(*) FROM t")).toBe("0");
}, TIMEOUT_MS);

test("a transaction that is open in one database holds up nobody in another", async () => {
  const node = await start({ dir: newFolder() });
  for (const path of ["", "/a", "/b"]) await write(node, path, "CREATE TABLE t (a)");
  const requests = [{ type: "execute", stmt: { sql: "BEGIN IMMEDIATE" } }];
  const open = await fetch(`${node.httpUrl}/a/v2/pipeline`, {
    method: "POST",
    body: JSON.stringify({ requests }),
  });
  expect(open.status).toBe(200);
  const { baton } = await open.json() as { baton: string };
  const startMs = performance.now();
  await write(node, "", "INSERT INTO t VALUES (1)");
  await write(node, "/b", "INSERT INTO t VALUES (1)");
  expect(performance.now() - startMs).toBeLessThan(5_000);
  const sql = "INSERT INTO t VALUES (2)";
  const rest = [{ type: "execute", stmt: { sql } }, { type: "execute", stmt: { sql: "COMMIT" } }, {
    type: "close",
  }];
  const end = await fetch(`${node.httpUrl}/v2/pipeline`, {
    method: "POST",
    body: JSON.stringify({ baton, requests: rest }),
  });
  expect(end.status).toBe(200);
  expect(await valueOf(node, "/a", "SELECT a FROM t")).toBe("2");
}, TIMEOUT_MS);

test("every node of a cluster has every database", async () => {
  const leader = await start({ dir: newFolder() });
  const others = [
    await start({ dir: newFolder(), join: [leader.address] }),
    await start({ dir: newFolder(), join: [leader.address] }),
  ];
  await waitFor(
    "three voters",
    async () => (await view(leader)).members.every(({ role }) => role === "voter"),
  );
  // A node that does not lead passes on what makes a database.
  await write(others[0]!, "/app", "CREATE TABLE t (a)");
  for (const node of [leader, ...others]) {
    await write(node, "/app", "INSERT INTO t VALUES (1)");
    expect(await names(node)).toEqual(["main", "app"]);
  }
  for (const node of [leader, ...others]) {
    expect(await valueOf(node, "/app", "SELECT count(*) FROM t")).toBe("3");
  }
  expect(await change(others[1]!, "DELETE", "app")).toBe(200);
  for (const node of [leader, ...others]) expect(await names(node)).toEqual(["main"]);
}, TIMEOUT_MS);

/** Next to nothing of the log stays behind a checkpoint. */
const SHORT: StorageOptions = { checkpointFrames: 50, trailing: { entries: 10, bytes: 4096 } };
const MIB = 1024 * 1024;

test("a node that joins late, or was away, gets every database from a snapshot", async () => {
  const lines = new Lines();
  const leader = await start({ dir: newFolder(), storage: SHORT, log: lines });
  for (let i = 0; i < 12; i++) {
    await write(leader, `/d${i}`, "CREATE TABLE t (a)");
    await write(leader, `/d${i}`, `INSERT INTO t VALUES ('first ${i}')`);
  }
  await change(leader, "DELETE", "d3");
  const dir = newFolder();
  const follower = await start({ dir, join: [leader.address], storage: SHORT });
  await start({ dir: newFolder(), join: [leader.address], storage: SHORT });
  await waitFor("it has all", async () => (await names(follower)).length === 12);
  await waitFor(
    "three voters",
    async () => (await view(leader)).members.every(({ role }) => role === "voter"),
  );
  await follower.stop();
  await write(leader, "", "CREATE TABLE t (a)");
  // More than a segment of the log, twice.
  for (let i = 0; i < 36; i++) {
    await write(leader, "", `REPLACE INTO t (rowid, a) VALUES (1, randomblob(${MIB}))`);
  }
  await write(leader, "/d5", "UPDATE t SET a = 'second'");
  await change(leader, "DELETE", "d7");
  await write(leader, "/late", "CREATE TABLE t (a)");
  await waitFor("a compaction", () => lines.with("compacted the log").length > 0);

  const [again, fresh] = [new Lines(), new Lines()];
  const back = await start({ dir, storage: SHORT, log: again });
  const late = await start({ dir: newFolder(), join: [leader.address], log: fresh });
  for (const taken of [again, fresh]) {
    await waitFor("a snapshot", () => taken.with("took a snapshot").length > 0);
  }
  const expected = ["main", ...[0, 1, 2, 4, 5, 6, 8, 9, 10, 11].map((i) => `d${i}`), "late"];
  for (const node of [back, late]) {
    await waitFor("all databases", async () => (await names(node)).length === expected.length);
    expect(await names(node)).toEqual(expected);
    expect(await valueOf(node, "/d5", "SELECT a FROM t")).toBe("second");
    expect(await valueOf(node, "/d6", "SELECT a FROM t")).toBe("first 6");
    expect(await valueOf(node, "/late", "SELECT count(*) FROM t")).toBe("0");
    expect(await valueOf(node, "/d8", "PRAGMA integrity_check")).toBe("ok");
  }
}, 2 * TIMEOUT_MS);

test("a thousand databases cost few open files, and are all there after a restart", async () => {
  const dir = newFolder();
  const node = await start({ dir });
  const openFiles = () =>
    readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).includes(`${dir}/databases/`);
      } catch {
        return false;
      }
    }).length;
  const count = 1_000;
  const makers = Array.from({ length: 8 }, async (_, maker) => {
    for (let i = maker; i < count; i += 8) {
      const sql = `CREATE TABLE t AS SELECT ${i} AS a`;
      await write(node, `/tenant${i}`, sql);
    }
  });
  await Promise.all(makers);
  expect((await names(node)).length).toBe(count + 1);
  await waitFor("databases are closed", () => openFiles() < 8 * DATABASES_OPEN_MAX);
  for (const i of [0, 1, 499, 998, 999]) {
    expect(await valueOf(node, `/tenant${i}`, "SELECT a FROM t")).toBe(String(i));
  }
  await node.stop();
  const again = await start({ dir });
  for (const i of [0, 1, 499, 998, 999]) {
    expect(await valueOf(again, `/tenant${i}`, "SELECT a FROM t")).toBe(String(i));
  }
  expect((await names(again)).length).toBe(count + 1);
}, 4 * TIMEOUT_MS);

test("each database is backed up, restored and hashed by its name", async () => {
  const folder = newFolder();
  const node = await start({ dir: newFolder() });
  await write(node, "", "CREATE TABLE m (a)");
  await write(node, "/app", "CREATE TABLE t (a)");
  await write(node, "/app", "INSERT INTO t VALUES (7), (8)");
  const flags = ["--url", node.httpUrl];
  expect((await command("backup", ...flags, "--db", "app", `${folder}/app.db`)).status).toBe(0);
  expect((await command("backup", ...flags, "--db", "none", `${folder}/none.db`)).errors)
    .toContain("There is no database none");
  const copy = new Database(`${folder}/app.db`, { readonly: true });
  expect(copy.query("SELECT sum(a) FROM t").values()).toEqual([[15]]);
  copy.close();
  const restored = await command("restore", ...flags, "--db", "copy", `${folder}/app.db`);
  expect([restored.errors, restored.status]).toEqual(["", 0]);
  expect(await valueOf(node, "/copy", "SELECT sum(a) FROM t")).toBe("15");
  expect((await command("dump", ...flags, "--db", "copy")).out).toContain("INSERT INTO t");
  const digests = await Promise.all(["", "?db=app", "?db=copy"].map(async (query) => {
    const answer = await fetch(`${node.httpUrl}/cluster/digest${query}`);
    return (await answer.json() as { sha256: string }).sha256;
  }));
  expect(digests[0]).not.toBe(digests[1]);
  expect(digests.every((sha256) => sha256.length === 64)).toBe(true);
}, TIMEOUT_MS);

test("clients, the shell and the command line go to a database by its name", async () => {
  const node = await start({ dir: newFolder() });
  const flags = ["--url", node.httpUrl];
  expect((await command("databases", ...flags, "create", "one")).status).toBe(0);
  const client = connect({ urls: node.httpUrl, database: "one" });
  await client.execute("CREATE TABLE t (a)");
  const transaction = await client.transaction("write");
  await transaction.execute("INSERT INTO t VALUES ('by the client')");
  await transaction.commit();
  client.close();
  const local = node.client({ database: "one" });
  expect((await local.execute("SELECT a FROM t")).rows[0]).toEqual({ a: "by the client" } as never);
  const script = [".use two", "CREATE TABLE u (a);", ".databases", ".use one", "SELECT a FROM t;"];
  const shell = await command("shell", ...flags, ...script);
  expect(shell.out).toBe("  main\n  one\n* two\nby the client\n");
  expect((await command("shell", ...flags, "--db", "one", "SELECT count(*) FROM t")).out)
    .toBe("1\n");
  expect((await command("databases", ...flags)).out).toBe("main\none\ntwo\n");
  expect((await command("databases", ...flags, "drop", "two")).status).toBe(0);
  expect((await command("databases", ...flags, "drop", "two")).errors).toContain("no database two");
  expect((await command("databases", ...flags)).out).toBe("main\none\n");
  expect(() => connect({ urls: node.httpUrl, database: "a b" })).toThrow("a b");
}, TIMEOUT_MS);
