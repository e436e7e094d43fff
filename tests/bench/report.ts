/** The tables of a run, for people. */
import { cpus, release, totalmem } from "node:os";
import type { FailoverResult } from "./failover.ts";
import type { Costs, Measurement } from "./measurement.ts";
import type { RecoveryResult } from "./recovery.ts";
import { figure, textTable } from "./text_table.ts";

/** One line of the result. */
export interface Row {
  readonly workload: string;
  readonly system: string;
  /** The median of every figure. */
  readonly measurement: Measurement;
  readonly costs: Costs | undefined;
  /** Operations per second of every round. */
  readonly rounds: readonly number[];
}

/** All that a run found out. */
export interface Result {
  readonly startedAt: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly durability: Readonly<Record<string, string>>;
  readonly nodes: number;
  readonly seconds: number;
  readonly repeats: number;
  readonly rows: readonly Row[];
  readonly failover: Readonly<Record<string, FailoverResult>>;
  readonly recovery: Readonly<Record<string, RecoveryResult>>;
}

/** What the numbers were measured on. */
export function describeMachine(): string {
  const processors = cpus();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const model = processors[0]?.model ?? "unknown";
  const software = `Linux ${release()}, Bun ${Bun.version}`;
  return `${processors.length} × ${model}, ${memoryGib} GiB, ${software}`;
}

/** All tables of a run. */
export function formatResult(result: Result): string {
  const { versions, durability } = result;
  const parts = [
    `${result.startedAt}, ${result.machine}`,
    `${result.nodes} nodes; median of ${result.repeats} measurements of ${result.seconds} s each`,
    ...Object.keys(versions).map((name) =>
      `${name} ${versions[name]}: a write is answered when ${durability[name]}`
    ),
  ];
  if (result.rows.length > 0) parts.push("", speedTable(result.rows), "", costTable(result.rows));
  if (Object.keys(result.failover).length > 0) parts.push("", failoverTable(result.failover));
  if (Object.keys(result.recovery).length > 0) parts.push("", recoveryTable(result.recovery));
  for (const row of result.rows) {
    if (row.measurement.errorSample === undefined) continue;
    parts.push(`${row.workload} ${row.system}: ${row.measurement.errorSample}`);
  }
  return parts.join("\n");
}

function speedTable(rows: readonly Row[]): string {
  const lines = [[
    ...["workload", "system", "ops/s", "lowest", "highest", "p50 ms", "p99 ms", "p99.9 ms"],
    ...["offered/s", "errors", "client CPU %", "× rqlite", "× sqlite"],
  ]];
  for (const row of rows) {
    const m = row.measurement;
    lines.push([
      row.workload,
      row.system,
      figure(m.operationsPerSecond),
      figure(Math.min(...row.rounds)),
      figure(Math.max(...row.rounds)),
      figure(m.p50Ms),
      figure(m.p99Ms),
      figure(m.p999Ms),
      figure(m.offeredPerSecond),
      String(m.errors),
      figure(m.generatorShare * 100),
      ratio(rows, row, "rqlite"),
      ratio(rows, row, "sqlite"),
    ]);
  }
  return textTable(lines, 2);
}

/** What one operation costs. */
function costTable(rows: readonly Row[]): string {
  const lines = [[
    ...["workload", "system", "server CPU µs", "leader", "followers", "client", "disk bytes"],
    ...["leader wrote", "wire bytes", "leader calls", "follower calls", "leader fsyncs"],
    ...["allocated bytes", "leader MiB"],
  ]];
  for (const { workload, system, measurement: m, costs } of rows) {
    const figures = [
      ...[m.serverCpuUs, m.leaderCpuUs, m.followersCpuUs, m.generatorCpuUs, m.diskBytes],
      ...[m.leaderWrittenBytes, m.wireBytes, costs?.leaderCalls, costs?.followerCalls],
      ...[costs?.leaderSyncs, costs?.allocatedBytes, m.leaderResidentMib],
    ];
    lines.push([workload, system, ...figures.map(figure)]);
  }
  return textTable(lines, 2);
}

function failoverTable(failover: Result["failover"]): string {
  const lines = [["leader killed", "each ms", "median ms", "max ms", "writes acknowledged"]];
  for (const [system, f] of Object.entries(failover)) {
    const each = f.outagesMs.map((ms) => ms.toFixed(0)).join(" ");
    lines.push([system, each, ...[f.medianMs, f.maxMs, f.acknowledged].map(figure)]);
  }
  return textTable(lines, 2);
}

function recoveryTable(recovery: Result["recovery"]): string {
  const lines = [[
    ...["with rows", "rows", "follower restart ms", "fresh node ms", "cold start ms"],
    ...["leader disk bytes/insert", "highest MiB of a node"],
  ]];
  for (const [system, r] of Object.entries(recovery)) {
    const figures = [
      ...[r.rows, r.followerRestartMs, r.freshNodeMs, r.coldStartMs],
      ...[r.diskBytesPerInsert, r.peakResidentMib],
    ];
    lines.push([system, ...figures.map(figure)]);
  }
  return textTable(lines, 1);
}

/** How the line compares with the fastest line of `system` for the same workload. */
function ratio(rows: readonly Row[], row: Row, system: string): string {
  if (row.system.split(" ")[0] === system || row.measurement.offeredPerSecond) return "";
  const kind = (name: string) => name.split("-")[0];
  const peers = rows.filter((other) => {
    if (other.system.split(" ")[0] !== system) return false;
    // Plain SQLite is measured with one client only: its line stands for all numbers of clients.
    return system === "sqlite"
      ? kind(other.workload) === kind(row.workload) && !other.system.includes("unsynced")
      : other.workload === row.workload;
  });
  if (peers.length === 0) return "";
  const best = Math.max(...peers.map((peer) => peer.measurement.operationsPerSecond));
  return (row.measurement.operationsPerSecond / best).toFixed(2);
}
