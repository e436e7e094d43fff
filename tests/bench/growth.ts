/** How the cost of our cluster grows with what a user has more of: one table and plot for each. */
import { pause } from "../../lib/demo/wait.ts";
import { measure, quiet } from "./measure.ts";
import { type Measurement, medianOf } from "./measurement.ts";
import type { Growth, Options } from "./options.ts";
import { linePlot } from "./plot.ts";
import { describeMachine } from "./report.ts";
import { type RequestPlan, SLOT_MIN } from "./request_template.ts";
import { Dqlite } from "./systems/dqlite.ts";
import { PAYLOAD, SCHEMA, type ServerNode, type WorkloadKind } from "./systems/system.ts";
import { figure, textTable } from "./text_table.ts";

const SIZES = {
  rows: [1e3, 1e4, 1e5, 1e6, 1e7],
  size: [10, 100, 1_000, 10_000, 100_000, 1_000_000],
  clients: [1, 4, 16, 64, 250, 1_000],
  nodes: [1, 3, 5],
  transactions: [1, 10, 100, 400],
} as const;
const DEFAULT_CLIENTS = 8;
const ROWS_PER_STATEMENT = 20_000;
/** Filling with rows ends after this time: the sizes reached by then are measured. */
const FILL_MS_MAX = 300_000;
const SETTLE_MS = 500;

/** Insert and read at one size. */
export interface GrowthPoint {
  readonly size: number;
  readonly insert: Measurement;
  readonly read: Measurement;
}

/** A growth run. */
export interface GrowthResult {
  readonly growth: Growth;
  readonly machine: string;
  readonly seconds: number;
  readonly points: readonly GrowthPoint[];
}

/** Measures inserts and linearizable point reads at every size. */
export async function measureGrowth(growth: Growth, options: Options): Promise<GrowthResult> {
  const points: GrowthPoint[] = [];
  const finish = () => ({
    growth,
    machine: describeMachine(),
    seconds: options.seconds,
    points,
  });
  if (growth === "nodes") {
    for (const size of SIZES.nodes) {
      await onCluster(size, options, async (system) => {
        points.push(await measurePoint(system, { size, clients: DEFAULT_CLIENTS }, options));
      });
    }
    return finish();
  }
  await onCluster(options.nodes, options, async (system) => {
    const filler = new Filler(system);
    for (const size of SIZES[growth]) {
      if (growth === "rows" && (size > options.rows || !await filler.fillTo(size))) break;
      const open = growth === "transactions" ? await openTransactions(system, size) : [];
      const clients = growth === "clients" ? size : DEFAULT_CLIENTS;
      const payload = growth === "size" ? "x".repeat(size) : PAYLOAD;
      const rows = growth === "rows" ? size : 0;
      points.push(await measurePoint(system, { size, clients, payload, rows }, options));
      for (const close of open) await close();
      const { insert, read } = points.at(-1)!;
      console.error(`${growth} ${size}: insert ${insert.p50Ms} ms, read ${read.p50Ms} ms`);
    }
  });
  return finish();
}

async function onCluster(
  nodes: number,
  options: Options,
  body: (system: Dqlite) => Promise<void>,
): Promise<void> {
  const system = new Dqlite(nodes, options.command);
  try {
    await system.start();
    await system.execute(SCHEMA);
    await body(system);
  } finally {
    await system.stop();
  }
}

interface PointOptions {
  readonly size: number;
  readonly clients: number;
  readonly payload?: string;
  /** Rows of the table `many` to read and to write; 0 for the tables of the workloads. */
  readonly rows?: number;
}

async function measurePoint(
  system: Dqlite,
  point: PointOptions,
  options: Options,
): Promise<GrowthPoint> {
  const payload = point.payload ?? PAYLOAD;
  if (payload !== PAYLOAD) {
    await system.execute([`INSERT OR REPLACE INTO kv VALUES(1000000000, 0, '${payload}')`]);
  }
  const find = async (kind: WorkloadKind): Promise<Measurement> => {
    const plan = grown(system.variants(kind)[0]!.plan, kind, point);
    const workload = { name: kind, kind, clients: point.clients };
    const rounds: Measurement[] = [];
    for (let round = 0; round < options.repeats; round++) {
      await quiet([system]);
      rounds.push(await measure(system, workload, plan, { measureMs: options.seconds * 1000 }));
    }
    return medianOf(rounds);
  };
  return { size: point.size, insert: await find("insert"), read: await find("read") };
}

