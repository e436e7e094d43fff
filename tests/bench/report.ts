/** The table of a run, for people. */
import { cpus, release, totalmem } from "node:os";
import type { FailoverResult } from "./failover.ts";
import type { Measurement } from "./measurement.ts";

/** One line of the result. */
export interface Row {
  readonly workload: string;
  readonly system: string;
  readonly measurement: Measurement;
  /** Operations per second of every round; the measurement is that of the median round. */
  readonly rounds: readonly number[];
}

/** All that a run found out. */
export interface Result {
  readonly startedAt: string;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly nodes: number;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly failover: Readonly<Record<string, FailoverResult>>;
}

/** What the numbers were measured on. */
export function describeMachine(): string {
  const processors = cpus();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const model = processors[0]?.model ?? "unknown";
  const software = `Linux ${release()}, Bun ${Bun.version}`;
  return `${processors.length} × ${model}, ${memoryGib} GiB, ${software}`;
}

const HEADINGS = [
  "workload",
  "system",
  "ops/s",
  "p50 ms",
  "p99 ms",
  "server CPU µs/op",
  "disk bytes/op",
  "leader wrote/op",
  "generator µs/op",
  "errors",
  "× rqlite",
  "× sqlite",
];

/** The result as text, with the ratio of every line to rqlite's best and to plain SQLite's. */
export function formatResult(result: Result): string {
  const lines = [HEADINGS];
  for (const row of result.rows) {
    const m = row.measurement;
    lines.push([
      row.workload,
      row.system,
      Math.round(m.operationsPerSecond).toLocaleString("en-US"),
      m.p50Ms.toFixed(m.p50Ms < 0.1 ? 4 : 2),
      m.p99Ms.toFixed(m.p99Ms < 0.1 ? 4 : 2),
      m.serverCpuUs.toFixed(m.serverCpuUs < 10 ? 1 : 0),
      Math.round(m.diskBytes).toLocaleString("en-US"),
      Math.round(m.leaderWrittenBytes).toLocaleString("en-US"),
      m.generatorCpuUs.toFixed(1),
      String(m.errors),
      ratio(result.rows, row, "rqlite"),
      ratio(result.rows, row, "sqlite"),
    ]);
  }
  const parts = [
    `${result.startedAt}, ${result.machine}`,
    Object.entries(result.versions).map(([name, version]) => `${name} ${version}`).join(", ") +
    `; ${result.nodes} nodes, ${result.seconds} s for each measurement`,
  ];
  if (result.rows.length > 0) parts.push("", table(lines));
  const failovers = Object.entries(result.failover);
  if (failovers.length > 0) {
    const rows = [["leader killed", "median ms", "max ms", "each ms", "writes acknowledged"]];
    for (const [system, f] of failovers) {
      rows.push([
        system,
        f.medianMs.toFixed(0),
        f.maxMs.toFixed(0),
        f.outagesMs.map((ms) => ms.toFixed(0)).join(" "),
        String(f.acknowledged),
      ]);
    }
    parts.push("", table(rows));
  }
  for (const row of result.rows) {
    if (row.measurement.errorSample === undefined) continue;
    parts.push(`${row.workload} ${row.system}: ${row.measurement.errorSample}`);
  }
  return parts.join("\n");
}

/** How the line compares with the fastest line of `system` for the same workload. */
function ratio(rows: readonly Row[], row: Row, system: string): string {
  if (row.system.split(" ")[0] === system) return "";
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

function table(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => {
    return Math.max(...lines.map((line) => line[column]!.length));
  });
  const format = (line: readonly string[]) => {
    const cells = line.map((cell, column) => {
      return column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
    });
    return `| ${cells.join(" | ")} |`;
  };
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [format(lines[0]!), rule, ...lines.slice(1).map(format)].join("\n");
}
