import { below, type Random } from "../base/random.ts";
import type { LocalCluster } from "./nodes.ts";
import { pause } from "./wait.ts";

/** Least time that all nodes run between two kills, in milliseconds, and what chance may add. */
const WHOLE_MS = 800;
const WHOLE_SPREAD_MS = 1_500;
/** Least time that a killed node stays away, in milliseconds, and what chance may add. */
const AWAY_MS = 200;
const AWAY_SPREAD_MS = 2_000;
/** Time a node gets to come back. */
const RETURN_TIMEOUT_MS = 30_000;

/** What chaos has done. */
export interface ChaosCount {
  kills: number;
  /** Kills of a node that led. */
  leaderKills: number;
}

/**
 * Kills one node at a time at random and starts it again, until the signal comes; then every node
 * runs again, or is about to.
 *
 * @throws {Error} when a node does not come back, with what it wrote.
 */
export async function runChaos(
  cluster: LocalCluster,
  random: Random,
  count: ChaosCount,
  signal: AbortSignal,
): Promise<void> {
  while (true) {
    await pause(WHOLE_MS + below(random, WHOLE_SPREAD_MS), signal);
    if (signal.aborted) return;
    const node = cluster.nodes[below(random, cluster.nodes.length)]!;
    const view = await node.cluster().catch(() => undefined);
    await node.kill();
    count.kills++;
    if (view?.role === "leader") count.leaderKills++;
    await pause(AWAY_MS + below(random, AWAY_SPREAD_MS), signal);
    await node.start();
    if (!signal.aborted) await node.waitReady(RETURN_TIMEOUT_MS);
  }
}
