/**
 * Three nodes take one very large transaction: an insert, then a CREATE INDEX. Others go on
 * writing as far as SQLite's single writer lets them, nobody calls an election, the memory of every
 * node stays bounded, and when the leader is killed in the middle nothing of it is anywhere. `bun
 * tests/cluster/large_transaction.ts --rows 5000000 --insert-mib 1024` does so in earnest.
 */
import { parseArgs } from "node:util";
import { readFileSync } from "node:fs";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { messageOf } from "../../lib/base/errors.ts";
import { number, onCluster, run, type Stage } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const MIB = 1024 * 1024;
const POLL_MS = 50;
const BLOB_BYTES = 100_000;
/** Rows of one insert that fills the table. */
const FILL_ROWS = 250_000;
const FINISH_TIMEOUT_MS = 1_800_000;

const CREATE = "CREATE INDEX rows_by_key ON rows(k, v)";
const DROP = "DROP INDEX rows_by_key";
const INDEXES = "SELECT count(*) FROM sqlite_schema WHERE name = 'rows_by_key'";

/** How large. */
export interface LargeOptions {
  /** Of the one insert. */
  readonly insertBytes: number;
  /** Of the table that gets an index. */
  readonly rows: number;
  readonly tell?: (line: string) => void;
}

/** What it took. */
export interface LargeSummary {
  readonly insertMs: number;
  readonly indexMs: number;
  /** The most that any node held resident, in MiB; undefined where the system does not tell. */
  readonly residentMib: number | undefined;
  /** Elections called while nobody was killed. */
  readonly elections: number;
  /** Writes of others that were acknowledged meanwhile. */
  readonly acknowledged: number;
}

/** Runs it all. @throws {Error} when a promise is broken. */
export async function largeTransactions(options: LargeOptions): Promise<LargeSummary> {
  const { insertBytes, rows, tell = () => {} } = options;
  let summary: LargeSummary | undefined;
  await onCluster({}, async (stage) => {
    const { nodes } = stage;
    await run(nodes[0]!, WRITTEN_TABLE);
    await run(nodes[0]!, "CREATE TABLE blobs(x BLOB)");
    await run(nodes[0]!, "CREATE TABLE rows(id INTEGER PRIMARY KEY, k INTEGER, v TEXT)");
    const writers = new Writers(nodes, 2, POLL_MS);
    writers.start();
    try {
      const { term } = await nodes[0]!.cluster();
      const count = Math.ceil(insertBytes / BLOB_BYTES);
      const insertMs = await send(
        nodes,
        numbers(count, `INSERT INTO blobs SELECT randomblob(${BLOB_BYTES}) FROM r`),
        holds("SELECT count(*) FROM blobs", count),
      );
      tell(`insert of ${Math.round(insertBytes / MIB)} MiB: ${insertMs} ms; ${residents(nodes)}`);
      await settle(stage);
      await expectAll(nodes, "SELECT count(*) FROM blobs", count);
      for (let first = 0; first < rows; first += FILL_ROWS) {
        const some = Math.min(FILL_ROWS, rows - first);
        await send(
          nodes,
          numbers(
            some,
            "INSERT INTO rows(k, v) SELECT abs(random()), hex(" +
              "randomblob(8)) FROM r",
          ),
          holds("SELECT count(*) FROM rows", first + some),
        );
      }
      tell(`${rows} rows are there; ${residents(nodes)}`);
      const indexMs = await send(nodes, CREATE, holds(INDEXES, 1));
      tell(`index over ${rows} rows: ${indexMs} ms; ${residents(nodes)}`);
      await settle(stage);
      const elections = (await nodes[0]!.cluster()).term - term;
      await send(nodes, DROP, isDropped);
      await killedInTheMiddle(stage, indexMs, tell);
      await writers.stop();
      await verdict(nodes, writers, rows);
      const mib = residentMib(nodes);
      const acknowledged = writers.acknowledged.length;
      summary = { insertMs, indexMs, residentMib: mib, elections, acknowledged };
    } finally {
      await writers.stop();
    }
  });
  return summary!;
}

/** Whether a number in the database has come as far. */
function holds(sql: string, least: number): (node: NodeProcess) => Promise<boolean> {
  return async (node) => await number(node, sql) >= least;
}

async function isDropped(node: NodeProcess): Promise<boolean> {
  return await number(node, INDEXES) === 0;
}

function numbers(count: number, rest: string): string {
  return `WITH RECURSIVE r(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM r WHERE i < ${count}) ` +
    rest;
}

/**
 * Has one statement run, however long it takes.
 *
 * @param happened Whether it did, for when leadership was lost over it.
 * @returns Milliseconds.
 */
