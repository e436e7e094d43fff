import { afterEach, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS } from "./harness.ts";
import { Lines } from "./lines.ts";

afterEach(cleanUp);

interface Reply {
  readonly baton: string | null;
  readonly code?: string;
  readonly message?: string;
  readonly results?: readonly { readonly type: string; readonly error?: { code: string } }[];
}

async function pipeline(node: Node, sqls: readonly string[], more: object = {}): Promise<Reply> {
  const requests = sqls.map((sql) => ({ type: "execute", stmt: { sql } }));
  const response = await fetch(`${node.httpUrl}/v2/pipeline`, {
    method: "POST",
    body: JSON.stringify({ requests, ...more }),
  });
  return await response.json() as Reply;
}

async function startWithLimits(dir: string, lines: Lines): Promise<Node> {
  const storage = { checkpointFrames: 50, readerWarnMs: 100, readerEndMs: 1_500 };
  const node = await start({ dir, storage, log: lines });
  await node.client().execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data)");
  return node;
}

/** Writes one page after another until it is told to stop. */
async function writeUntil(node: Node, isOver: () => boolean): Promise<void> {
  for (let id = 0; !isOver(); id++) {
    await node.client().execute(`INSERT OR REPLACE INTO t VALUES (${id % 50}, randomblob(3000))`);
  }
}

test(
  "a transaction that keeps the WAL is told of, then ended, and the WAL is bounded",
  async () => {
    const dir = newFolder();
    const lines = new Lines();
    const node = await startWithLimits(dir, lines);
    const { baton } = await pipeline(node, ["BEGIN READONLY", "SELECT count(*) FROM t"]);
    expect(baton).toBeString();
    await writeUntil(node, () => lines.with("ended a reader that kept the WAL").length > 0);
    const [told] = lines.with("a reader keeps the WAL");
    expect(told).toMatchObject({ reader: expect.stringContaining("stream") });
    expect(await pipeline(node, ["SELECT 1"], { baton })).toMatchObject({
      code: "TRANSACTION_TIMEOUT",
      message: expect.stringContaining("looked at one state"),
    });
    // Now it begins anew, again and again.
    const wal = join(dir, "main.db-wal");
    const checkpoints = () => lines.with("checkpoint").length;
    const before = checkpoints();
    await writeUntil(node, () => checkpoints() > before + 1);
    const { size } = statSync(wal);
    const after = checkpoints();
    await writeUntil(node, () => checkpoints() > after + 1);
    expect(statSync(wal).size).toBeLessThan(size * 2);
    expect((await node.client().execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(50);
  },
  TIMEOUT_MS,
);

test("a statement that reads for too long is ended, others go on", async () => {
  const lines = new Lines();
  const node = await startWithLimits(newFolder(), lines);
  let isOver = false;
  const endless = pipeline(node, [
    "WITH RECURSIVE n(i) AS (SELECT count(*) FROM t UNION ALL SELECT i + 1 FROM n) " +
    "SELECT sum(i) FROM n, t",
  ]).finally(() => isOver = true);
  await writeUntil(node, () => isOver);
  expect(await endless).toMatchObject({ code: "TRANSACTION_TIMEOUT" });
  expect(lines.with("ended a reader that kept the WAL")[0]!["sql"]).toContain("WITH RECURSIVE");
  expect(await pipeline(node, ["SELECT count(*) FROM t"])).toMatchObject({
    results: [{ type: "ok" }],
  });
}, TIMEOUT_MS);
