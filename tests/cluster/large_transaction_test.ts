import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { NodeProcess } from "../../lib/demo/nodes.ts";
import { query } from "../../lib/demo/sql.ts";
import { freePorts, temporaryFolder } from "../../lib/io/process.ts";
import { commandOf, DEFAULT_RUNNER, number, run, START_TIMEOUT_MS } from "./harness.ts";
import { largeTransactions } from "./large_transaction.ts";

const MIB = 1024 * 1024;
const TEST_TIMEOUT_MS = 240_000;
/** A tenth of what is inserted would be far more, were it held in memory at once. */
const RESIDENT_MIB_MAX = 400;
const DISK_BYTES = 192 * MIB;
const ON_SMALL_DISK = `mount -t tmpfs -o size=${DISK_BYTES} none "$0" && exec "$@"`;
const GROWING = "WITH RECURSIVE r(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM r WHERE i < 3000) " +
  "INSERT INTO t SELECT randomblob(100000) FROM r";

test("a large transaction is there whole or not at all, and memory is bounded", async () => {
  const summary = await largeTransactions({ insertBytes: 64 * MIB, rows: 100_000 });
  expect(summary.acknowledged).toBeGreaterThan(0);
  expect(summary.residentMib ?? 0).toBeLessThan(RESIDENT_MIB_MAX);
}, TEST_TIMEOUT_MS);

function mayMount(): boolean {
  if (!existsSync("/usr/bin/unshare")) return false;
  return Bun.spawnSync(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).exitCode === 0;
}

test.skipIf(!mayMount())(
  "a transaction that the disk cannot take twice is undone, and others go on",
  async () => {
    const { path: folder, remove } = temporaryFolder("dqlite-large-");
    const [listenPort, httpPort] = await freePorts(2);
    const node = new NodeProcess({
      name: "n1",
      command: ["unshare", "-Urm", "sh", "-c", ON_SMALL_DISK, folder, ...commandOf(DEFAULT_RUNNER)],
      folder: `${folder}/node`,
      listenPort: listenPort!,
      httpPort: httpPort!,
      join: [],
    });
    try {
      await node.start();
      await node.waitReady(START_TIMEOUT_MS);
      await run(node, "CREATE TABLE t(x)");
      expect(await query(node.url, GROWING)).toMatchObject({
        type: "error",
        outcome: "rejected",
        message: expect.stringContaining("DISK_FULL"),
      });
      await run(node, "INSERT INTO t VALUES(1)");
      expect(await number(node, "SELECT count(*) FROM t")).toBe(1);
      expect((await node.cluster()).role).toBe("leader");
    } finally {
      await node.kill();
      remove();
    }
  },
  TEST_TIMEOUT_MS,
);
