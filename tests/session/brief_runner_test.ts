import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import { Connection } from "../../lib/database/connection.ts";
import { BriefRunner } from "../../lib/session/brief_runner.ts";
import type { Job, JobResult } from "../../lib/session/worker_messages.ts";
import type { Value } from "../../lib/wire/hrana/types.ts";
import { systemClock } from "../../lib/io/clock.ts";

const library = await openLibrary();

interface Fixture {
  readonly plain: Connection;
  readonly runner: BriefRunner;
  readonly wait: (ms: number) => void;
  /** From now on, every look at the clock finds it so much later. */
  readonly slow: (ms: number) => void;
  /** What the second and later runs of a statement come to. */
  run(sql: string, args?: readonly Value[], writable?: boolean): JobResult | undefined;
}

/** Pipelines of one statement, whose texts workers ran before. */
function known(runner: BriefRunner, statements: readonly (readonly [sql: string, ...Value[]])[]) {
  return statements.map(([sql, ...args], at): Job => {
    const stmt = { sql, args, namedArgs: [], wantRows: true };
    const requests = [{ type: "execute", stmt }, { type: "close" }] as const;
    expect(runner.mayRun({ requests }) || runner.mayRun({ requests })).toBe(true);
    return { id: at, streamId: undefined, requests, writable: true };
  });
}

/** Makes a database of 5,000 rows and a runner over it. */
function withRunner(check: (fixture: Fixture) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "brief-"));
  const path = join(folder, "main.db");
  const plain = Connection.open(library, path, { role: "plain" });
  let skippedMs = 0;
  let slowMs = 0;
  const clock = {
    ...systemClock,
    nowMs: () => {
      skippedMs += slowMs;
      return systemClock.nowMs() + skippedMs;
    },
  };
  const runner = new BriefRunner({ library, databasePath: path, clock });
  try {
    plain.exec("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
    plain.exec(
      "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) " +
        "INSERT INTO t SELECT i, 'v' || i FROM n",
    );
    check({
      plain,
      runner,
      wait: (ms) => skippedMs += ms,
      slow: (ms) => slowMs = ms,
      run(sql, args = [], writable = true) {
        const stmt = { sql, args, namedArgs: [], wantRows: true };
        const requests = [{ type: "execute", stmt }, { type: "close" }] as const;
        // A worker runs it the first time.
        if (!runner.mayRun({ requests }) && !runner.mayRun({ requests })) return undefined;
        return runner.run({ id: 7, streamId: undefined, requests, writable });
      },
    });
  } finally {
    runner.reset();
    plain.close();
    rmSync(folder, { recursive: true });
  }
}

test("a point read and a small write run here", () => {
  withRunner(({ run, plain }) => {
    const read = run("SELECT v FROM t WHERE id = ?", [3n]);
    expect(read?.results[0]).toContain('"value":"v3"');
    expect(read?.results[1]).toBe('{"type":"ok","response":{"type":"close"}}');
    const written = run("INSERT INTO t VALUES (?, ?)", [9000n, "new"]);
    expect(written?.results[0]).toContain('"affected_row_count":1');
    const rows = plain.prepare("SELECT v FROM t WHERE id = 9000").statement!.run().rows;
    expect(rows.count).toBe(1);
  });
});

test("a text that was not seen before is left to a worker", () => {
  withRunner(({ runner }) => {
    const stmt = { sql: "SELECT 1", args: [], namedArgs: [], wantRows: true };
    const requests = [{ type: "execute", stmt }, { type: "close" }] as const;
    expect(runner.mayRun({ requests })).toBe(false);
    expect(runner.mayRun({ requests })).toBe(true);
  });
});

