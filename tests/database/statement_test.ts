import { expect, test } from "bun:test";
import type { Value } from "../../lib/database/values.ts";
import { errorOf, Folder, library } from "./fixture.ts";

const SERIES = `WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series LIMIT ?)`;

function decode(rows: { decode(): Value[][] }): Value[][] {
  return rows.decode();
}

test("a run tells columns, rows, changes and the last rowid", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL)");
  const insert = db.prepare("INSERT INTO t (b) VALUES (?), (?)").statement!;
  expect(insert.isReadonly).toBe(false);
  const inserted = insert.run(["x", "y"]);
  expect(inserted.changes).toBe(2);
  expect(inserted.lastInsertRowid).toBe(2n);
  expect(inserted.columns).toEqual([]);
  expect(inserted.rows.count).toBe(0);
  const select = db.prepare("SELECT a, b, a + 1 AS c FROM t ORDER BY a").statement!;
  expect(select.isReadonly).toBe(true);
  const selected = select.run();
  expect(selected.columns).toEqual([
    { name: "a", declaredType: "INTEGER" },
    { name: "b", declaredType: "TEXT" },
    { name: "c", declaredType: undefined },
  ]);
  expect(decode(selected.rows)).toEqual([[1n, "x", 2n], [2n, "y", 3n]]);
  expect(selected.changes).toBe(0);
});

test("only the rows that a statement itself changed are counted", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec(`
    CREATE TABLE t (a);
    CREATE TABLE log (a);
    CREATE TRIGGER logged AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a), (new.a); END;
  `);
  const changes = (sql: string) => db.prepare(sql).statement!.run().changes;
  expect(changes("INSERT INTO t VALUES (1), (2), (3)")).toBe(3);
  expect(changes("UPDATE t SET a = 0 WHERE a > 9")).toBe(0);
  expect(changes("SELECT * FROM t")).toBe(0);
  expect(changes("DELETE FROM t WHERE a = 1")).toBe(1);
  expect(changes("CREATE TABLE other (a)")).toBe(0);
  expect(changes("UPDATE t SET a = a RETURNING a")).toBe(2);
  expect(changes("DELETE FROM log")).toBe(6);
});

test("changes of a statement that returns more rows than one buffer holds are counted", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a, b)");
  const sql = `INSERT INTO t ${SERIES} SELECT n, hex(zeroblob(500)) FROM series RETURNING *`;
  const { changes, rows } = db.prepare(sql).statement!.run([2_000n]);
  expect(changes).toBe(2_000);
  expect(rows.count).toBe(2_000);
  expect(rows.batches.length).toBeGreaterThan(1);
});

test("column names may repeat and be as many as SQLite allows", () => {
  using folder = new Folder();
  const db = folder.connect();
  const twice = db.prepare("SELECT 1 AS a, 2 AS a, 3 AS ''").statement!;
  expect(twice.columns.map(({ name }) => name)).toEqual(["a", "a", ""]);
  const list = Array.from({ length: 2_000 }, (_, i) => `${i} AS "${"c".repeat(200)}${i}"`);
  const many = db.prepare(`SELECT ${list.join()}`).statement!;
  expect(many.columns).toHaveLength(2_000);
  expect(many.columns[1_999]!.name).toBe(`${"c".repeat(200)}1999`);
  expect(decode(many.run().rows)[0]).toEqual(list.map((_, i) => BigInt(i)));
});

test("thousands of rows arrive complete and in order", () => {
  using folder = new Folder();
  const statement = folder.connect().prepare(
    `${SERIES} SELECT n, 'row ' || n, n * 0.5, NULL FROM series`,
  ).statement!;
  const { rows } = statement.run([25_000n]);
  expect(rows.batches.length).toBeGreaterThan(1);
  const decoded = decode(rows);
  expect(decoded).toHaveLength(25_000);
  decoded.forEach((row, i) => {
    const n = i + 1;
    if (row[0] !== BigInt(n) || row[1] !== `row ${n}` || row[2] !== n / 2 || row[3] !== null) {
      throw new Error(`row ${n} is ${row}`);
    }
  });
});

test("rows larger than the buffer come between small ones", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a)");
  const sizes = [3, 300_000, 5, 262_139, 262_140, 1, 2_000_000, 400_000, 0];
  for (const size of sizes) {
    db.prepare("INSERT INTO t VALUES (?)").statement!.run([new Uint8Array(size).fill(size % 251)]);
  }
  const rows = decode(db.prepare("SELECT a FROM t ORDER BY rowid").statement!.run().rows);
  expect(rows.map(([blob]) => (blob as Uint8Array).length)).toEqual(sizes);
  for (const [blob] of rows) {
    const bytes = blob as Uint8Array;
    expect(bytes.every((byte) => byte === bytes.length % 251)).toBe(true);
  }
});

