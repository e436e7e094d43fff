/**
 * Measures our cluster, rqlite and plain SQLite in one run, workload by workload, one after the
 * other, with the same load generator. `bun run bench --help` tells the options.
 */
import { existsSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf } from "../../lib/base/errors.ts";
import { pause } from "../../lib/demo/wait.ts";
import { startProcess } from "../../lib/io/process.ts";
import { type FailoverResult, measureFailover } from "./failover.ts";
import type { LoadJob } from "./load.ts";
import type { Measurement } from "./measurement.ts";
import { readUsage } from "./processes.ts";
import { describeMachine, formatResult, type Result, type Row } from "./report.ts";
import { SLOT_MIN } from "./request_template.ts";
import { Dqlite } from "./systems/dqlite.ts";
import { Rqlite } from "./systems/rqlite.ts";
import { PlainSqlite } from "./systems/sqlite.ts";
import {
  type ClusterSystem,
  SCHEMA,
  type System,
  type Variant,
  type Workload,
} from "./systems/system.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const LOAD = new URL("./load.ts", import.meta.url).pathname;
const WORKLOADS: readonly Workload[] = [
  { name: "insert-1", kind: "insert", clients: 1 },
  { name: "insert-8", kind: "insert", clients: 8 },
  { name: "insert-64", kind: "insert", clients: 64 },
  { name: "transaction-1", kind: "transaction", clients: 1 },
  { name: "transaction-8", kind: "transaction", clients: 8 },
  { name: "read-1", kind: "read", clients: 1 },
  { name: "read-8", kind: "read", clients: 8 },
  { name: "read-64", kind: "read", clients: 64 },
  { name: "scan-1", kind: "scan", clients: 1 },
  { name: "scan-8", kind: "scan", clients: 8 },
];
const FAILOVER = "failover";
const FAILOVER_ROUNDS = 10;
const WARMUP_MS = 1_000;
/** Load that every cluster gets before its first measurement of a workload; it is not counted. */
const WARM_MS = 4_000;
const WARM_CLIENTS = 8;
/** Servers count as quiet when they use less than this share of one processor. */
const QUIET_SHARE = 0.08;
const QUIET_WINDOW_MS = 300;
const QUIET_TIMEOUT_MS = 10_000;
/** Numbers that one measurement may use up. */
const SEQUENCE_STRIDE = 20_000_000;

const HELP = `bun run bench [options]
  --systems NAMES    of dqlite,rqlite,sqlite (default: all)
  --workloads NAMES  of ${WORKLOADS.map((w) => w.name).join(",")},${FAILOVER},
                     or their beginnings: insert,transaction,read,scan (default: all)
  --seconds N        length of one measurement (default: 5)
  --rounds N         measurements of each; the median counts (default: 1)
  --nodes N          nodes of each cluster (default: 3)
  --json FILE        writes the result as JSON as well
  --dqlite COMMAND   how to run dqlite (default: dist/dqlite if built, else bun cli.ts)
`;

interface Options {
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  readonly failover: boolean;
  readonly seconds: number;
  readonly rounds: number;
  readonly nodes: number;
  readonly json: string | undefined;
}

function readOptions(): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      systems: { ...text, default: "dqlite,rqlite,sqlite" },
      workloads: { ...text, default: "insert,transaction,read,scan,failover" },
      seconds: { ...text, default: "5" },
      rounds: { ...text, default: "1" },
      nodes: { ...text, default: "3" },
      json: text,
      dqlite: text,
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const positive = (name: "seconds" | "rounds" | "nodes") => {
    const value = Number(values[name]);
    if (value > 0) return value;
    throw new Error(`--${name} must be a number above 0, not ${values[name]}`);
  };
  const nodes = positive("nodes");
  const seconds = positive("seconds");
  const rounds = positive("rounds");
  const built = existsSync(`${ROOT}dist/dqlite`);
  const command = values.dqlite?.split(" ") ??
    (built ? [`${ROOT}dist/dqlite`] : [process.execPath, `${ROOT}cli.ts`]);
  const make: Record<string, () => System> = {
    dqlite: () => new Dqlite(nodes, command),
    rqlite: () => new Rqlite(nodes),
    sqlite: () => new PlainSqlite(),
  };
  const wanted = values.workloads.split(",");
  for (const name of wanted) {
    const known = name === FAILOVER || WORKLOADS.some((w) => w.name === name || w.kind === name);
    if (!known) throw new Error(`Unknown workload ${name}; see --help`);
  }
  const names = values.systems.split(",");
  for (const name of names) {
    if (!Object.hasOwn(make, name)) throw new Error(`Unknown system ${name}; see --help`);
  }
  const systems = names.map((name) => make[name]!());
  return {
    systems,
    workloads: WORKLOADS.filter((w) => wanted.includes(w.name) || wanted.includes(w.kind)),
    failover: wanted.includes(FAILOVER),
    seconds,
    rounds,
    nodes,
    json: values.json,
  };
}

