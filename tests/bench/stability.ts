/**
 * Whether our cluster stays as it is under a steady load: an open loop of inserts at a share of the
 * highest rate, minute by minute.
 */
import { measure, quiet } from "./measure.ts";
import type { Measurement } from "./measurement.ts";
import type { Options } from "./options.ts";
import { linePlot } from "./plot.ts";
import { residentMib } from "./processes.ts";
import { describeMachine } from "./report.ts";
import { Dqlite } from "./systems/dqlite.ts";
import { SCHEMA, type ServerNode } from "./systems/system.ts";
import { figure, textTable } from "./text_table.ts";

const LOAD_SHARE = 0.7;
const CLOSED_CLIENTS = 64;
/** Connections of the open loop: enough that a request seldom waits for one. */
const OPEN_CLIENTS = 128;
const WARM_MS = 10_000;
const HIGHEST_MS = 10_000;
const WINDOW_MS = 60_000;

/** One minute. */
export interface StabilityPoint {
  readonly minute: number;
  readonly load: Measurement;
  /** Memory of each node, the leader first. */
  readonly residentMib: readonly number[];
  readonly term: number;
  /** Entries of the leader's log that are not committed. */
  readonly uncommitted: number;
}

/** A stability run. */
export interface StabilityResult {
  readonly machine: string;
  /** Inserts each second: the most in a closed loop, and what is offered. */
  readonly highestPerSecond: number;
  readonly offeredPerSecond: number;
  readonly points: readonly StabilityPoint[];
}

/** Measures for so many minutes. */
export async function measureStability(
  minutes: number,
  options: Options,
): Promise<StabilityResult> {
  const system = new Dqlite(options.nodes, options.command);
  try {
    await system.start();
    await system.execute(SCHEMA);
    const { plan } = system.variants("insert")[0]!;
    const run = (clients: number, measureMs: number, ratePerSecond?: number) =>
      measure(system, { name: "insert", kind: "insert", clients }, plan, {
        measureMs,
        ...ratePerSecond !== undefined && { ratePerSecond },
      });
    await run(CLOSED_CLIENTS, WARM_MS);
    const { operationsPerSecond } = await run(CLOSED_CLIENTS, HIGHEST_MS);
    await quiet([system]);
    const offeredPerSecond = Math.round(LOAD_SHARE * operationsPerSecond);
    const points: StabilityPoint[] = [];
    for (let minute = 1; minute <= minutes; minute++) {
      const load = await run(OPEN_CLIENTS, WINDOW_MS, offeredPerSecond);
      const nodes = await system.nodes();
      const point = {
        minute,
        load,
        residentMib: nodes.map(({ pid }) => residentMib(pid)),
        ...await viewOf(nodes[0]!),
      };
      points.push(point);
      console.error(lineOf(point).join("  "));
    }
    return {
      machine: describeMachine(),
      highestPerSecond: operationsPerSecond,
      offeredPerSecond,
      points,
    };
  } finally {
    await system.stop();
  }
}

async function viewOf(node: ServerNode): Promise<{ term: number; uncommitted: number }> {
  const response = await fetch(`http://${node.host}:${node.port}/cluster`);
  const { term, lastIndex, commitIndex } = await response.json() as {
    term: number;
    lastIndex: number;
    commitIndex: number;
  };
  return { term, uncommitted: lastIndex - commitIndex };
}

const HEADINGS = [
  ...["minute", "inserts/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "errors"],
  ...["server CPU µs", "leader MiB", "most of a follower", "term", "uncommitted"],
];

function lineOf({ minute, load, residentMib: memory, term, uncommitted }: StabilityPoint) {
  const figures = [
    ...[load.operationsPerSecond, load.p50Ms, load.p99Ms, load.p999Ms, load.maxMs, load.errors],
    ...[load.serverCpuUs, memory[0], Math.max(...memory.slice(1))],
  ];
  return [String(minute), ...figures.map(figure), String(term), String(uncommitted)];
}

/** The table of a stability run. */
export function formatStability(result: StabilityResult): string {
  const { machine, highestPerSecond, offeredPerSecond, points } = result;
  const about = `highest ${figure(highestPerSecond)}/s, offered ${figure(offeredPerSecond)}/s`;
  return `${machine}; ${about}\n\n${textTable([HEADINGS, ...points.map(lineOf)], 0)}`;
}

/** The plot of a stability run. */
export function plotStability({ points }: StabilityResult): string {
  const series = (name: string, of: (point: StabilityPoint) => number | undefined) => ({
    name,
    points: points.map((point) => ({ x: point.minute, y: of(point) ?? 0 })),
  });
  return linePlot("Stability", "minute", [
    series("median ms", ({ load }) => load.p50Ms),
    series("p99 ms", ({ load }) => load.p99Ms),
    series("server µs", ({ load }) => load.serverCpuUs),
    series("leader MiB", ({ residentMib: memory }) => memory[0]),
  ]);
}