test("what may hold the thread up does not run here", () => {
  withRunner(({ run, plain }) => {
    plain.exec("CREATE TABLE u (a); CREATE TABLE log (a)");
    plain.exec("CREATE TRIGGER r AFTER INSERT ON u BEGIN INSERT INTO log VALUES (new.a); END");
    plain.exec("CREATE VIRTUAL TABLE f USING fts5(body)");
    for (
      const sql of [
        "SELECT count(*) FROM t",
        "DELETE FROM t",
        "INSERT INTO u VALUES (1)",
        "SELECT * FROM f WHERE f MATCH 'x'",
        "SELECT randomblob(1000)",
        "SELECT * FROM pragma_integrity_check",
        "SELECT v FROM t WHERE v LIKE '%9'",
      ]
    ) expect(run(sql)).toBe(undefined);
    for (const sql of ["CREATE TABLE x (a)", "PRAGMA foreign_keys = on", "BEGIN", "VACUUM"]) {
      expect(run(sql)).toBe(undefined);
    }
  });
});

test("a statement beyond its budget is undone and not tried again", () => {
  withRunner(({ run, plain }) => {
    const sql = "UPDATE t SET v = v || 'x'";
    expect(run(sql)).toBe(undefined);
    expect(run(sql)).toBe(undefined);
    const rows = plain.prepare("SELECT 1 FROM t WHERE v LIKE '%x' LIMIT 1").statement!.run().rows;
    expect(rows.count).toBe(0);
    expect(run("SELECT v FROM t")).toBe(undefined);
  });
});

test("the budget counts each run of a statement from its start", () => {
  withRunner(({ run }) => {
    for (let i = 0; i < 1000; i++) {
      expect(run("SELECT v FROM t WHERE id = ?", [BigInt(i + 1)])?.refused).toBe(undefined);
    }
  });
});

test("a value that is too long is left to a worker", () => {
  withRunner(({ run, plain }) => {
    plain.exec("INSERT INTO t VALUES (6000, zeroblob(100000))");
    expect(run("SELECT v FROM t WHERE id = ?", [1n])).toBeDefined();
    expect(run("SELECT v FROM t WHERE id = ?", [6000n])).toBe(undefined);
    expect(run("INSERT INTO t VALUES (?, ?)", [7000n, "x".repeat(20_000)])).toBe(undefined);
  });
});

test("an error of the statement is its answer", () => {
  withRunner(({ run }) => {
    const sql = "INSERT INTO t VALUES (?, ?)";
    expect(run(sql, [1n, "twice"])?.results[0]).toContain("UNIQUE constraint failed: t.id");
    expect(run(sql, [8000n, "once"])?.results[0]).toContain('"affected_row_count":1');
  });
});

test("after a change of the schema a statement is judged anew", () => {
  withRunner(({ run, plain }) => {
    const sql = "INSERT INTO t VALUES (?, ?)";
    expect(run(sql, [8000n, "a"])).toBeDefined();
    plain.exec("CREATE TABLE log (a)");
    plain.exec("CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.v); END");
    expect(run(sql, [8001n, "b"])).toBe(undefined);
    expect(run(sql, [8001n, "b"])).toBe(undefined);
    plain.exec("DROP TRIGGER r");
    const select = "SELECT v FROM t WHERE id = ?";
    expect(run(select, [8000n])).toBe(undefined);
    expect(run(select, [8000n])?.results[0]).toContain('"value":"a"');
    plain.exec("ALTER TABLE t RENAME COLUMN v TO w; ALTER TABLE t ADD COLUMN v DEFAULT 'new'");
    expect(run(select, [8000n])).toBe(undefined);
    expect(run(select, [8000n])?.results[0]).toContain('"value":"new"');
  });
});

test("on a follower a write is refused, so that the leader is asked", () => {
  withRunner(({ run }) => {
    expect(run("INSERT INTO t VALUES (?, ?)", [9n, ""], false)?.refused?.code).toBe("NOT_LEADER");
    expect(run("SELECT v FROM t WHERE id = ?", [9n], false)?.refused).toBe(undefined);
  });
});

test("when statements are slow on and on, workers run them for a while", () => {
  withRunner(({ run, slow, wait }) => {
    const sql = "SELECT v FROM t WHERE id = 1";
    expect(run(sql)).toBeDefined();
    slow(50);
    expect(run(sql)).toBeDefined();
    slow(0);
    expect(run(sql)).toBeDefined();
    slow(50);
    for (let i = 0; i < 8; i++) run(sql);
    slow(0);
    expect(run(sql)).toBe(undefined);
    wait(2_000);
    expect(run(sql)).toBeDefined();
  });
});