/** Waits until the servers of all clusters have finished what earlier work left them to do. */
async function quiet(clusters: readonly ClusterSystem[]): Promise<void> {
  const pids = (await Promise.all(clusters.map((cluster) => cluster.nodes())))
    .flat().map((node) => node.pid);
  const deadline = performance.now() + QUIET_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const before = readUsage(pids).cpuUs;
    await pause(QUIET_WINDOW_MS);
    const usedMs = (readUsage(pids).cpuUs - before) / 1000;
    if (usedMs < QUIET_WINDOW_MS * QUIET_SHARE * clusters.length) return;
  }
}

let measurements = 0;

async function measure(
  system: ClusterSystem,
  workload: Workload,
  variant: Variant,
  measureMs: number,
): Promise<Measurement> {
  const [leader, ...others] = await system.nodes();
  const job: LoadJob = {
    host: leader!.host,
    port: leader!.port,
    plan: variant.plan,
    clients: workload.clients,
    warmupMs: WARMUP_MS,
    measureMs,
    sequenceStart: SLOT_MIN + (measurements++ % 300) * SEQUENCE_STRIDE,
    seed: measurements,
    serverPids: [leader!, ...others].map((node) => node.pid),
  };
  const child = await startProcess([process.execPath, LOAD, JSON.stringify(job)]);
  const { code } = await child.exited;
  if (code !== 0) throw new Error(`${workload.name} on ${system.name}: ${child.outputTail()}`);
  return JSON.parse(child.outputTail()) as Measurement;
}

/** The measurement whose throughput is the median. */
function median(rounds: readonly Measurement[]): Measurement {
  const sorted = [...rounds].sort((a, b) => a.operationsPerSecond - b.operationsPerSecond);
  return sorted[Math.floor(sorted.length / 2)]!;
}

async function measureWorkload(workload: Workload, options: Options): Promise<Row[]> {
  const clusters = options.systems.filter((system) => system.type === "cluster");
  const measureMs = options.seconds * 1000;
  const found = new Map<string, Measurement[]>();
  for (const system of clusters) {
    // Servers run for weeks: what a compiler does in the first seconds is not what is asked for.
    const busy = { ...workload, clients: Math.max(workload.clients, WARM_CLIENTS) };
    for (const variant of system.variants(workload.kind)) {
      await measure(system, busy, variant, WARM_MS);
    }
  }
  for (let round = 0; round < options.rounds; round++) {
    for (const system of options.systems) {
      const labels = system.type === "cluster"
        ? system.variants(workload.kind).map((variant) => variant.label)
        : workload.clients === 1
        ? system.labels
        : [];
      for (const [i, label] of labels.entries()) {
        await quiet(clusters);
        const name = label === "" ? system.name : `${system.name} ${label}`;
        const measurement = system.type === "cluster"
          ? await measure(system, workload, system.variants(workload.kind)[i]!, measureMs)
          : await system.measure(label, workload.kind, { warmupMs: WARMUP_MS, measureMs });
        found.set(name, [...(found.get(name) ?? []), measurement]);
        const rate = Math.round(measurement.operationsPerSecond);
        console.error(`${workload.name} ${name}: ${rate}/s, ${measurement.errors} errors`);
      }
    }
  }
  return [...found].map(([system, rounds]) => ({
    workload: workload.name,
    system,
    measurement: median(rounds),
    rounds: rounds.map((one) => one.operationsPerSecond),
  }));
}

async function run(options: Options): Promise<Result> {
  const clusters = options.systems.filter((system) => system.type === "cluster");
  const startedAt = new Date().toISOString();
  const versions: Record<string, string> = {};
  for (const cluster of clusters) {
    await cluster.start();
    await cluster.execute(SCHEMA);
  }
  for (const system of options.systems) versions[system.name] = await system.version();
  const rows: Row[] = [];
  for (const workload of options.workloads) rows.push(...await measureWorkload(workload, options));
  const failover: Record<string, FailoverResult> = {};
  if (options.failover) {
    for (const cluster of clusters) {
      await quiet(clusters);
      failover[cluster.name] = await measureFailover(cluster, FAILOVER_ROUNDS);
      console.error(`failover ${cluster.name}: ${failover[cluster.name]!.medianMs.toFixed(0)} ms`);
    }
  }
  const { nodes, seconds } = options;
  return { startedAt, machine: describeMachine(), versions, nodes, seconds, rows, failover };
}

let options: Options;
try {
  options = readOptions();
} catch (error) {
  console.error(messageOf(error));
  process.exit(2);
}
const stopAll = async () => {
  for (const system of options.systems) if (system.type === "cluster") await system.stop();
};
process.once("SIGINT", () => void stopAll().then(() => process.exit(130)));
try {
  const result = await run(options);
  console.log(formatResult(result));
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(result, null, 2));
} finally {
  await stopAll();
}
