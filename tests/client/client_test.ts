import { expect, test } from "bun:test";
import type { Client } from "@libsql/core/api";

import { connect } from "../../lib/client/client.ts";
import { failureOf, Nodes } from "./nodes.ts";

test("a client has the shape of a libSQL client", () => {
  const client: Client = connect({ urls: "http://127.0.0.1:8080" });
  expect(client.protocol).toBe("http");
  expect(client.closed).toBe(false);
});

test("execute gives rows by name and by position", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  const result = await client.execute("SELECT 1 AS a, 'x' AS b, 2 AS a");
  expect(result.columns).toEqual(["a", "b", "a"]);
  const row = result.rows[0]!;
  expect([row["a"], row["b"], row[0], row[2], row.length]).toEqual([1, "x", 1, 2, 3]);
  expect(Object.entries(row)).toEqual([["a", 1], ["b", "x"]]);
  expect(Array.from(row as ArrayLike<unknown>)).toEqual([1, "x", 2]);
  expect(JSON.parse(JSON.stringify(result)).rows).toEqual([[1, "x", 2]]);
});

test("columns of odd names are read by position, and never hide one another", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  const sql = `SELECT 1 AS "length", 2 AS "__proto__", 3 AS "1", 4 AS toString, 5 AS b`;
  const row = (await client.execute(sql)).rows[0]!;
  expect(Array.from(row as ArrayLike<unknown>)).toEqual([1, 2, 3, 4, 5]);
  expect([row.length, row[1], row["toString"], row["b"]]).toEqual([5, 2, 4, 5]);
  expect(Object.keys(row)).toEqual(["__proto__", "toString", "b"]);
  const plain = (await client.execute("SELECT 1 AS a, 2 AS b")).rows[0]!;
  expect(Array.prototype.slice.call(plain as ArrayLike<unknown>)).toEqual([1, 2]);
  expect({ ...plain } as unknown).toEqual({ a: 1, b: 2 });
  expect(JSON.stringify(plain)).toBe('{"a":1,"b":2}');
});

test("values of every type come back as they went in", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url, { intMode: "bigint" });
  const sql = "SELECT ? AS v, typeof(?1) AS t";
  const typed = async (value: never) => {
    const row = (await client.execute(sql, [value])).rows[0]!;
    return [row["v"], row["t"]];
  };
  const cases = [
    [null, null, "null"],
    ["häß\u0000日", "häß\u0000日", "text"],
    [1, 1, "real"],
    [0.1, 0.1, "real"],
    [2n ** 63n - 1n, 2n ** 63n - 1n, "integer"],
    [-(2n ** 63n), -(2n ** 63n), "integer"],
    [true, 1n, "integer"],
    [new Date(5), 5, "real"],
  ] as const;
  for (const [given, back, type] of cases) {
    expect(await typed(given as never)).toEqual([back, type]);
  }
  const [blob, type] = await typed(new Uint8Array([0, 255, 1]) as never);
  expect(type).toBe("blob");
  expect(blob).toBeInstanceOf(ArrayBuffer);
  expect([...new Uint8Array(blob as unknown as ArrayBuffer)]).toEqual([0, 255, 1]);
  const empty = await typed(new ArrayBuffer(0) as never);
  expect((empty[0] as unknown as ArrayBuffer).byteLength).toBe(0);
});

test("integers come out by intMode, and never rounded", async () => {
  await using nodes = new Nodes();
  const { url } = await nodes.start();
  const sql = "SELECT 9007199254740993 AS v";
  const by = async (intMode: "bigint" | "string") =>
    (await nodes.connect(url, { intMode }).execute(sql)).rows[0]!["v"];
  expect(await by("bigint")).toBe(9007199254740993n);
  expect(await by("string")).toBe("9007199254740993");
  let thrown: unknown;
  try {
    await nodes.connect(url).execute(sql);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(RangeError);
});

test("arguments that SQL does not know are refused before anything is sent", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  const bad = [NaN, Infinity, 2n ** 63n, undefined, {}, Symbol("x")];
  for (const value of bad) {
    let thrown: unknown;
    try {
      await client.execute("SELECT ?", [value as never]);
    } catch (error) {
      thrown = error;
    }
    expect(thrown instanceof RangeError || thrown instanceof TypeError).toBe(true);
  }
  expect(node.requests).toEqual([]);
});

test("arguments go by name and by position", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  const named = await client.execute({ sql: "SELECT :a || $b AS v", args: { a: "x", b: "y" } });
  expect(named.rows[0]!["v"]).toBe("xy");
  expect((await client.execute("SELECT ?2 AS v", ["x", "y"])).rows[0]!["v"]).toBe("y");
});

test("an error of SQL has SQLite's code and was rejected", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  await client.execute("CREATE TABLE t (a PRIMARY KEY)");
  await client.execute("INSERT INTO t VALUES (1)");
  const error = await failureOf(() => client.execute("INSERT INTO t VALUES (1)"));
  expect([error.code, error.outcome]).toEqual(["SQLITE_CONSTRAINT", "rejected"]);
  expect(error.message).toContain("UNIQUE constraint failed: t.a");
});

