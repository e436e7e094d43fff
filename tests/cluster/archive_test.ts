import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { temporaryFolder } from "../../lib/io/process.ts";
import { S3Server } from "../archive/s3_server.ts";
import { runCommandIn } from "./command.ts";
import { DEFAULT_RUNNER, onCluster, run, type Runner, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const CLIENTS = 4;
const MOMENTS = 3;
const WRITES_BETWEEN = 150;
const TEST_TIMEOUT_MS = 120_000;

/** What the writers knew at a moment in which none of their writes was under way. */
interface Moment {
  readonly time: string;
  readonly acknowledged: readonly number[];
  readonly unknown: readonly number[];
}

async function momentOf(writers: Writers): Promise<Moment> {
  return await writers.whileNobodyWrites(async () => {
    // So that no write before or after it is of the same millisecond.
    await pause(5);
    const time = new Date().toISOString();
    await pause(5);
    return { time, acknowledged: [...writers.acknowledged], unknown: [...writers.unknown] };
  });
}

async function archivedIndex(node: NodeProcess): Promise<number> {
  const view = await node.cluster() as unknown as { archive: { index: number } };
  return view.archive.index;
}

function numbersIn(path: string): number[] {
  const database = new Database(path, { readonly: true });
  try {
    expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    return database.query("SELECT n FROM written ORDER BY n").values().flat() as number[];
  } finally {
    database.close();
  }
}

/** Writes while leaders are killed, and restores what was known in between. */
async function checkMoments(
  runner: Runner,
  archive: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  await onCluster({ runner, env: { ...env, DQLITE_ARCHIVE: archive } }, async (stage) => {
    const { cluster, nodes, folder } = stage;
    await run(await cluster.leader(START_TIMEOUT_MS), WRITTEN_TABLE);
    const writers = new Writers(nodes, CLIENTS, 1);
    const moments: Moment[] = [];
    writers.start();
    try {
      for (let round = 1; round <= MOMENTS; round++) {
        const target = writers.acknowledged.length + WRITES_BETWEEN;
        await waitUntil("the clients write", START_TIMEOUT_MS, () => {
          return writers.acknowledged.length >= target;
        });
        moments.push(await momentOf(writers));
        const leader = await cluster.leader(START_TIMEOUT_MS);
        await leader.kill();
        await leader.start();
        await cluster.waitReady(START_TIMEOUT_MS);
      }
      moments.push(await momentOf(writers));
      const target = writers.acknowledged.length + 10;
      await waitUntil("the clients write", START_TIMEOUT_MS, () => {
        return writers.acknowledged.length >= target;
      });
    } finally {
      await writers.stop();
    }
    const leader = await cluster.leader(START_TIMEOUT_MS);
    const { commitIndex } = await leader.cluster();
    await waitUntil("all is archived", START_TIMEOUT_MS, async () => {
      return await archivedIndex(leader) >= commitIndex;
    });
    for (const [at, { time, acknowledged, unknown }] of moments.entries()) {
      const path = join(folder, `moment-${at}.db`);
      const args = ["restore", "--archive", archive, "--at", time, "--to", path];
      expect(await runCommandIn(env, runner, ...args)).toMatchObject({ status: 0, errors: "" });
      const rows = new Set(numbersIn(path));
      expect(acknowledged.filter((n) => !rows.has(n))).toEqual([]);
      for (const n of acknowledged) rows.delete(n);
      expect([...rows].filter((n) => !unknown.includes(n))).toEqual([]);
    }
  });
}

for (const runner of [DEFAULT_RUNNER, "deno"] as const) {
  test(
    `${runner}: moments between kills of the leader hold what was acknowledged then`,
    async () => {
      const { path, remove } = temporaryFolder("dqlite-archive-");
      try {
        await checkMoments(runner, path, {});
      } finally {
        remove();
      }
    },
    TEST_TIMEOUT_MS,
  );
}

test("moments between kills of the leader come out of a bucket", async () => {
  const server = await S3Server.start();
  try {
    await checkMoments(DEFAULT_RUNNER, "s3://archive/of/a/cluster", server.env);
  } finally {
    await server.stop();
  }
}, TEST_TIMEOUT_MS);
