/**
 * Whether a cluster stays as it is however long it runs, and how quickly nodes catch up: disk use,
 * memory and pauses under writes at full rate, a node that was away, and a node that joins.
 *
 *     bun tests/bench/upkeep.ts steady [--seconds N] | away [--mib N] | join [--mib N]
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { commandOf, onCluster, run, type Stage } from "../cluster/harness.ts";
import { residentMib } from "./processes.ts";

const MIB = 1024 * 1024;
const CLIENTS = 8;
/** Bytes of a row that is written under load, and how many of them there are at most. */
const ROW_BYTES = 1_000;
const ROWS = 20_000;
const READY_MS = 120_000;

/** Writers that go on until they are told to stop, and the longest time without an answer. */
class Load {
  acknowledged = 0;
  failed = 0;
  longestGapMs = 0;
  #lastMs = performance.now();
  #isOver = false;
  readonly #writers: Promise<void>[];

  constructor(node: NodeProcess) {
    this.#writers = Array.from({ length: CLIENTS }, () => this.#write(node));
  }

  /** Since the last call: answers, and the longest time without one. */
  take(): { acknowledged: number; failed: number; longestGapMs: number } {
    const { acknowledged, failed, longestGapMs } = this;
    this.acknowledged = this.failed = this.longestGapMs = 0;
    return { acknowledged, failed, longestGapMs: Math.round(longestGapMs) };
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#writers);
  }

  async #write(node: NodeProcess): Promise<void> {
    while (!this.#isOver) {
      const id = Math.floor(Math.random() * ROWS);
      try {
        await run(node, `INSERT OR REPLACE INTO load VALUES (${id}, randomblob(${ROW_BYTES}))`);
      } catch {
        this.failed++;
        await Bun.sleep(20);
        continue;
      }
      const nowMs = performance.now();
      this.acknowledged++;
      this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
    }
  }
}

function filesIn(folder: string): { path: string; bytes: number }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      try {
        return [{ path, bytes: statSync(path).size }];
      } catch {
        // Removed by a compaction meanwhile.
        return [];
      }
    });
}

/** MiB of a node's files, by what they are. */
function diskMib(node: NodeProcess) {
  const sizes = { database: 0, wal: 0, log: 0, files: 0 };
  for (const { path, bytes } of filesIn(node.folder)) {
    sizes.files++;
    if (path.endsWith(".segment")) sizes.log += bytes;
    else if (path.endsWith("-wal")) sizes.wal += bytes;
    else if (path.endsWith("main.db")) sizes.database += bytes;
  }
  const mib = (bytes: number) => Math.round(bytes / MIB);
  return { ...sizes, database: mib(sizes.database), wal: mib(sizes.wal), log: mib(sizes.log) };
}

async function prepare({ cluster }: Stage): Promise<NodeProcess> {
  const leader = await cluster.leader(READY_MS);
  await run(leader, "CREATE TABLE load (id INTEGER PRIMARY KEY, data)");
  await run(leader, "CREATE TABLE bulk (id INTEGER PRIMARY KEY, data)");
  return leader;
}

async function fill(leader: NodeProcess, mib: number): Promise<void> {
  for (let i = 0; i < mib; i++) {
    await run(leader, `INSERT INTO bulk(data) VALUES (randomblob(${MIB - 8_192}))`);
  }
}

/** Fields of the lines of a node's output that say `message`. */
function lines(node: NodeProcess, message: string): string[] {
  return node.output.split("\n").filter((line) => line.includes(message));
}

async function steady(stage: Stage, seconds: number): Promise<void> {
  const leader = await prepare(stage);
  const load = new Load(leader);
  const startMs = performance.now();
  while (performance.now() - startMs < seconds * 1_000) {
    await Bun.sleep(10_000);
    const { acknowledged, failed, longestGapMs } = load.take();
    const nodes = stage.nodes.map((node) => {
      const { database, wal, log, files } = diskMib(node);
      return `${database}+${wal}+${log} MiB in ${files} files, ${residentMib(node.pid) | 0} MiB`;
    });
    const atS = Math.round((performance.now() - startMs) / 1_000);
    console.log(
      `${atS} s: ${Math.round(acknowledged / 10)}/s, ${failed} failed, gap ${longestGapMs} ms; ${
        nodes.join("; ")
      }`,
    );
  }
  await load.stop();
  for (const node of stage.nodes) {
    const paused = lines(node, "checkpoint").flatMap((line) =>
      [...line.matchAll(/pausedMs[=":]+(\d+)/g)].map(([, ms]) => Number(ms))
    ).sort((a, b) => a - b);
    console.log(`${node.name}: ${paused.length} checkpoints, paused ms ${paused.slice(-12)}`);
  }
}

async function away(stage: Stage, mib: number): Promise<void> {
  const leader = await prepare(stage);
  await fill(leader, mib);
  const follower = stage.nodes.find((node) => node !== leader)!;
  for (const node of stage.nodes) await node.checkpoint();
  await follower.stop();
  // The same twentieth again and again, until the log does not reach back any more.
  const rows = Math.max(1, Math.round(mib / 20));
  for (let i = 0; i < 160; i++) {
    const id = 1 + i % rows;
    await run(leader, `UPDATE bulk SET data = randomblob(${MIB - 8_192}) WHERE id = ${id}`);
  }
  await leader.checkpoint();
  await Bun.sleep(3_000);
  const { commitIndex } = await leader.cluster();
  const startMs = performance.now();
  await follower.start();
  await follower.waitReady(READY_MS);
  while ((await follower.cluster()).appliedIndex < commitIndex) await Bun.sleep(5);
  console.log(`caught up ${Math.round(performance.now() - startMs)} ms after its start`);
  console.log(lines(follower, "took a snapshot").join("\n"));
}

async function joins(stage: Stage, mib: number): Promise<void> {
  const leader = await prepare(stage);
  await fill(leader, mib);
  await leader.checkpoint();
  await Bun.sleep(3_000);
  const load = new Load(leader);
  await Bun.sleep(5_000);
  console.log("before", JSON.stringify(load.take()));
  const fourth = await stage.addNode("fourth", { join: [leader.address] });
  const startMs = performance.now();
  await fourth.start();
  await fourth.waitReady(READY_MS);
  console.log(`joined and ready after ${Math.round(performance.now() - startMs)} ms`);
  console.log("meanwhile", JSON.stringify(load.take()));
  await Bun.sleep(5_000);
  console.log("after", JSON.stringify(load.take()));
  await load.stop();
  console.log(lines(fourth, "snapshot").join("\n"));
}

async function restart(stage: Stage, mib: number): Promise<void> {
  const leader = await prepare(stage);
  await fill(leader, mib);
  await leader.checkpoint();
  const node = stage.nodes.find((one) => one !== leader)!;
  await Bun.sleep(2_000);
  await node.kill();
  const startMs = performance.now();
  await node.start();
  await node.waitReady(READY_MS);
  console.log(`ready ${Math.round(performance.now() - startMs)} ms after a kill`, diskMib(node));
}

const { positionals: [what = "steady"], values } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string" }, mib: { type: "string" } },
});
const mib = Number(values.mib ?? 150);
// Checkpoints are told at this level only.
process.env["DQLITE_LOG_LEVEL"] = "debug";
console.log(`${what}: ${commandOf("executable").join(" ")}`);
await onCluster({ runner: "executable" }, async (stage) => {
  if (what === "steady") await steady(stage, Number(values.seconds ?? 120));
  else if (what === "away") await away(stage, mib);
  else if (what === "join") await joins(stage, mib);
  else await restart(stage, mib);
});
