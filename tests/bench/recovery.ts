/** Nodes that start again, and a node that joins, in a cluster with many rows. */
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { measure } from "./measure.ts";
import { peakResidentMib } from "./processes.ts";
import { type ClusterSystem, PAYLOAD, type ServerNode } from "./systems/system.ts";

const TIMEOUT_MS = 180_000;
const POLL_MS = 5;
const ROWS_PER_STATEMENT = 20_000;
const INSERT_MS = 2_000;

/** What starting with many rows costs. */
export interface RecoveryResult {
  readonly rows: number;
  /** From the start of a killed follower to its answer with what all others hold. */
  readonly followerRestartMs: number;
  /** From the start of an empty node to the same. */
  readonly freshNodeMs: number;
  /** From the start of all nodes to the first linearizable answer. */
  readonly coldStartMs: number;
  /** Bytes that the disk takes for one insert of one client, for each node. */
  readonly diskBytesPerInsert: number | undefined;
  readonly peakResidentMib: number;
}

/** The cluster must be able to add nodes and to ask a single one. */
export async function measureRecovery(
  system: ClusterSystem,
  rows: number,
): Promise<RecoveryResult | undefined> {
  if (!system.numberAt || !system.launchKilled || !system.addNode) return undefined;
  await system.execute(["CREATE TABLE IF NOT EXISTS many(id INTEGER PRIMARY KEY, payload TEXT)"]);
  for (let first = 0; first < rows; first += ROWS_PER_STATEMENT) {
    const end = Math.min(rows, first + ROWS_PER_STATEMENT);
    const more = `SELECT i + 1 FROM r WHERE i + 1 < ${end}`;
    await system.execute([
      `WITH RECURSIVE r(i) AS (SELECT ${first} UNION ALL ${more}) ` +
      `INSERT INTO many SELECT i, '${PAYLOAD}' FROM r`,
    ]);
  }
  const nodes = await system.nodes();
  for (const node of nodes) await holds(system, node, rows);
  const insert = system.variants("insert")[0]!.plan;
  const workload = { name: "insert-1", kind: "insert", clients: 1 } as const;
  const inserts = await measure(system, workload, insert, { measureMs: INSERT_MS });
  const peaks = nodes.map((node) => peakResidentMib(node.pid));

  await system.kill(nodes.at(-1)!.pid);
  let startMs = performance.now();
  const [restarted] = await system.launchKilled();
  await holds(system, restarted!, rows);
  const followerRestartMs = performance.now() - startMs;
  await system.restart();

  startMs = performance.now();
  await holds(system, await system.addNode(), rows);
  const freshNodeMs = performance.now() - startMs;
  await system.restart();

  for (const node of await system.nodes()) await system.kill(node.pid);
  startMs = performance.now();
  await system.launchKilled();
  await waitUntil(`${system.name} answers`, TIMEOUT_MS, async () => {
    return await system.number("SELECT max(id) + 1 FROM many") === rows;
  });
  const coldStartMs = performance.now() - startMs;
  await system.restart();
  return {
    rows,
    followerRestartMs,
    freshNodeMs,
    coldStartMs,
    diskBytesPerInsert: inserts.diskBytes && inserts.diskBytes / nodes.length,
    peakResidentMib: Math.max(...peaks),
  };
}

/** Asks a node, without a pause worth mentioning, until it holds all rows. */
async function holds(system: ClusterSystem, node: ServerNode, rows: number): Promise<void> {
  await waitUntil(`a node of ${system.name} holds ${rows} rows`, TIMEOUT_MS, async () => {
    for (let attempt = 0; attempt < 50; attempt++) {
      const found = await system.numberAt!(node, "SELECT max(id) + 1 FROM many").catch(() => 0);
      if (found === rows) return true;
      await pause(POLL_MS);
    }
    return false;
  });
}
