/** The plots of a run. */
import type { Measurement } from "./measurement.ts";
import { barPlot } from "./plot.ts";
import type { Result } from "./report.ts";

/** File names and the SVG texts that belong there. */
export function plotsOf(result: Result): Readonly<Record<string, string>> {
  if (result.rows.length === 0) return {};
  const groups = (key: keyof Measurement, every: boolean) =>
    [...new Set(result.rows.map((row) => row.workload))]
      .filter((workload) => every || !workload.endsWith("-open"))
      .map((workload) => ({
        label: workload,
        bars: result.rows.filter((row) => row.workload === workload)
          .map((row) => ({ name: row.system, value: Number(row.measurement[key] ?? 0) })),
      }))
      .filter((group) => group.bars.some((bar) => bar.value > 0));
  return {
    "throughput.svg": barPlot("Throughput", "operations/s", groups("operationsPerSecond", false)),
    "latency.svg": barPlot("Latency, 99 of 100 are below", "ms", groups("p99Ms", true)),
    "processor.svg": barPlot("Processor time of all servers", "µs", groups("serverCpuUs", true)),
  };
}
