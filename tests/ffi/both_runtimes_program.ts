/** Uses the whole library once and prints what it saw; run in each runtime and compared. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { Connection } from "../../lib/database/connection.ts";
import { createDatabaseImage } from "../../lib/database/create.ts";
import { digestOf } from "../../lib/database/digest.ts";
import { ReplicaHandle } from "../../lib/database/replica_handle.ts";
import type { Value } from "../../lib/database/values.ts";
import { sha256 } from "../../lib/io/hash.ts";

const library = await openLibrary();
const folder = mkdtempSync(join(tmpdir(), "dqlite-both-"));
const lines: string[] = [];

function show(what: string, value: unknown): void {
  const text = JSON.stringify(value, (_, part) => {
    if (typeof part === "bigint") return `${part}n`;
    return part instanceof Uint8Array ? `bytes ${[...part]}` : part;
  });
  lines.push(`${what}: ${text}`);
}

function showError(what: string, action: () => unknown): void {
  try {
    show(what, action());
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    const { code, sqliteName, sqliteCode, sqlOffset, message } = error;
    show(what, { code, sqliteName, sqliteCode, sqlOffset, message });
  }
}

function useStatements(session: Connection): void {
  session.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b, c)");
  const values: Value[] = [
    2n ** 63n - 1n,
    -(2n ** 63n),
    2n ** 53n + 1n,
    1,
    NaN,
    -1e300,
    "",
    "a\0é🚀\uFEFF",
    "\uD800",
    new Uint8Array(),
    new Uint8Array([0, 255]),
    null,
  ];
  const insert = "INSERT INTO t (b, c) VALUES (:b, typeof(:b)) RETURNING *";
  for (const value of values) {
    const { rows, changes, lastInsertRowid, seq, columns } = session.prepare(insert).statement!
      .run(new Map([["b", value]]));
    show("insert", { rows: rows.decode(), changes, lastInsertRowid, seq, columns });
  }
  const { rows } = session.prepare("SELECT * FROM t").statement!.run();
  show("decoded", rows.decode({ integers: "number" }));
  show("json", session.prepare("SELECT * FROM t").statement!.runToJson().rowsJson);
  const series = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 20000) " +
    "SELECT n, 'row ' || n FROM s UNION ALL SELECT 0, zeroblob(400000)";
  const many = session.prepare(series).statement!.run().rows;
  show("many", [many.count, many.sizeBytes, many.decode()[19_999]]);
  showError("parse", () => session.prepare("SELECT 'é', FROM t"));
  showError("unique", () => session.exec("INSERT INTO t (a) VALUES (1)"));
  showError("blocked", () => session.exec("ATTACH 'x' AS y"));
  showError("arguments", () => session.prepare("SELECT ?").statement!.run());
  show("autocommit", session.isAutocommit);
}

function replicate(): void {
  for (const name of ["leader", "follower"]) {
    writeFileSync(join(folder, name), createDatabaseImage(library));
  }
  using leader = ReplicaHandle.open(library, join(folder, "leader"));
  using follower = ReplicaHandle.open(library, join(folder, "follower"));
  using session = Connection.open(library, leader.path, { role: "session" });
  showError("no leader", () => session.exec("CREATE TABLE x (a)"));
  show("base", leader.leader());
  useStatements(session);
  const buffer = new Uint8Array(1024 * 1024);
  const drained = leader.drain(buffer)!;
  show("drained", drained);
  follower.apply(buffer.subarray(0, drained.bytes));
  leader.release(drained.seq);
  show("checkpoint", session.checkpoint());
  show("status", leader.status());
  using reader = Connection.open(library, follower.path, { role: "readonly" });
  show("same", digestOf(reader, sha256()).sha256 === digestOf(session, sha256()).sha256);
  leader.interruptSessions();
}

try {
  replicate();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(lines.join("\n"));
