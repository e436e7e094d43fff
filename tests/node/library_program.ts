/** A program that uses the library, run by each runtime: prints `ok` when all went well. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, Node } from "../../mod.ts";

const dir = mkdtempSync(join(tmpdir(), "dqlite-library-"));
try {
  await using node = await Node.start({ dir, listen: "127.0.0.1:0", http: "127.0.0.1:0" });
  const local = node.client();
  await local.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a REAL, b BLOB)");
  const remote = connect({ urls: node.httpUrl });
  const transaction = await remote.transaction("write");
  await transaction.execute({ sql: "INSERT INTO t (a, b) VALUES (?, ?)", args: [1.5, null] });
  await transaction.commit();
  await remote.batch(["INSERT INTO t (a) VALUES (2.5)", "INSERT INTO t (a) VALUES (3.5)"], "write");
  const { rows } = await local.execute("SELECT count(*) AS n, sum(a) AS total FROM t");
  remote.close();
  local.close();
  const { n, total } = rows[0]!;
  console.log(n === 3 && total === 7.5 ? "ok" : `unexpected: ${n} rows, total ${total}`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
