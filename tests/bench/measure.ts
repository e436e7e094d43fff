/** Runs one workload on one cluster with the load generator, in a process of its own. */
import { writeFileSync } from "node:fs";
import { pause } from "../../lib/demo/wait.ts";
import { startProcess, temporaryFolder } from "../../lib/io/process.ts";
import type { LoadJob } from "./load.ts";
import type { Costs, Measurement } from "./measurement.ts";
import { cpuUs } from "./processes.ts";
import { type RequestPlan, SLOT_MIN } from "./request_template.ts";
import { countCalls } from "./system_calls.ts";
import type { ClusterSystem, Workload } from "./systems/system.ts";

const LOAD = new URL("./load.ts", import.meta.url).pathname;
const WARMUP_MS = 1_000;
/** Servers count as quiet when they use less than this share of one processor. */
const QUIET_SHARE = 0.08;
const QUIET_WINDOW_MS = 300;
const QUIET_TIMEOUT_MS = 10_000;
/** Numbers that one measurement may use up. */
const SEQUENCE_STRIDE = 20_000_000;
const SEQUENCE_STRIDES = 300;
const COUNT_SECONDS = 1;

/** How long, and at which rate. */
export interface LoadOptions {
  readonly measureMs: number;
  /** Requests due in each second; a closed loop without it. */
  readonly ratePerSecond?: number;
}

let measurements = 0;

/** @throws {Error} when the generator fails, with what it wrote. */
export async function measure(
  system: ClusterSystem,
  workload: Workload,
  plan: RequestPlan,
  options: LoadOptions,
): Promise<Measurement> {
  const nodes = await system.nodes();
  const { host, port } = nodes[0]!;
  const job: LoadJob = {
    host,
    port,
    plan,
    clients: workload.clients,
    warmupMs: WARMUP_MS,
    sequenceStart: SLOT_MIN + (measurements++ % SEQUENCE_STRIDES) * SEQUENCE_STRIDE,
    seed: measurements,
    serverPids: nodes.map((node) => node.pid),
    ...options,
  };
  const folder = temporaryFolder("dqlite-bench-load-");
  try {
    // A large payload would not pass as an argument.
    const file = `${folder.path}/job.json`;
    writeFileSync(file, JSON.stringify(job));
    const child = await startProcess([process.execPath, LOAD, file]);
    const { code } = await child.exited;
    if (code !== 0) throw new Error(`${workload.name} on ${system.name}: ${child.outputTail()}`);
    return JSON.parse(child.outputTail()) as Measurement;
  } finally {
    folder.remove();
  }
}

/** What one operation costs the servers, counted in a run of its own. */
export async function countCosts(
  system: ClusterSystem,
  workload: Workload,
  plan: RequestPlan,
): Promise<Costs> {
  const [leader, follower] = await system.nodes();
  const running = measure(system, workload, plan, { measureMs: 2_000 * COUNT_SECONDS });
  await pause(WARMUP_MS + 500 * COUNT_SECONDS);
  const allocatedBefore = await system.allocatedBytes?.();
  const startMs = performance.now();
  const [lead, follow] = await Promise.all([
    countCalls(leader!.pid, COUNT_SECONDS),
    follower === undefined ? undefined : countCalls(follower.pid, COUNT_SECONDS),
  ]);
  const allocatedAfter = await system.allocatedBytes?.();
  const seconds = (performance.now() - startMs) / 1000;
  const { operationsPerSecond } = await running;
  const each = (count: number | undefined, inSeconds: number) =>
    count === undefined ? undefined : count / inSeconds / operationsPerSecond;
  return {
    leaderCalls: each(lead?.calls, COUNT_SECONDS),
    followerCalls: each(follow?.calls, COUNT_SECONDS),
    leaderSyncs: each(lead?.syncs, COUNT_SECONDS),
    allocatedBytes: allocatedBefore === undefined
      ? undefined
      : each(allocatedAfter! - allocatedBefore, seconds),
  };
}

/** Waits until the servers of all clusters have finished what earlier work left them to do. */
export async function quiet(clusters: readonly ClusterSystem[]): Promise<void> {
  const pids = (await Promise.all(clusters.map((cluster) => cluster.nodes())))
    .flat().map((node) => node.pid);
  const used = () => pids.reduce((sum, pid) => sum + cpuUs(pid), 0);
  const deadline = performance.now() + QUIET_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const before = used();
    await pause(QUIET_WINDOW_MS);
    if ((used() - before) / 1000 < QUIET_WINDOW_MS * QUIET_SHARE * clusters.length) return;
  }
}
