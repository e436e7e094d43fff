import { expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { Connection } from "../../lib/database/connection.ts";
import type { Value } from "../../lib/database/values.ts";
import { errorOf, Folder, library } from "./fixture.ts";

function query(db: Connection, sql: string, args: Value[] = []): Value[][] {
  return db.prepare(sql).statement!.run(args).rows.decode();
}

test("the roles differ in what they may do", () => {
  using folder = new Folder();
  expect(errorOf(() => folder.connect({ role: "readonly" })).sqliteName).toBe("SQLITE_CANTOPEN");
  expect(errorOf(() => folder.connect({ role: "session" })).sqliteName).toBe("SQLITE_CANTOPEN");
  expect(existsSync(folder.file())).toBe(false);
  folder.connect().exec("CREATE TABLE t (a)");
  const reader = folder.connect({ role: "readonly" });
  const error = errorOf(() => reader.exec("INSERT INTO t VALUES (1)"));
  expect(error.wireCode).toBe("SQLITE_READONLY");
});

test("a file that is no database is refused with SQLite's reason", () => {
  using folder = new Folder();
  writeFileSync(folder.file(), "this is no database, and long enough to see that".repeat(50));
  const db = folder.connect();
  const error = errorOf(() => db.exec("SELECT * FROM sqlite_schema"));
  expect(error.wireCode).toBe("SQLITE_NOTADB");
  expect(error.message).toBe("file is not a database");
});

test("prepare yields the first statement and the text after it", () => {
  using folder = new Folder();
  const db = folder.connect();
  const { statement, tail } = db.prepare("-- é\n;; SELECT 'é;' ; SELECT 2; -- end");
  expect(statement!.sql).toBe("-- é\n;; SELECT 'é;' ;");
  expect(tail).toBe(" SELECT 2; -- end");
  const second = db.prepare(tail);
  expect(second.statement!.sql).toBe("SELECT 2;");
  expect(db.prepare(second.tail)).toEqual({ statement: undefined, tail: "" });
  for (const blank of ["", " \n", ";", ";;;", "-- only a comment", "/* open"]) {
    expect(db.prepare(blank).statement).toBeUndefined();
  }
});

test("an error of the parser tells where, in characters", () => {
  using folder = new Folder();
  const db = folder.connect();
  const plain = errorOf(() => db.prepare("SELECT 1 FORM t"));
  expect([plain.code, plain.wireCode, plain.sqliteCode]).toEqual(["SQLITE", "SQLITE_ERROR", 1]);
  expect(plain.message).toBe('near "t": syntax error');
  expect(plain.sqlOffset).toBe(14);
  expect(errorOf(() => db.prepare("SELECT '🚀é', missing")).sqlOffset).toBe(14);
  const script = "SELECT 'é'; SELECT missing";
  expect(errorOf(() => db.exec(script)).sqlOffset).toBe(script.indexOf("missing"));
  expect(errorOf(() => db.exec("SELECT abs(-9223372036854775808)")).sqlOffset).toBeUndefined();
});

test("text that SQLite would cut short or choke on is refused", () => {
  using folder = new Folder();
  const db = folder.connect();
  const error = errorOf(() => db.prepare("SELECT 1;\0 DROP TABLE t"));
  expect([error.code, error.sqlOffset]).toEqual(["SQL_PARSE_ERROR", 9]);
  expect(errorOf(() => db.exec(" ".repeat(5 * 1024 * 1024))).code).toBe("TOO_LARGE");
});

test("errors carry extended result codes and SQLite's words", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec(`
    CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, c NOT NULL, d CHECK (d > 0));
    CREATE TABLE child (t REFERENCES t);
    INSERT INTO t VALUES (1, 1, 1, 1);
    PRAGMA foreign_keys = ON;
  `);
  const failure = (sql: string) => {
    const { code, sqliteCode, wireCode, message, outcome } = errorOf(() => db.exec(sql));
    expect([code, outcome]).toEqual(["SQLITE", "rejected"]);
    return [sqliteCode, wireCode, message];
  };
  expect(failure("INSERT INTO t VALUES (1, 2, 3, 4)"))
    .toEqual([1555, "SQLITE_CONSTRAINT", "UNIQUE constraint failed: t.a"]);
  expect(failure("INSERT INTO t VALUES (2, 1, 3, 4)"))
    .toEqual([2067, "SQLITE_CONSTRAINT", "UNIQUE constraint failed: t.b"]);
  expect(failure("INSERT INTO t VALUES (2, 2, NULL, 4)"))
    .toEqual([1299, "SQLITE_CONSTRAINT", "NOT NULL constraint failed: t.c"]);
  expect(failure("INSERT INTO t VALUES (2, 2, 3, 0)"))
    .toEqual([275, "SQLITE_CONSTRAINT", "CHECK constraint failed: d > 0"]);
  expect(failure("INSERT INTO child VALUES (7)"))
    .toEqual([787, "SQLITE_CONSTRAINT", "FOREIGN KEY constraint failed"]);
  expect(failure("INSERT INTO t VALUES ('x', 2, 3, 4)"))
    .toEqual([20, "SQLITE_MISMATCH", "datatype mismatch"]);
  expect(failure("SELECT abs(-9223372036854775808)"))
    .toEqual([1, "SQLITE_ERROR", "integer overflow"]);
});

