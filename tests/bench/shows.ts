/**
 * What is wanted, next to what was measured: ratios to peers in the same run, and the figures of
 * the design on a quiet machine.
 */
import type { Measurement } from "./measurement.ts";
import type { Result } from "./report.ts";
import { figure, textTable } from "./text_table.ts";

const OURS = "dqlite";
const OUR_READS = "dqlite linearizable";
const PEER = "rqlite";
const WEAK = "rqlite weak";
const STRONG = "rqlite strong";
const LOCAL = "sqlite synced";

/** Reads figures out of a result; undefined where the run did not measure them. */
class Figures {
  readonly #result: Result;

  constructor(result: Result) {
    this.#result = result;
  }

  of(workload: string, system: string, key: keyof Measurement): number | undefined {
    const row = this.#result.rows.find((row) => {
      return row.workload === workload && row.system === system;
    });
    const value = row?.measurement[key];
    return typeof value === "number" ? value : undefined;
  }

  rate(workload: string, system: string): number | undefined {
    return this.of(workload, system, "operationsPerSecond");
  }

  failover(system: string, key: "medianMs" | "maxMs"): number | undefined {
    return this.#result.failover[system]?.[key];
  }

  recovery(
    key: "followerRestartMs" | "freshNodeMs" | "coldStartMs" | "peakResidentMib",
  ): number | undefined {
    return this.#result.recovery[OURS]?.[key];
  }
}

interface Wish {
  readonly what: string;
  readonly sign: "≥" | "≤";
  readonly wanted: number;
  readonly got: number | undefined;
}

const atLeast = (what: string, wanted: number, got: number | undefined): Wish => ({
  what,
  sign: "≥",
  wanted,
  got,
});
const atMost = (what: string, wanted: number, got: number | undefined): Wish => ({
  what,
  sign: "≤",
  wanted,
  got,
});

function over(value: number | undefined, base: number | undefined): number | undefined {
  return value === undefined || base === undefined ? undefined : value / base;
}

/** Ratios to the peers of the same run. */
function ratios(f: Figures): Wish[] {
  const rates = (workload: string) => over(f.rate(workload, OURS), f.rate(workload, PEER));
  const reads = (workload: string, peer: string) =>
    over(f.rate(workload, OUR_READS), f.rate(workload, peer));
  const of = (key: keyof Measurement, workload: string) =>
    over(f.of(workload, OURS, key), f.of(workload, PEER, key));
  const tail = over(f.of("insert-64", OURS, "p99Ms"), f.of("insert-64", PEER, "p50Ms"));
  const failover = over(f.failover(OURS, "medianMs"), f.failover(PEER, "medianMs"));
  return [
    atLeast("insert-1, × rqlite", 3, rates("insert-1")),
    atMost("insert-1 p50, × rqlite", 0.4, of("p50Ms", "insert-1")),
    atLeast("insert-8, × rqlite", 5, rates("insert-8")),
    atLeast("insert-64, × rqlite", 4, rates("insert-64")),
    atMost("insert-64 CPU of all servers, × rqlite", 0.25, of("serverCpuUs", "insert-64")),
    atMost("insert-64 p99, × rqlite's p50", 1, tail),
    atLeast("transaction-1, × rqlite", 8, rates("transaction-1")),
    atLeast("transaction-8, × rqlite", 8, rates("transaction-8")),
    atLeast("read-1, × rqlite weak", 1.2, reads("read-1", WEAK)),
    atLeast("read-64, × rqlite weak", 2.5, reads("read-64", WEAK)),
    atLeast("read-1, × rqlite strong", 8, reads("read-1", STRONG)),
    atLeast("read-64, × rqlite strong", 8, reads("read-64", STRONG)),
    atLeast("scan-8, × rqlite weak", 5, reads("scan-8", WEAK)),
    atMost("failover median, × rqlite", 0.5, failover),
    atMost("insert-1 disk bytes of all nodes, × rqlite", 0.5, of("diskBytes", "insert-1")),
    atMost("insert-64 disk bytes of all nodes, × rqlite", 0.5, of("diskBytes", "insert-64")),
    atLeast(
      "insert-64, × plain SQLite synced",
      1,
      over(f.rate("insert-64", OURS), f.rate("insert-1", LOCAL)),
    ),
  ];
}

/** Figures of the design; they mean something on the machine they were written for, quiet. */
function figures(f: Figures): Wish[] {
  const rate = (workload: string) => f.rate(workload, OURS) ?? f.rate(workload, OUR_READS);
  return [
    atLeast("insert-1, ops/s", 1_600, rate("insert-1")),
    atMost("insert-1 p50, ms", 0.6, f.of("insert-1", OURS, "p50Ms")),
    atLeast("insert-8, ops/s", 8_000, rate("insert-8")),
    atLeast("insert-64, ops/s", 20_000, rate("insert-64")),
    atMost("insert-64 CPU of all servers, µs", 80, f.of("insert-64", OURS, "serverCpuUs")),
    atLeast("transaction-1, ops/s", 1_200, rate("transaction-1")),
    atLeast("transaction-8, ops/s", 2_400, rate("transaction-8")),
    atLeast("read-1, ops/s", 6_000, rate("read-1")),
    atLeast("read-8, ops/s", 20_000, rate("read-8")),
    atLeast("read-64, ops/s", 40_000, rate("read-64")),
    atLeast("scan-1, ops/s", 1_200, rate("scan-1")),
    atLeast("scan-8, ops/s", 3_000, rate("scan-8")),
    atMost("failover median, ms", 1_000, f.failover(OURS, "medianMs")),
    atMost("failover max, ms", 2_000, f.failover(OURS, "maxMs")),
    atMost("recovery follower restart, ms", 300, f.recovery("followerRestartMs")),
    atMost("recovery fresh node, ms", 1_500, f.recovery("freshNodeMs")),
    atMost("recovery cold start, ms", 1_500, f.recovery("coldStartMs")),
    atMost("recovery highest memory of a node, MiB", 200, f.recovery("peakResidentMib")),
  ];
}

/** Both tables; lines that were not measured stand there with nothing. */
export function formatShows(result: Result): string {
  const f = new Figures(result);
  const table = (title: string, wishes: readonly Wish[]) => {
    const lines = [[title, "wanted", "measured", "reached"]];
    for (const { what, sign, wanted, got } of wishes) {
      const reached = got === undefined ? "" : (sign === "≥" ? got >= wanted : got <= wanted);
      const word = reached === "" ? "" : reached ? "yes" : "no";
      lines.push([what, `${sign} ${figure(wanted)}`, figure(got), word]);
    }
    return textTable(lines, 1);
  };
  return `${table("ratio", ratios(f))}\n\n${table("figure", figures(f))}`;
}