/** The plan with the payload and the table that a point asks for. */
function grown(plan: RequestPlan, kind: WorkloadKind, point: PointOptions): RequestPlan {
  const payload = point.payload ?? PAYLOAD;
  const body = point.rows
    ? plan.body.replace("bench(n,", "many(n,").replace("kv", "many")
    : plan.body;
  if (kind === "insert") return { ...plan, body: body.replace(PAYLOAD, payload) };
  const bodyBytesMin = payload.length;
  if (point.rows) {
    const slot = { type: "random", first: SLOT_MIN, count: point.rows } as const;
    return { ...plan, body, slot, bodyBytesMin };
  }
  if (payload === PAYLOAD) return plan;
  const slot = { type: "random", first: SLOT_MIN, count: 1 } as const;
  return { ...plan, slot, must: payload.slice(0, 100), bodyBytesMin };
}

/** Makes the table `many` larger. */
class Filler {
  readonly #system: Dqlite;
  #rows = 0;
  #spentMs = 0;

  constructor(system: Dqlite) {
    this.#system = system;
  }

  /** False when that would take too long. */
  async fillTo(rows: number): Promise<boolean> {
    const startMs = performance.now();
    const schema = "(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, payload TEXT NOT NULL)";
    await this.#system.execute([`CREATE TABLE IF NOT EXISTS many${schema}`]);
    while (this.#rows < rows) {
      if (this.#spentMs + performance.now() - startMs > FILL_MS_MAX) return false;
      const end = Math.min(rows, this.#rows + ROWS_PER_STATEMENT);
      // The inserts of a measurement took the keys behind the last one: those are replaced.
      await this.#system.execute([
        `WITH RECURSIVE r(i) AS (SELECT ${this.#rows} UNION ALL SELECT i + 1 FROM r ` +
        `WHERE i + 1 < ${end}) INSERT OR REPLACE INTO many ` +
        `SELECT ${SLOT_MIN} + i, i, '${PAYLOAD}' FROM r`,
      ]);
      this.#rows = end;
    }
    this.#spentMs += performance.now() - startMs;
    return true;
  }
}

/** Interactive transactions that have read and stay open; each is given back as a way to end it. */
async function openTransactions(system: Dqlite, count: number): Promise<(() => Promise<void>)[]> {
  const [leader] = await system.nodes();
  const closes: (() => Promise<void>)[] = [];
  const statement = (sql: string) => ({ type: "execute", stmt: { sql } });
  for (let at = 0; at < count; at++) {
    const read = statement(`SELECT payload FROM kv WHERE id = ${SLOT_MIN + at}`);
    const { baton } = await pipeline(leader!, { requests: [statement("BEGIN"), read] });
    if (typeof baton !== "string") throw new Error("The stream did not stay open");
    closes.push(async () => void await pipeline(leader!, { baton, requests: [{ type: "close" }] }));
  }
  await pause(SETTLE_MS);
  return closes;
}

async function pipeline(node: ServerNode, body: unknown): Promise<{ baton?: unknown }> {
  const response = await fetch(`http://${node.host}:${node.port}/v2/pipeline`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok || text.includes('"message":')) throw new Error(text.slice(0, 300));
  return JSON.parse(text);
}

/** The table of a growth run. */
export function formatGrowth({ growth, machine, seconds, points }: GrowthResult): string {
  const lines = [[
    ...[growth, "insert/s", "p50 ms", "p99 ms", "server CPU µs", "disk bytes", "wire bytes"],
    ...["read/s", "p50 ms", "p99 ms", "server CPU µs", "leader MiB"],
  ]];
  for (const { size, insert, read } of points) {
    const figures = [
      ...[insert.operationsPerSecond, insert.p50Ms, insert.p99Ms, insert.serverCpuUs],
      ...[insert.diskBytes, insert.wireBytes, read.operationsPerSecond, read.p50Ms, read.p99Ms],
      ...[read.serverCpuUs, read.leaderResidentMib],
    ];
    lines.push([size.toLocaleString("en-US"), ...figures.map(figure)]);
  }
  return `${machine}; ${seconds} s for each measurement\n\n${textTable(lines, 0)}`;
}

/** The plot of a growth run. */
export function plotGrowth({ growth, points }: GrowthResult): string {
  const series = (name: string, of: (point: GrowthPoint) => number | undefined) => ({
    name,
    points: points.map((point) => ({ x: point.size, y: of(point) ?? 0 })),
  });
  return linePlot(`Cost by ${growth}`, growth, [
    series("insert, median ms", ({ insert }) => insert.p50Ms),
    series("insert, p99 ms", ({ insert }) => insert.p99Ms),
    series("insert, server ms", ({ insert }) => insert.serverCpuUs / 1000),
    series("read, median ms", ({ read }) => read.p50Ms),
    series("read, p99 ms", ({ read }) => read.p99Ms),
    series("read, server ms", ({ read }) => read.serverCpuUs / 1000),
  ]);
}