test("a statement that failed runs again", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a UNIQUE)");
  const insert = db.prepare("INSERT INTO t VALUES (?)").statement!;
  insert.run(["x"]);
  expect(errorOf(() => insert.run(["x"])).sqliteCode).toBe(2067);
  expect(insert.run(["y"]).changes).toBe(1);
  expect(query(db, "SELECT a FROM t ORDER BY a")).toEqual([["x"], ["y"]]);
});

test("arguments are bound by position or by name", () => {
  using folder = new Folder();
  const db = folder.connect();
  const named = db.prepare("SELECT :a, @b, $c, :a").statement!;
  expect(named.parameters).toEqual([":a", "@b", "$c"]);
  const run = (args: Map<string, Value>) => named.run(args).rows.decode()[0];
  expect(run(new Map<string, Value>([[":a", 1n], ["@b", "x"], ["$c", null]]))).toEqual([
    1n,
    "x",
    null,
    1n,
  ]);
  expect(run(new Map<string, Value>([["c", 3n], ["a", 1n], ["b", 2n]]))).toEqual([1n, 2n, 3n, 1n]);
  expect(named.run([1n, 2n, 3n]).rows.decode()).toEqual([[1n, 2n, 3n, 1n]]);
  const numbered = db.prepare("SELECT ?3, ?, ?1").statement!;
  expect(numbered.parameters).toEqual(["?1", undefined, "?3", undefined]);
  expect(numbered.run([1n, 2n, 3n, 4n]).rows.decode()).toEqual([[3n, 4n, 1n]]);
});

test("arguments that do not fit are refused", () => {
  using folder = new Folder();
  const db = folder.connect();
  const message = (sql: string, args: Value[] | Map<string, Value>) => {
    const error = errorOf(() => db.prepare(sql).statement!.run(args));
    expect(error.code).toBe("ARGS_INVALID");
    return error.message;
  };
  const count = "The statement has 2 parameters, but";
  expect(message("SELECT ?, ?", [1n])).toBe(`${count} 1 arguments were given`);
  expect(message("SELECT ?, ?", [1n, 2n, 3n])).toBe(`${count} 3 arguments were given`);
  expect(message("SELECT :a", new Map())).toBe("No argument for the parameter :a");
  expect(message("SELECT :a", new Map([["a", 1n], ["x", 2n]])))
    .toBe('The statement has no parameter "x"');
  expect(message("SELECT ?", new Map([["a", 1n]])))
    .toBe("Parameter 1 has no name, but the arguments are given by name");
});

test("the cache hands out the same statement until it gives it up", () => {
  using folder = new Folder();
  const db = folder.connect({ role: "plain", statementCacheMax: 3 });
  const prepare = (n: number) => db.prepare(`SELECT ${n}`).statement!;
  const first = prepare(1);
  expect(prepare(1)).toBe(first);
  prepare(2);
  prepare(3);
  expect(prepare(1)).toBe(first);
  prepare(4);
  expect(db.cachedCount).toBe(3);
  const second = prepare(2);
  expect(second.run().rows.decode()).toEqual([[2n]]);
  expect(prepare(1)).toBe(first);
  prepare(5);
  prepare(6);
  prepare(7);
  expect(first.isClosed).toBe(true);
  expect(errorOf(() => first.run()).code).toBe("CLOSED");
  expect(prepare(1).run().rows.decode()).toEqual([[1n]]);
});

test("a statement in use is neither shared nor closed under its cursor", () => {
  using folder = new Folder();
  const db = folder.connect({ role: "plain", statementCacheMax: 1 });
  const sql = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 1000) " +
    "SELECT n, zeroblob(1000) FROM s";
  const busy = db.prepare(sql).statement!;
  const cursor = busy.open();
  const other = db.prepare(sql).statement!;
  expect(other).not.toBe(busy);
  db.prepare("SELECT 1");
  let count = 0;
  for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) count += batch.count;
  expect(count).toBe(1_000);
  expect(busy.isClosed).toBe(true);
  expect(other.isClosed).toBe(true);
});

