import { expect, test } from "bun:test";

import { SeededRandom } from "../../lib/base/random.ts";
import { ClientError } from "../../lib/client/error.ts";
import { backoffMs, mayRetry } from "../../lib/client/retry.ts";
import { isRead, mayCommit } from "../../lib/client/sql_kind.ts";

test("only what did not happen, or only read, is tried again", () => {
  const write = { idempotent: false };
  const read = { idempotent: true };
  const cases = [
    ["NOT_LEADER", true, true],
    ["NO_LEADER", true, true],
    ["SHUTTING_DOWN", true, true],
    ["BUSY", true, true],
    ["LEADERSHIP_LOST", false, true],
    ["CONNECTION_LOST", false, true],
    ["SQLITE_IOERR_LEADERSHIP_LOST", false, true],
    ["SQLITE_CONSTRAINT", false, false],
    ["SQL_PARSE_ERROR", false, false],
    ["TRANSACTION_BUSY", false, false],
    ["RESPONSE_TOO_LARGE", false, false],
  ] as const;
  for (const [code, writes, reads] of cases) {
    const error = new ClientError(code, code);
    expect([code, mayRetry(error, write), mayRetry(error, read)]).toEqual([code, writes, reads]);
  }
});

test("a refusal whose outcome is unknown for once is not tried again", () => {
  const error = new ClientError("NOT_LEADER", "in the middle", { outcome: "unknown" });
  expect(mayRetry(error, { idempotent: false })).toBe(false);
});

test("pauses double up to a bound, and differ between clients", () => {
  const random = new SeededRandom(1);
  for (const [attempt, full] of [[1, 20], [2, 40], [5, 320], [6, 500], [60, 500]] as const) {
    const pauses = Array.from({ length: 50 }, () => backoffMs(attempt, random));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(full);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(full / 2);
    expect(new Set(pauses).size).toBeGreaterThan(3);
  }
});

test("a read is told from a write by its words", () => {
  for (
    const sql of [
      "SELECT 1",
      " \n-- c\n/* d */ select 1",
      "VALUES (1)",
      "EXPLAIN DELETE FROM t",
      "WITH a AS (SELECT 1) SELECT * FROM a",
    ]
  ) expect([sql, isRead(sql)]).toEqual([sql, true]);
  for (
    const sql of [
      "",
      "INSERT INTO t VALUES (1)",
      "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
      "PRAGMA wal_checkpoint",
      "selecting",
      "/* SELECT */ DELETE FROM t",
    ]
  ) expect([sql, isRead(sql)]).toEqual([sql, false]);
});

test("what may commit is told from what cannot", () => {
  for (const sql of ["COMMIT", "end;", "RELEASE a", "INSERT INTO t VALUES (1); COMMIT"]) {
    expect(mayCommit(sql)).toBe(true);
  }
  expect(mayCommit("INSERT INTO t VALUES (1)")).toBe(false);
});
