import { expect, test } from "bun:test";
import { leadingKeyword, looksReadOnly } from "../../lib/database/leading_keyword.ts";

test("the leading keyword is found behind blanks and comments", () => {
  expect(leadingKeyword("select 1")).toBe("SELECT");
  expect(leadingKeyword(" \n;; -- select\n/* insert */ Update t SET a = 1")).toBe("UPDATE");
  expect(leadingKeyword("/**/BEGIN;")).toBe("BEGIN");
  for (const blank of ["", "  ", "--", "-- x", "/* open", ";"]) {
    expect(leadingKeyword(blank)).toBe("");
  }
  expect(leadingKeyword("(SELECT 1)")).toBe("");
});

test("reads look like reads", () => {
  const reads = [
    "SELECT 1",
    "values (1)",
    "EXPLAIN DELETE FROM t",
    "-- note\nWITH a AS (SELECT 1) SELECT * FROM a",
    "WITH a AS (SELECT 'insert into t' AS x) SELECT replace(x, 'a', 'b') FROM a",
    'WITH a AS (SELECT 1 AS "delete") SELECT [update], `replace` FROM a -- insert into t',
    "PRAGMA user_version",
    "PRAGMA main.user_version;",
    "pragma table_info('t')",
    "PRAGMA integrity_check(10)",
  ];
  for (const sql of reads) expect([sql, looksReadOnly(sql)]).toEqual([sql, true]);
});

test("writes and what changes a session do not look like reads", () => {
  const writes = [
    "",
    "INSERT INTO t VALUES (1)",
    "BEGIN",
    "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    "WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a",
    "WITH a AS (SELECT 1) /* , */ DELETE -- why\n FROM t",
    "PRAGMA user_version = 3",
    "PRAGMA foreign_keys(1)",
    "PRAGMA optimize",
    "PRAGMA main.wal_checkpoint",
    "PRAGMA",
    "VACUUM",
  ];
  for (const sql of writes) expect([sql, looksReadOnly(sql)]).toEqual([sql, false]);
});

test("a long text is judged quickly", () => {
  const begunMs = performance.now();
  looksReadOnly(`WITH a AS (SELECT 1) SELECT ${"/* x */ 'it''s' ".repeat(50_000)}`);
  looksReadOnly(`${"/* ".repeat(200_000)}`);
  looksReadOnly(`${"- ".repeat(200_000)}`);
  expect(performance.now() - begunMs).toBeLessThan(1_000);
});
