import { expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { ReplicaHandle } from "../../lib/database/replica_handle.ts";
import { errorOf, Folder, library } from "./fixture.ts";

const buffer = new Uint8Array(1024 * 1024);

/** Moves everything that was captured from one file to another. */
function replicate(from: ReplicaHandle, to: ReplicaHandle): number {
  for (;;) {
    const drained = from.drain(buffer);
    if (drained === undefined) return from.status().drainedSeq;
    to.apply(buffer.slice(0, drained.bytes));
  }
}

test("a follower that applies what the leader captured holds the same bytes", () => {
  using folder = new Folder();
  using leader = ReplicaHandle.open(library, folder.image("leader.db"));
  using follower = ReplicaHandle.open(library, folder.image("follower.db"));
  expect(leader.status().mode).toBe("follower");
  const base = leader.leader();
  expect(leader.status().mode).toBe("leader");
  const session = folder.connect({ role: "session" }, "leader.db");
  session.exec("CREATE TABLE t (a, b); CREATE INDEX i ON t (b)");
  for (let i = 0; i < 100; i++) {
    session.prepare("INSERT INTO t VALUES (?, ?)").statement!.run([BigInt(i), "x".repeat(i * 50)]);
  }
  session.exec("BEGIN; DELETE FROM t WHERE a % 3 = 0; ROLLBACK; DELETE FROM t WHERE a > 90");
  expect(leader.seq()).toBe(base + 103);
  const seq = replicate(leader, follower);
  expect(seq).toBe(base + 103);
  const reader = folder.connect({ role: "session" }, "follower.db");
  expect(reader.prepare("SELECT count(*) FROM t").statement!.run().rows.decode()).toEqual([[91n]]);
  leader.release(seq);
  expect(session.checkpoint().complete).toBe(true);
  expect(reader.checkpoint().complete).toBe(true);
  const bytes = readFileSync(folder.file("leader.db"));
  expect(bytes.length).toBe(leader.status().databasePages * 4_096);
  expect(readFileSync(folder.file("follower.db")).equals(bytes)).toBe(true);
});

test("a large transaction comes in parts, and only the last makes it visible", () => {
  using folder = new Folder();
  using leader = ReplicaHandle.open(library, folder.image("leader.db"));
  using follower = ReplicaHandle.open(library, folder.image("follower.db"));
  leader.leader();
  folder.connect({ role: "session" }, "leader.db").exec(
    "BEGIN; CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(100000)); COMMIT",
  );
  const small = buffer.subarray(0, 5 * 4_200);
  const reader = folder.connect({ role: "readonly" }, "follower.db");
  const tables = () => reader.prepare("SELECT name FROM sqlite_schema").statement!.run().rows.count;
  let parts = 0;
  for (let drained = leader.drain(small)!;; drained = leader.drain(small)!) {
    parts++;
    expect(tables()).toBe(0);
    follower.apply(small.slice(0, drained.bytes));
    expect(drained.framesLeft === 0).toBe(drained.complete);
    if (drained.complete) break;
  }
  expect(parts).toBeGreaterThan(3);
  expect(leader.drain(small)).toBeUndefined();
  expect(tables()).toBe(1);
});

test("an unfinished batch can be given up", () => {
  using folder = new Folder();
  using leader = ReplicaHandle.open(library, folder.image("leader.db"));
  using follower = ReplicaHandle.open(library, folder.image("follower.db"));
  leader.leader();
  folder.connect({ role: "session" }, "leader.db").exec("CREATE TABLE t (a)");
  const small = buffer.subarray(0, 4_200);
  const parts = [];
  for (let part = leader.drain(small); part !== undefined; part = leader.drain(small)) {
    parts.push(small.slice(0, part.bytes));
  }
  expect(parts).toHaveLength(2);
  follower.apply(parts[0]!);
  follower.abort();
  follower.abort();
  for (const part of parts) follower.apply(part);
  expect(follower.status().appliedBatches).toBe(1);
});

test("a rewind takes back what was not released, once nobody reads it", () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  handle.leader();
  const session = folder.connect({ role: "session" });
  session.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  const kept = handle.drain(buffer)!.seq;
  handle.release(kept);
  session.exec("INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)");
  handle.drain(buffer);
  handle.follower();
  session.exec("BEGIN; SELECT * FROM t");
  expect(handle.rewind(kept)).toBe(false);
  session.exec("COMMIT");
  expect(handle.rewind(kept)).toBe(true);
  session.close();
  const reader = folder.connect({ role: "readonly" });
  expect(reader.prepare("SELECT a FROM t").statement!.run().rows.decode()).toEqual([[1n]]);
  expect(handle.status().rewinds).toBe(1);
});

test("a run tells the sequence number of its own commit and of what it read", () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  handle.leader();
  const session = folder.connect({ role: "session" });
  const seq = (sql: string) => session.prepare(sql).statement!.run().seq;
  expect(seq("CREATE TABLE t (a)")).toBe(1);
  expect(seq("INSERT INTO t VALUES (1) RETURNING a")).toBe(2);
  expect(seq("SELECT * FROM t")).toBe(2);
  const large = "INSERT INTO t WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 500) " +
    "SELECT zeroblob(1000) FROM s RETURNING a";
  expect(seq(large)).toBe(3);
  seq("BEGIN");
  expect(seq("INSERT INTO t VALUES (2)")).toBe(3);
  expect(seq("COMMIT")).toBe(4);
});