test("a result above its bound is refused, and the statement can run again", () => {
  using folder = new Folder();
  const statement = folder.connect().prepare(`${SERIES} SELECT zeroblob(1000) FROM series`)
    .statement!;
  const error = errorOf(() => statement.run([5_000n], { bytesMax: 1_000_000 }));
  expect(error.code).toBe("RESPONSE_TOO_LARGE");
  expect(error.outcome).toBe("rejected");
  expect(statement.isBusy).toBe(false);
  expect(statement.run([900n], { bytesMax: 1_000_000 }).rows.count).toBe(900);
});

test("one row above its bound is refused before memory is spent on it", () => {
  using folder = new Folder();
  const db = folder.connect();
  const statement = db.prepare("SELECT zeroblob(?)").statement!;
  expect(errorOf(() => statement.run([70_000_000n])).code).toBe("RESPONSE_TOO_LARGE");
  const cursor = statement.open([70_000_000n]);
  expect(errorOf(() => cursor.next()).code).toBe("RESPONSE_TOO_LARGE");
  expect(cursor.isDone).toBe(true);
});

test("what a write has done is rolled back when its rows exceed the bound", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a)");
  const sql = `INSERT INTO t ${SERIES} SELECT zeroblob(1000) FROM series RETURNING a`;
  const insert = db.prepare(sql).statement!;
  const error = errorOf(() => insert.run([5_000n], { bytesMax: 1_000_000 }));
  expect(error.code).toBe("RESPONSE_TOO_LARGE");
  expect(decode(db.prepare("SELECT count(*) FROM t").statement!.run().rows)).toEqual([[0n]]);
  expect(db.isAutocommit).toBe(true);
});

test("a cursor hands rows over in pieces and holds its snapshot", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (a, b)");
  db.prepare(`INSERT INTO t ${SERIES} SELECT n, zeroblob(400) FROM series`).statement!.run([
    3_000n,
  ]);
  const reader = folder.connect({ role: "readonly" });
  using statement = reader.prepareOwned("SELECT a, b FROM t").statement!;
  const cursor = statement.open();
  let count = cursor.next()!.count;
  expect(count).toBeLessThan(3_000);
  expect(statement.isBusy).toBe(true);
  db.exec("DELETE FROM t");
  for (let batch = cursor.next(); batch !== undefined; batch = cursor.next()) count += batch.count;
  expect(count).toBe(3_000);
  expect(cursor.isDone).toBe(true);
  expect(statement.isBusy).toBe(false);
  expect(statement.run().rows.count).toBe(0);
});

test("two cursors of one connection do not disturb each other", () => {
  using folder = new Folder();
  const db = folder.connect();
  const sql = `${SERIES} SELECT n, zeroblob(3000) FROM series`;
  using first = db.prepareOwned(sql).statement!;
  using second = db.prepareOwned(sql).statement!;
  const cursors = [first.open([300n]), second.open([400n])];
  const counts = [0, 0];
  for (let open = true; open;) {
    open = false;
    cursors.forEach((cursor, i) => {
      const batch = cursor.next();
      if (batch === undefined) return;
      counts[i]! += batch.count;
      open = true;
    });
  }
  expect(counts).toEqual([300, 400]);
});

test("a cursor that is closed early undoes what its statement wrote", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a)");
  const insert = `INSERT INTO t ${SERIES} SELECT zeroblob(1000) FROM series RETURNING a`;
  const cursor = db.prepare(insert).statement!.open([2_000n]);
  expect(cursor.next()!.count).toBeGreaterThan(0);
  cursor.close();
  cursor.close();
  expect(cursor.next()).toBeUndefined();
  expect(decode(db.prepare("SELECT count(*) FROM t").statement!.run().rows)).toEqual([[0n]]);
});

test("running a statement closes the cursor that is open on it", () => {
  using folder = new Folder();
  const statement = folder.connect().prepare(`${SERIES} SELECT zeroblob(1000) FROM series`)
    .statement!;
  const cursor = statement.open([1_000n]);
  expect(statement.run([2n]).rows.count).toBe(2);
  expect(cursor.isDone).toBe(true);
  expect(cursor.next()).toBeUndefined();
});

test("10,000 statements leave no memory behind", () => {
  using folder = new Folder();
  const db = folder.connect();
  db.exec("CREATE TABLE t (a, b)");
  const round = (count: number) => {
    for (let i = 0; i < count; i++) {
      using statement = db.prepareOwned(`SELECT a, b, ${i % 7} FROM t WHERE a = ?`).statement!;
      statement.run(["x".repeat(i % 100)]);
      try {
        db.prepareOwned("SELECT nothing FROM t");
      } catch {
        // Leaves nothing behind either.
      }
    }
  };
  round(500);
  const before = library.c.sqlite3_memory_used();
  round(10_000);
  expect(library.c.sqlite3_memory_used() - before).toBeLessThan(4_096);
});