test("batch is one transaction, and names the statement that failed", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  const results = await client.batch([
    "CREATE TABLE t (a PRIMARY KEY, b)",
    ["INSERT INTO t VALUES (?, ?)", [1, "x"]],
    { sql: "INSERT INTO t VALUES (:a, :b)", args: { a: 2, b: "y" } },
    "SELECT count(*) AS n FROM t",
  ], "write");
  expect(results.map((r) => r.rowsAffected)).toEqual([0, 1, 1, 0]);
  expect(results[3]!.rows[0]!["n"]).toBe(2);
  const error = await failureOf(() =>
    client.batch(["INSERT INTO t VALUES (3, 'z')", "INSERT INTO t VALUES (1, 'x')"], "write")
  );
  expect([error.code, error.statementIndex]).toEqual(["SQLITE_CONSTRAINT", 1]);
  expect((await client.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(2);
  expect(node.openStreams).toBe(0);
});

test("a batch of a thousand equal texts sends the text once", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  await client.execute("CREATE TABLE t (a)");
  const sql = "INSERT INTO t VALUES (?)";
  await client.batch(Array.from({ length: 1_000 }, (_, i) => [sql, [i]] as [string, number[]]));
  expect((await client.execute("SELECT sum(a) AS s FROM t")).rows[0]!["s"]).toBe(499_500);
  expect(JSON.stringify(node.pipelines[1]).split(sql).length - 1).toBe(1);
});

test("a statement that commits a batch does not let the rest run outside of it", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  await client.execute("CREATE TABLE t (a)");
  const error = await failureOf(() =>
    client.batch(["INSERT INTO t VALUES (1)", "COMMIT", "INSERT INTO t VALUES (2)"], "write")
  );
  expect([error.code, error.statementIndex]).toEqual(["TRANSACTION_CLOSED", 2]);
  expect((await client.execute("SELECT max(a) AS m FROM t")).rows[0]!["m"]).toBe(1);
});

test("migrate runs without checks of foreign keys", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  await client.batch([
    "CREATE TABLE p (id PRIMARY KEY)",
    "CREATE TABLE c (p REFERENCES p (id))",
    "INSERT INTO p VALUES (1)",
    "INSERT INTO c VALUES (1)",
  ]);
  await client.migrate(["DROP TABLE p", "CREATE TABLE p (id PRIMARY KEY, x)"]);
  expect((await client.execute("SELECT count(*) AS n FROM c")).rows[0]!["n"]).toBe(1);
});

test("executeMultiple runs each statement up to the first that fails", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  await client.executeMultiple("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);");
  const error = await failureOf(() =>
    client.executeMultiple("INSERT INTO t VALUES (3); SELECT nothing; INSERT INTO t VALUES (4)")
  );
  expect(error.message).toContain("nothing");
  expect((await client.execute("SELECT max(a) AS m FROM t")).rows[0]!["m"]).toBe(3);
});

test("sync is refused by name", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  expect((await failureOf(() => client.sync())).code).toBe("SYNC_NOT_SUPPORTED");
});

test("a closed client refuses calls until it is reconnected", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  client.close();
  expect(client.closed).toBe(true);
  expect((await failureOf(() => client.execute("SELECT 1"))).code).toBe("CLIENT_CLOSED");
  client.reconnect();
  expect((await client.execute("SELECT 1 AS a")).rows[0]!["a"]).toBe(1);
});

test("closing ends a call that waits for its answer", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  await client.execute("SELECT 1");
  node.faults.push({ type: "hang" });
  const failed = failureOf(() => client.execute("CREATE TABLE t (a)"));
  while (node.pipelines.length < 2) await Bun.sleep(1);
  client.close();
  expect(await failed).toMatchObject({ code: "CLIENT_CLOSED", outcome: "unknown" });
});

test("options that are not valid are refused by name and rule", () => {
  const refused = (options: Parameters<typeof connect>[0]) => {
    try {
      connect(options);
    } catch (error) {
      return (error as Error).message;
    }
    return undefined;
  };
  expect(refused({ urls: [] })).toContain("no URL");
  expect(refused({ urls: "127.0.0.1:8080" })).toContain('"127.0.0.1:8080"');
  expect(refused({ urls: "ws://a" })).toContain("http://");
  expect(refused({ urls: "http://a", timeoutMs: 0 })).toContain("timeoutMs 0");
  expect(refused({ urls: "http://a", intMode: "int" as never })).toContain('"int"');
});

test("many calls at once are all answered", async () => {
  await using nodes = new Nodes();
  const client = nodes.connect((await nodes.start()).url);
  const calls = Array.from({ length: 400 }, (_, i) => client.execute("SELECT ? AS i", [i]));
  const results = await Promise.all(calls);
  expect(results.map((result) => result.rows[0]!["i"])).toEqual(calls.map((_, i) => i));
});
