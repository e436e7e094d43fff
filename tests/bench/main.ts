/**
 * Measures our cluster and its peers in one run, workload by workload, one after the other, with
 * the same load generator. `bun run bench --help` tells the options.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { messageOf } from "../../lib/base/errors.ts";
import { type FailoverResult, measureFailover } from "./failover.ts";
import { formatGrowth, measureGrowth, plotGrowth } from "./growth.ts";
import { countCosts, measure, quiet } from "./measure.ts";
import { type Costs, type Measurement, medianOf } from "./measurement.ts";
import { type Options, readOptions } from "./options.ts";
import { plotsOf } from "./plots.ts";
import { measureRecovery, type RecoveryResult } from "./recovery.ts";
import { describeMachine, formatResult, type Result, type Row } from "./report.ts";
import { formatShows } from "./shows.ts";
import { formatStability, measureStability, plotStability } from "./stability.ts";
import { type ClusterSystem, SCHEMA, type Variant, type Workload } from "./systems/system.ts";

const FAILOVER_ROUNDS = 10;
const EMBEDDED_WARMUP_MS = 1_000;
/** Load that every cluster gets before its first measurement of a workload; it is not counted. */
const WARM_MS = 4_000;
const WARM_CLIENTS = 8;

/** One system in one of its ways to do a workload. */
interface Entrant {
  readonly name: string;
  readonly cluster: ClusterSystem | undefined;
  readonly variant: Variant | undefined;
  run(): Promise<Measurement>;
}

function entrantsOf(workload: Workload, options: Options, ratePerSecond?: number): Entrant[] {
  const measureMs = options.seconds * 1000;
  const entrants: Entrant[] = [];
  for (const system of options.systems) {
    if (system.type === "embedded") {
      if (workload.clients !== 1 || workload.overSocket) continue;
      const times = { warmupMs: EMBEDDED_WARMUP_MS, measureMs };
      for (const label of system.labels) {
        const run = () => system.measure(label, workload.kind, times);
        entrants.push({
          name: `${system.name} ${label}`,
          cluster: undefined,
          variant: undefined,
          run,
        });
      }
      continue;
    }
    const variants = workload.overSocket
      ? system.socketVariants?.(workload.kind) ?? []
      : system.variants(workload.kind);
    for (const variant of variants) {
      const load = ratePerSecond === undefined ? { measureMs } : { measureMs, ratePerSecond };
      entrants.push({
        name: `${system.name} ${variant.label}`.trimEnd(),
        cluster: system,
        variant,
        run: () => measure(system, workload, variant.plan, load),
      });
    }
  }
  return entrants;
}

/** The rate at which an open loop runs: a share of what the slowest cluster can do. */
async function openRate(workload: Workload, share: number, options: Options): Promise<number> {
  const closed = { ...workload, clients: 64 };
  const rates: number[] = [];
  for (const { cluster, variant } of entrantsOf(closed, options)) {
    const load = { measureMs: Math.min(3, options.seconds) * 1000 };
    rates.push((await measure(cluster!, closed, variant!.plan, load)).operationsPerSecond);
  }
  return Math.round(share * Math.min(...rates));
}

async function measureWorkload(workload: Workload, options: Options): Promise<Row[]> {
  const clusters = options.systems.filter((system) => system.type === "cluster");
  const warmed = { ...workload, clients: Math.max(workload.clients, WARM_CLIENTS) };
  for (const { cluster, variant } of entrantsOf(warmed, options)) {
    // Servers run for weeks: what a compiler does in the first seconds is not what is asked for.
    const warmMs = Math.min(WARM_MS, options.seconds * 1000);
    if (cluster) await measure(cluster, warmed, variant!.plan, { measureMs: warmMs });
  }
  const share = workload.openShare;
  const rate = share === undefined ? undefined : await openRate(workload, share, options);
  const entrants = entrantsOf(workload, options, rate);
  const found = new Map<string, Measurement[]>();
  for (let round = 0; round < options.repeats; round++) {
    for (const entrant of entrants) {
      await quiet(clusters);
      const measurement = await entrant.run();
      found.set(entrant.name, [...(found.get(entrant.name) ?? []), measurement]);
      const each = Math.round(measurement.operationsPerSecond);
      console.error(`${workload.name} ${entrant.name}: ${each}/s, ${measurement.errors} errors`);
    }
  }
  const costs = new Map<string, Costs>();
  for (const { name, cluster, variant } of entrants) {
    if (!cluster || share !== undefined) continue;
    costs.set(name, await countCosts(cluster, workload, variant!.plan));
  }
  return [...found].map(([system, rounds]) => ({
    workload: workload.name,
    system,
    measurement: medianOf(rounds),
    costs: costs.get(system),
    rounds: rounds.map((one) => one.operationsPerSecond),
  }));
}

async function run(options: Options): Promise<Result> {
  const { systems, nodes, seconds, repeats } = options;
  const clusters = systems.filter((system) => system.type === "cluster");
  const startedAt = new Date().toISOString();
  const versions: Record<string, string> = {};
  for (const cluster of clusters) {
    await cluster.start();
    await cluster.execute(SCHEMA);
  }
  for (const system of systems) versions[system.name] = await system.version();
  const durability = Object.fromEntries(systems.map((one) => [one.name, one.durability]));
  const rows: Row[] = [];
  for (const workload of options.workloads) rows.push(...await measureWorkload(workload, options));
  const failover: Record<string, FailoverResult> = {};
  const recovery: Record<string, RecoveryResult> = {};
  for (const cluster of clusters) {
    if (!options.failover || cluster.variants("scan").length === 0) continue;
    await quiet(clusters);
    failover[cluster.name] = await measureFailover(cluster, FAILOVER_ROUNDS);
    console.error(`failover ${cluster.name}: ${failover[cluster.name]!.medianMs.toFixed(0)} ms`);
  }
  for (const cluster of clusters) {
    if (!options.recovery) continue;
    await quiet(clusters);
    const found = await measureRecovery(cluster, options.rows);
    if (found !== undefined) recovery[cluster.name] = found;
  }
  return {
    startedAt,
    machine: describeMachine(),
    ...{ versions, durability, nodes, seconds, repeats, rows, failover, recovery },
  };
}

/** Shows the tables, and writes all there is to a folder when one is named. */
function publish(options: Options, name: string, text: string, files: Record<string, string>) {
  console.log(text);
  if (options.out === undefined) return;
  mkdirSync(options.out, { recursive: true });
  for (const [file, content] of Object.entries({ ...files, [`${name}.txt`]: `${text}\n` })) {
    writeFileSync(`${options.out}/${file}`, content);
  }
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
  if (options.growth !== undefined) {
    const growth = await measureGrowth(options.growth, options);
    const name = `growth-${options.growth}`;
    publish(options, name, formatGrowth(growth), {
      [`${name}.json`]: JSON.stringify(growth, null, 2),
      [`${name}.svg`]: plotGrowth(growth),
    });
  } else if (options.stability !== undefined) {
    const stability = await measureStability(options.stability, options);
    publish(options, "stability", formatStability(stability), {
      "stability.json": JSON.stringify(stability, null, 2),
      "stability.svg": plotStability(stability),
    });
  } else {
    const result = await run(options);
    publish(options, "bench", `${formatResult(result)}\n\n${formatShows(result)}`, {
      "bench.json": JSON.stringify(result, null, 2),
      ...plotsOf(result),
    });
  }
} finally {
  await stopAll();
}