async function send(
  nodes: readonly NodeProcess[],
  sql: string,
  happened: (leader: NodeProcess) => Promise<boolean>,
): Promise<number> {
  const beganMs = performance.now();
  for (;;) {
    const answer = await ask(await leaderOf(nodes), sql).catch(() => "unknown");
    if (answer === "ok") break;
    if (answer === "unknown" && await happened(await leaderOf(nodes))) break;
  }
  return Math.round(performance.now() - beganMs);
}

/** @throws {Error} when the statement is refused for another reason than whose turn it is. */
async function ask(leader: NodeProcess, sql: string): Promise<"ok" | "rejected" | "unknown"> {
  const response = await fetch(`${leader.url}/v2/pipeline`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      requests: [{ type: "execute", stmt: { sql, want_rows: false } }, { type: "close" }],
    }),
    signal: AbortSignal.timeout(FINISH_TIMEOUT_MS),
  });
  const text = await response.text();
  const reply = JSON.parse(text) as { results?: readonly { readonly type: string }[] };
  if (reply.results?.[0]?.type === "ok") return "ok";
  return /NOT_LEADER|TRANSACTION_BUSY|NO_LEADER/.test(text) ? "rejected" : "unknown";
}

async function leaderOf(nodes: readonly NodeProcess[]): Promise<NodeProcess> {
  return await waitUntil("there is a leader", FINISH_TIMEOUT_MS, async () => {
    for (const node of nodes) {
      const view = await node.cluster().catch(() => undefined);
      if (view?.role === "leader") return node;
    }
    return undefined;
  });
}

async function killedInTheMiddle(
  stage: Stage,
  indexMs: number,
  tell: (line: string) => void,
): Promise<void> {
  for (const share of [0.3, 0.9]) {
    const leader = await leaderOf(stage.nodes);
    const sent = ask(leader, CREATE).catch(messageOf);
    await pause(indexMs * share);
    await leader.kill();
    await sent;
    await leader.start();
    await stage.cluster.waitReady(FINISH_TIMEOUT_MS);
    await settle(stage);
    const counts = await Promise.all(stage.nodes.map((node) => number(node, INDEXES)));
    if (new Set(counts).size !== 1) throw new Error(`the index is there in part: ${counts}`);
    tell(
      `leader killed at ${Math.round(indexMs * share)} ms: the index is on ${
        counts[0] === 1 ? "all nodes" : "no node"
      }`,
    );
    if (counts[0] === 1) await send(stage.nodes, DROP, isDropped);
  }
}

/** All nodes have applied what the leader has committed. */
async function settle({ nodes }: Stage): Promise<void> {
  const leader = await leaderOf(nodes);
  const { commitIndex } = await leader.cluster();
  await waitUntil("all have applied it", FINISH_TIMEOUT_MS, async () => {
    const views = await Promise.all(nodes.map((node) => node.cluster()));
    return views.every(({ appliedIndex }) => appliedIndex >= commitIndex);
  });
}

async function expectAll(
  nodes: readonly NodeProcess[],
  sql: string,
  expected: number,
): Promise<void> {
  for (const node of nodes) {
    const found = await number(node, sql);
    if (found !== expected) throw new Error(`${node.name}: ${sql} gave ${found}, not ${expected}`);
  }
}

async function verdict(
  nodes: readonly NodeProcess[],
  writers: Writers,
  rows: number,
): Promise<void> {
  await expectAll(nodes, "SELECT count(*) FROM rows", rows);
  const { commitIndex } = await (await leaderOf(nodes)).cluster();
  const digests = new Set<string>();
  for (const node of nodes) {
    await writers.check(node);
    await expectAll(
      [node],
      "SELECT count(*) FROM pragma_integrity_check WHERE " +
        "integrity_check <> 'ok'",
      0,
    );
    digests.add((await node.digest(commitIndex)).sha256);
  }
  if (digests.size !== 1) throw new Error("replicas differ");
}

/** The peak of each, as the system keeps it. */
function residentMib(nodes: readonly NodeProcess[]): number | undefined {
  try {
    return Math.max(...nodes.map(({ pid }) => {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
    }));
  } catch {
    return undefined;
  }
}

function residents(nodes: readonly NodeProcess[]): string {
  return `resident at most ${residentMib(nodes) ?? "?"} MiB`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rows: { type: "string", default: "5000000" },
      "insert-mib": { type: "string", default: "1024" },
    },
  });
  const summary = await largeTransactions({
    rows: Number(values.rows),
    insertBytes: Number(values["insert-mib"]) * MIB,
    tell: console.log,
  });
  console.log(JSON.stringify(summary));
}
