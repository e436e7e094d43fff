import { systemClock } from "../io/clock.ts";
import { standardOutput } from "../io/process.ts";
import type { ChaosCount } from "./chaos.ts";
import type { Ledger } from "./ledger.ts";
import type { LocalCluster, NodeProcess } from "./nodes.ts";
import { pause } from "./wait.ts";

const TERMINAL_INTERVAL_MS = 250;
const LINE_INTERVAL_MS = 3_000;

/** Shows how the demo goes on until the signal comes: one line, refreshed, on a terminal. */
export async function showProgress(
  write: (text: string) => void,
  cluster: LocalCluster,
  ledger: Ledger,
  chaos: ChaosCount,
  signal: AbortSignal,
): Promise<void> {
  const terminal = standardOutput.isTerminal;
  const startMs = systemClock.nowMs();
  let before = { atMs: startMs, rows: 0 };
  while (!signal.aborted) {
    await pause(terminal ? TERMINAL_INTERVAL_MS : LINE_INTERVAL_MS, signal);
    const nodes = await Promise.all(cluster.nodes.map(describeNode));
    const now = { atMs: systemClock.nowMs(), rows: ledger.rowsAcknowledged };
    const perSecond = (now.rows - before.rows) / (now.atMs - before.atMs) * 1000;
    const line = [
      `${((now.atMs - startMs) / 1000).toFixed(0)} s`,
      ...nodes.map((node) => node.text),
      `term ${Math.max(...nodes.map((node) => node.term))}`,
      `${count(now.rows)} rows (${count(perSecond)}/s)`,
      `${chaos.kills} kills (${chaos.leaderKills} of the leader)`,
      `${count(ledger.count("rejected"))} refused`,
      `${count(ledger.count("unknown"))} unknown`,
    ].join("  ");
    write(terminal ? `\r${line.slice(0, standardOutput.columns - 1)}\x1b[K` : `${line}\n`);
    before = now;
  }
  if (terminal) write("\n");
}

async function describeNode(node: NodeProcess): Promise<{ text: string; term: number }> {
  if (!node.running) return { text: `${node.name} down`, term: 0 };
  try {
    const { role, term } = await node.cluster();
    return { text: `${node.name} ${role}`, term };
  } catch {
    return { text: `${node.name} starting`, term: 0 };
  }
}

/** A whole number with its thousands apart. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
