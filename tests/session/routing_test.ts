import { expect, test } from "bun:test";
import { isOneShot, looksLikeWrite, mayRunOnFollower } from "../../lib/session/routing.ts";
import { isBlank, translate } from "../../lib/session/sql_text.ts";
import type { StreamRequest } from "../../lib/wire/hrana/types.ts";

const close: StreamRequest = { type: "close" };

function execute(sql: string | number): StreamRequest {
  return { type: "execute", stmt: { sql, args: [], namedArgs: [], wantRows: true } };
}

test("a pipeline that ends with close is done in one go", () => {
  expect(isOneShot([execute("SELECT 1"), close])).toBe(true);
  expect(isOneShot([execute("SELECT 1")])).toBe(false);
});

test("a follower takes reads that are done in one go", () => {
  expect(mayRunOnFollower([execute("SELECT 1"), close])).toBe(true);
  expect(mayRunOnFollower([execute("SELECT 1")])).toBe(false);
  expect(mayRunOnFollower([execute("INSERT INTO t VALUES (1)"), close])).toBe(false);
  expect(mayRunOnFollower([execute("SELECT 1"), execute("DELETE FROM t"), close])).toBe(false);
});

test("a follower takes a transaction that promises not to write", () => {
  expect(mayRunOnFollower([execute("BEGIN TRANSACTION READONLY")])).toBe(true);
  expect(mayRunOnFollower([execute("begin")])).toBe(false);
  expect(mayRunOnFollower([execute("BEGIN IMMEDIATE")])).toBe(false);
});

test("stored texts are looked at like any other", () => {
  const store: StreamRequest = { type: "store_sql", sqlId: 3, sql: "UPDATE t SET a = 1" };
  expect(looksLikeWrite([store, execute(3), close])).toBe(true);
  expect(mayRunOnFollower([store, execute(3), close])).toBe(false);
  expect(mayRunOnFollower([execute(4), close])).toBe(false);
});

test("transactions in the words of libSQL are put into those of SQLite", () => {
  expect(translate("BEGIN TRANSACTION READONLY")).toBe("BEGIN DEFERRED");
  expect(translate(" begin readonly ;")).toBe("BEGIN DEFERRED");
  expect(translate("BEGIN CONCURRENT")).toBe("BEGIN IMMEDIATE");
  expect(translate("BEGIN IMMEDIATE")).toBe("BEGIN IMMEDIATE");
});

test("a text without a statement is blank", () => {
  for (const sql of ["", " ; ;", "-- a comment", "/* one */ -- two\n ;", "/* never closed"]) {
    expect(isBlank(sql)).toBe(true);
  }
  for (const sql of ["SELECT 1", "-- a\nSELECT 1", "/* a */ x"]) expect(isBlank(sql)).toBe(false);
});