test("sessions refuse what would break replication, and say so", () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  handle.leader();
  const session = folder.connect({ role: "session" });
  const blocked = [
    `ATTACH '${folder.file("other.db")}' AS other`,
    `VACUUM INTO '${folder.file("copy.db")}'`,
    "PRAGMA journal_mode = DELETE",
    "PRAGMA page_size = 512",
    "PRAGMA wal_checkpoint",
    "SELECT load_extension('x')",
  ];
  for (const sql of blocked) {
    const error = errorOf(() => session.exec(sql));
    expect([sql, error.code]).toEqual([sql, "BLOCKED"]);
    expect(error.message).toStartWith("The statement is not allowed here: ");
  }
  session.exec("VACUUM");
});

test("a session is tainted by what outlasts a statement", () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  handle.leader();
  const tainted = (sql: string) => {
    using session = folder.connect({ role: "session" });
    session.exec(sql);
    return session.isTainted();
  };
  expect(tainted("CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)")).toBe(false);
  expect(tainted("PRAGMA user_version")).toBe(false);
  expect(tainted("PRAGMA foreign_keys = ON")).toBe(true);
  expect(tainted("CREATE TEMP TABLE x (a)")).toBe(true);
});

test("a file has one handle, which ends with its closing", () => {
  using folder = new Folder();
  const path = folder.image();
  const handle = ReplicaHandle.open(library, path);
  expect(errorOf(() => ReplicaHandle.open(library, path)).sqliteName).toBe("SQLITE_MISUSE");
  handle.close();
  handle.close();
  expect(errorOf(() => handle.leader()).code).toBe("CLOSED");
  using again = ReplicaHandle.open(library, path);
  expect(again.seq()).toBe(0);
  const missing = errorOf(() => ReplicaHandle.open(library, folder.file("missing.db")));
  expect(missing.sqliteName).toBe("SQLITE_CANTOPEN");
});

test("bytes that are no part of a batch are refused", () => {
  using folder = new Folder();
  using handle = ReplicaHandle.open(library, folder.image());
  for (const length of [1, 16, 100]) {
    expect(errorOf(() => handle.apply(new Uint8Array(length).fill(7))).code).toBe("SQLITE");
  }
  expect(handle.status().appliedBatches).toBe(0);
});

const MIB = 1024 * 1024;
const SPILLING =
  "WITH RECURSIVE r(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM r WHERE i < 4000) " +
  "INSERT INTO t SELECT randomblob(4000) FROM r";

test("a transaction above the limit is undone while it grows, and the next one goes on", () => {
  using folder = new Folder();
  using leader = ReplicaHandle.open(library, folder.image("leader.db"));
  using follower = ReplicaHandle.open(library, folder.image("follower.db"));
  leader.leader();
  const session = folder.connect({ role: "session" }, "leader.db");
  session.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  leader.limitTransactions(8 * MIB, 0);
  const error = errorOf(() => session.exec(SPILLING));
  expect(error).toMatchObject({ code: "TOO_LARGE", outcome: "rejected" });
  expect(error.hint).toContain("--transaction-max");
  // It ended long before all of its 16 MB were written.
  expect(statSync(`${folder.file("leader.db")}-wal`).size).toBeLessThan(9 * MIB);
  session.exec("INSERT INTO t VALUES (2)");
  expect(session.prepare("SELECT count(*) FROM t").statement!.run().rows.decode()).toEqual([[2n]]);
  replicate(leader, follower);
  const reader = folder.connect({ role: "readonly" }, "follower.db");
  expect(reader.prepare("SELECT sum(a) FROM t").statement!.run().rows.decode()).toEqual([[3n]]);
});

test("an open transaction above the limit is over, whatever its statements were", () => {
  using folder = new Folder();
  using leader = ReplicaHandle.open(library, folder.image("leader.db"));
  leader.leader();
  const session = folder.connect({ role: "session" }, "leader.db");
  session.exec("CREATE TABLE t (a)");
  leader.limitTransactions(0, 8 * MIB);
  session.exec("BEGIN; INSERT INTO t VALUES (1)");
  expect(errorOf(() => session.exec(SPILLING))).toMatchObject({
    code: "DISK_FULL",
    outcome: "rejected",
  });
  expect(errorOf(() => session.exec("COMMIT")).code).toBe("SQLITE");
  expect(session.prepare("SELECT count(*) FROM t").statement!.run().rows.decode()).toEqual([[0n]]);
});

test("a transaction that fits is not touched by the limit, and neither is what is applied", () => {
  using folder = new Folder();
  using leader = ReplicaHandle.open(library, folder.image("leader.db"));
  using follower = ReplicaHandle.open(library, folder.image("follower.db"));
  leader.leader();
  leader.limitTransactions(32 * MIB, 32 * MIB);
  follower.limitTransactions(MIB, MIB);
  const session = folder.connect({ role: "session" }, "leader.db");
  session.exec("CREATE TABLE t (a)");
  session.exec(SPILLING);
  leader.limitTransactions(0, 0);
  session.exec(SPILLING);
  replicate(leader, follower);
  const reader = folder.connect({ role: "readonly" }, "follower.db");
  expect(reader.prepare("SELECT count(*) FROM t").statement!.run().rows.decode())
    .toEqual([[8000n]]);
});