test("kept statements follow a change of the schema", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  const select = db.prepare("SELECT * FROM t").statement!;
  expect(select.run().rows.decode()).toEqual([[1n]]);
  folder.connect().exec("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new'");
  const result = select.run();
  expect(result.columns.map(({ name }) => name)).toEqual(["a", "b"]);
  expect(result.rows.decode()).toEqual([[1n, "new"]]);
  expect(select.run().columns).toHaveLength(2);
  db.exec("DROP TABLE t");
  expect(errorOf(() => select.run()).message).toBe("no such table: t");
});

test("a script runs to the first error, and what came before it stays", () => {
  using folder = new Folder();
  const db = folder.connect();
  const script = "CREATE TABLE t (a); INSERT INTO t VALUES (1); INSERT INTO x VALUES (1); SELECT 1";
  expect(errorOf(() => db.exec(script)).message).toBe("no such table: x");
  expect(query(db, "SELECT a FROM t")).toEqual([[1n]]);
});

test("a script of 20,000 statements runs whole", () => {
  using folder = new Folder();
  const db = folder.connect();
  const inserts = Array.from({ length: 20_000 }, (_, i) => `INSERT INTO t VALUES (${i}, 'é');\n`);
  db.exec(`CREATE TABLE t (a, b); BEGIN; ${inserts.join("")} COMMIT`);
  expect(query(db, "SELECT count(*), sum(a) FROM t")).toEqual([[20_000n, 199_990_000n]]);
});

test("leaving a script early closes its statement", () => {
  using folder = new Folder();
  const db = folder.connect();
  for (const statement of db.statements("SELECT 1; SELECT 2")) {
    expect(statement.run().rows.count).toBe(1);
    break;
  }
  db.close();
  expect(db.isClosed).toBe(true);
});

test("autocommit tells whether a transaction is open", () => {
  using folder = new Folder();
  const db = folder.connect();
  expect(db.isAutocommit).toBe(true);
  db.exec("BEGIN");
  expect(db.isAutocommit).toBe(false);
  db.exec("ROLLBACK");
  expect(db.isAutocommit).toBe(true);
});

test("a writer that waits too long for another is told so", () => {
  using folder = new Folder();
  const first = folder.connect();
  first.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a); BEGIN IMMEDIATE");
  const second = folder.connect({ role: "plain", busyTimeoutMs: 20 });
  const error = errorOf(() => second.exec("INSERT INTO t VALUES (1)"));
  expect([error.wireCode, error.message]).toEqual(["SQLITE_BUSY", "database is locked"]);
  first.exec("ROLLBACK");
  second.exec("INSERT INTO t VALUES (1)");
});

test("an interrupt ends the cursors that stand open", () => {
  using folder = new Folder();
  const db = folder.connect();
  const sql = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT zeroblob(999) FROM s";
  const cursor = db.prepare(sql).statement!.open();
  expect(cursor.next()!.count).toBeGreaterThan(1);
  db.interrupt();
  expect(errorOf(() => cursor.next()).wireCode).toBe("SQLITE_INTERRUPT");
  expect(cursor.isDone).toBe(true);
  expect(query(db, "SELECT 1")).toEqual([[1n]]);
});

test("closing is harmless twice, rolls back, and ends statements and cursors", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)");
  const owned = db.prepareOwned("SELECT 1").statement!;
  const kept = db.prepare("SELECT 2").statement!;
  const cursor = db.prepare(
    "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT zeroblob(999) FROM s",
  ).statement!.open();
  db.close();
  db.close();
  owned.close();
  db.interrupt();
  expect([owned.isClosed, kept.isClosed, cursor.isDone]).toEqual([true, true, true]);
  for (const use of [() => owned.run(), () => kept.run(), () => db.prepare("SELECT 1")]) {
    expect(errorOf(use).code).toBe("CLOSED");
  }
  expect(query(folder.connect(), "SELECT * FROM t")).toEqual([]);
});

test("connections that are opened and closed leave no memory behind", () => {
  using folder = new Folder();
  const round = (count: number) => {
    for (let i = 0; i < count; i++) {
      using db = Connection.open(library, folder.file(), { role: "plain" });
      db.prepare("SELECT * FROM sqlite_schema").statement!.run();
    }
  };
  round(20);
  const before = library.c.sqlite3_memory_used();
  round(500);
  expect(library.c.sqlite3_memory_used() - before).toBeLessThan(4_096);
});