const INSERT = "INSERT INTO t VALUES (?, ?)";

function rowsAbove(plain: Connection, id: number): number {
  return plain.prepare("SELECT id FROM t WHERE id > ?").statement!.run([id]).rows.count;
}

test("writes that run together are all there, and each has its own answer", () => {
  withRunner(({ runner, plain }) => {
    const jobs = known(runner, [
      [INSERT, 6000n, "a"],
      [INSERT, 1n, "taken"],
      [INSERT, 6001n, "b"],
      ["UPDATE t SET v = 'c' WHERE id >= 6000"],
      ["DELETE FROM t WHERE id = 6001"],
    ]);
    const results = runner.runTogether(jobs, Infinity);
    expect(results.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4]);
    const texts = results.map(({ results }) => results[0] as string);
    expect(texts[1]).toContain("UNIQUE constraint failed");
    expect(texts[1]).toStartWith('{"type":"error"');
    for (const [at, rows] of [[0, 1], [2, 1], [3, 2], [4, 1]] as const) {
      expect(texts[at]).toContain(`"affected_row_count":${rows}`);
    }
    expect(rowsAbove(plain, 5000)).toBe(1);
  });
});

test("writes that run together are committed at once", () => {
  withRunner(({ runner, plain }) => {
    const rows = Array.from({ length: 20 }, (_, at) => [INSERT, BigInt(7000 + at), 1n] as const);
    const jobs = known(runner, rows);
    plain.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    expect(runner.runTogether(jobs, Infinity)).toHaveLength(20);
    // One frame for the page of the rows, and not one for each commit.
    expect(statSync(`${plain.path}-wal`).size).toBeLessThan(3 * (4096 + 24));
    expect(rowsAbove(plain, 5000)).toBe(20);
  });
});

test("nothing stands of writes that do not go together, and each may run alone", () => {
  const bad: readonly (readonly [string, ...Value[]])[] = [
    ["INSERT OR ROLLBACK INTO t VALUES (?, ?)", 1n, "taken"],
    ["UPDATE t SET v = v || 'x'"],
    ["INSERT INTO t SELECT id + 100000, v FROM t"],
  ];
  for (const statement of bad) {
    withRunner(({ runner, plain }) => {
      const jobs = known(runner, [[INSERT, 6000n, "a"], statement, [INSERT, 6001n, "b"]]);
      expect(runner.runTogether(jobs, Infinity)).toEqual([]);
      expect(rowsAbove(plain, 5000)).toBe(0);
      expect(runner.run(jobs[0]!)?.results[0]).toContain('"affected_row_count":1');
      expect(runner.run(jobs[2]!)?.results[0]).toContain('"affected_row_count":1');
      expect(rowsAbove(plain, 5000)).toBe(2);
    });
  }
});

test("writes whose time is up are left out, and those before them stand", () => {
  withRunner(({ runner, plain, slow }) => {
    const jobs = known(runner, [[INSERT, 6000n, "a"], [INSERT, 6001n, "b"], [INSERT, 6002n, "c"]]);
    const untilMs = systemClock.nowMs() + 1_000;
    slow(800);
    expect(runner.runTogether(jobs, untilMs).map(({ id }) => id)).toEqual([0]);
    expect(rowsAbove(plain, 5000)).toBe(1);
  });
});

test("another connection that writes leaves them all to a worker", () => {
  withRunner(({ runner, plain }) => {
    const jobs = known(runner, [[INSERT, 6000n, "a"], [INSERT, 6001n, "b"]]);
    plain.exec("BEGIN IMMEDIATE");
    expect(runner.runTogether(jobs, Infinity)).toEqual([]);
    plain.exec("ROLLBACK");
    expect(runner.runTogether(jobs, Infinity)).toHaveLength(2);
  });
});
