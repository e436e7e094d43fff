import { expect, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { NodeProcess } from "../../lib/demo/nodes.ts";
import { query } from "../../lib/demo/sql.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import { freePorts, temporaryFolder } from "../../lib/io/process.ts";
import { commandOf, DEFAULT_RUNNER, number, run, START_TIMEOUT_MS } from "./harness.ts";

const MIB = 1024 * 1024;
const DISK_BYTES = 160 * MIB;
/** Two segments, and the first writes; what is left is less than a third segment may take. */
const BALLAST_BYTES = 68 * MIB;
const INSERT = "INSERT INTO t VALUES(randomblob(1000000))";
const INSERTS_MAX = 60;
const FULL = { type: "error", outcome: "rejected", message: expect.stringContaining("DISK_FULL") };
const TEST_TIMEOUT_MS = 60_000;

/** Mounts a small disk in a namespace of its own, then becomes the program that follows. */
const ON_SMALL_DISK = `mount -t tmpfs -o size=${DISK_BYTES} none "$0" && exec "$@"`;

/** Not every system lets its users do this. */
function mayMount(): boolean {
  const tried = Bun.spawnSync(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]);
  return tried.exitCode === 0;
}

const onLinux = existsSync("/usr/bin/unshare") && mayMount();

test.skipIf(!onLinux)("a full disk refuses writes, not reads, and heals", async () => {
  const { path: folder, remove } = temporaryFolder("dqlite-disk-full-");
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
    await waitUntil("the node leads", START_TIMEOUT_MS, async () => {
      return (await query(node.url, "SELECT 1")).type === "ok";
    });
    await run(node, "CREATE TABLE t(x)");
    const ballast = `/proc/${node.pid}/root${folder}/ballast`;
    writeFileSync(ballast, new Uint8Array(BALLAST_BYTES));

    let acknowledged = 0;
    let refusal = await query(node.url, INSERT);
    for (; refusal.type === "ok"; refusal = await query(node.url, INSERT)) {
      expect(++acknowledged).toBeLessThan(INSERTS_MAX);
    }
    expect(refusal).toMatchObject(FULL);
    expect(await number(node, "SELECT count(*) FROM t")).toBe(acknowledged);
    expect(await query(node.url, INSERT)).toMatchObject(FULL);
    expect((await node.cluster()).role).toBe("leader");
    expect(node.output).toContain("the disk is full");

    rmSync(ballast);
    await waitUntil("there is space again", START_TIMEOUT_MS, async () => {
      return (await query(node.url, INSERT)).type === "ok";
    });
    expect(await number(node, "SELECT count(*) FROM t")).toBe(acknowledged + 1);
  } catch (error) {
    console.error(node.output);
    throw error;
  } finally {
    await node.kill();
    remove();
  }
}, TEST_TIMEOUT_MS);
