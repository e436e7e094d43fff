/**
 * Three nodes under load, one of them killed now and then, and a verdict on what is left.
 */
import { DatabaseError } from "../base/errors.ts";
import { SeededRandom } from "../base/random.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { selfCommand, temporaryFolder } from "../io/process.ts";
import { runChaos } from "./chaos.ts";
import { loadPlaces } from "./dataset.ts";
import { Ledger } from "./ledger.ts";
import { LocalCluster } from "./nodes.ts";
import { count, showProgress } from "./progress.ts";
import { formatVerdict, passed, reachVerdict } from "./verdict.ts";
import { DemoFailure, pause } from "./wait.ts";
import { createTable, PlaceQueue, runWriter } from "./writers.ts";

const NODES = 3;
const WRITERS_PER_NODE = 2;
const START_TIMEOUT_MS = 30_000;

/** How the demo runs. */
export interface DemoOptions {
  readonly seconds: number;
  /** A folder for the nodes' data, kept afterwards; undefined for a temporary one. */
  readonly folder: string | undefined;
  readonly seed: number;
  readonly write: (text: string) => void;
  /** Ends the demo early, without a verdict. */
  readonly signal: AbortSignal;
}

/**
 * Runs the demo and cleans up behind it.
 *
 * @returns Whether the verdict is good.
 * @throws {DatabaseError} `CONFIG` when the folder is not empty.
 * @throws {DemoFailure} when a node does not start, or the demo was interrupted.
 */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  if (options.folder !== undefined && new NodeDisk().list(options.folder).length > 0) {
    throw new DatabaseError("CONFIG", `The folder ${options.folder} is not empty`, {
      hint: "the demo checks every row it finds: give it a new folder with --dir",
    });
  }
  const temporary = options.folder === undefined ? temporaryFolder("dqlite-demo-") : undefined;
  const cluster = await LocalCluster.plan({
    command: selfCommand(),
    folder: options.folder ?? temporary!.path,
    count: NODES,
  });
  try {
    return await runOn(cluster, options);
  } finally {
    await cluster.close();
    temporary?.remove();
  }
}

async function runOn(cluster: LocalCluster, options: DemoOptions): Promise<boolean> {
  const { write, signal, seconds, seed } = options;
  const places = loadPlaces();
  write(`${count(places.count)} places, ${NODES} nodes, ${seconds} s, seed ${seed}\n`);
  await cluster.start(START_TIMEOUT_MS, signal);
  for (const node of cluster.nodes) write(`${node.name}  ${node.url}  ${node.folder}\n`);
  await createTable(cluster.nodes[0]!);

  const random = new SeededRandom(seed);
  const ledger = new Ledger();
  const queue = new PlaceQueue();
  const chaosCount = { kills: 0, leaderKills: 0 };
  const timeUp = new AbortController();
  const over = AbortSignal.any([signal, timeUp.signal]);
  const shared = { places, queue, ledger, random, signal: over };
  const writers = cluster.nodes.flatMap((node) =>
    Array.from({ length: WRITERS_PER_NODE }, () => runWriter(node, shared))
  );
  const progress = showProgress(write, cluster, ledger, chaosCount, over);
  const chaos = runChaos(cluster, new SeededRandom(seed + 1), chaosCount, over);
  const parts = [chaos, progress, ...writers];
  // Whatever fails ends the run; the reason is thrown once all parts have come to rest.
  await Promise.race([pause(seconds * 1000, over), ...parts]).catch(() => undefined);
  timeUp.abort();
  const failed = (await Promise.allSettled(parts)).find((part) => part.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  if (signal.aborted) throw new DemoFailure("Interrupted");

  write("Waiting for all nodes, then checking every row …\n");
  await cluster.waitReady(START_TIMEOUT_MS, signal);
  const checks = await reachVerdict(cluster, ledger, places, signal);
  write(`${formatVerdict(checks)}\n`);
  return passed(checks);
}
