import { expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { NodeProcess } from "../../lib/demo/nodes.ts";
import { integer } from "../../lib/demo/sql.ts";
import { freePorts, startProcess, temporaryFolder } from "../../lib/io/process.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import { FAULT_ACTIONS, MAY_INJECT } from "./fault_actions.ts";
import { commandOf, DEFAULT_RUNNER, number, run, START_TIMEOUT_MS } from "./harness.ts";
import { killAnywhere } from "./kill_anywhere.ts";

const TEST_TIMEOUT_MS = 240_000;
/** One of each kind; the command of `kill_anywhere.ts` has them all. */
const NAMES = ["log write", "wal write", "database sync", "checkpoint record", "read-only"];
const HOLDER = 'mount -t tmpfs -o size=200m none "$0" && echo mounted && exec sleep 600';

test.skipIf(!MAY_INJECT)(
  "a node whose disk fails says what and where, loses nothing, and comes back",
  async () => {
    const actions = FAULT_ACTIONS.filter(({ name }) => NAMES.includes(name));
    expect(actions).toHaveLength(NAMES.length);
    const { kills } = await killAnywhere({ rounds: NAMES.length, seed: 5, actions });
    expect(Object.keys(kills).sort()).toEqual([...NAMES].sort());
  },
  TEST_TIMEOUT_MS,
);

/** A small disk that can be made read-only, in a namespace of its own. */
async function onOwnDisk(
  body: (disk: {
    readonly folder: string;
    /** The command that brings another one to the disk. */
    readonly within: readonly string[];
    mount(options: string): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const { path: folder, remove } = temporaryFolder("dqlite-own-disk-");
  mkdirSync(`${folder}/disk`);
  const unshare = ["unshare", "-Urm", "sh", "-c", HOLDER, `${folder}/disk`];
  const holder = await startProcess(unshare);
  try {
    await waitUntil("the disk is mounted", START_TIMEOUT_MS, () => {
      return holder.outputTail().includes("mounted");
    });
    const target = String(holder.pid);
    const within = ["nsenter", "--preserve-credentials", "-U", "-m", "-t", target];
    const mount = async (options: string) => {
      const command = [...within, "mount", "-o", options, `${folder}/disk`];
      const { code } = await (await startProcess(command)).exited;
      if (code !== 0) throw new Error(`mount -o ${options} failed with ${code}`);
    };
    await body({ folder: `${folder}/disk`, within, mount });
  } finally {
    holder.signal("SIGKILL");
    await holder.exited;
    remove();
  }
}

function mayMount(): boolean {
  if (!existsSync("/usr/bin/unshare") || !existsSync("/usr/bin/nsenter")) return false;
  return Bun.spawnSync(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).exitCode === 0;
}

test.skipIf(!mayMount())("a disk that became read-only refuses the start, and heals", async () => {
  await onOwnDisk(async ({ folder, within, mount }) => {
    const [listenPort, httpPort] = await freePorts(2);
    const node = new NodeProcess({
      name: "n1",
      command: commandOf(DEFAULT_RUNNER),
      folder: `${folder}/node`,
      listenPort: listenPort!,
      httpPort: httpPort!,
      join: [],
    });
    try {
      await node.start(within);
      await node.waitReady(START_TIMEOUT_MS);
      await run(node, "CREATE TABLE t(x)");
      for (let i = 1; i <= 5; i++) await run(node, "INSERT INTO t VALUES(?)", [integer(i)]);
      await node.kill();

      await mount("remount,ro");
      await node.start(within);
      expect(await node.exited).toMatchObject({ code: 1 });
      expect(node.output).toContain(`${folder}/node cannot be written: EROFS`);

      await mount("remount,rw");
      await node.start(within);
      await node.waitReady(START_TIMEOUT_MS);
      expect(await number(node, "SELECT sum(x) FROM t")).toBe(15);
    } finally {
      await node.kill();
    }
  });
}, TEST_TIMEOUT_MS);
