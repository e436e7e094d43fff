/**
 * Three nodes take writes while one of them, or all, are killed at a random moment of something
 * that they do: `kill_actions.ts` has the list. Whoever was killed comes back; every acknowledged
 * row is there exactly once, every replica is whole and the same. `bun
 * tests/cluster/kill_anywhere.ts --rounds 500 --seed 1` does so 500 times; `--actions
 * checkpoint,large` only those; `--faults` has the machine fail instead (`fault_actions.ts`).
 */
import { parseArgs } from "node:util";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { onCluster, run, START_TIMEOUT_MS } from "./harness.ts";
import { FAULT_ACTIONS } from "./fault_actions.ts";
import {
  type Action,
  ACTIONS,
  COMEBACK_TIMEOUT_MS,
  makeTables,
  type Scene,
} from "./kill_actions.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const CLIENTS = 4;
const WRITE_PAUSE_MS = 5;
/** Writes that must be acknowledged before each kill. */
const WRITES_BEFORE = 10;

/** What was done, for a test to see that something was. */
export interface KillSummary {
  readonly rounds: number;
  readonly acknowledged: number;
  /** Kills, by action. */
  readonly kills: Readonly<Record<string, number>>;
}

/**
 * Kills in rounds, one action after another.
 *
 * @throws {Error} at the first promise that is broken.
 */
export async function killAnywhere(options: {
  readonly rounds: number;
  readonly seed: number;
  readonly actions?: readonly Action[];
  /** Rounds between two verdicts; there is one at the end in any case. */
  readonly verdictEvery?: number;
  readonly tell?: (line: string) => void;
}): Promise<KillSummary> {
  const { rounds, seed, actions = ACTIONS, verdictEvery = actions.length, tell } = options;
  const kills: Record<string, number> = {};
  let acknowledged = 0;
  await onCluster({}, async (stage) => {
    const { nodes } = stage;
    await run(nodes[0]!, WRITTEN_TABLE);
    await makeTables(nodes[0]!, actions);
    const writers = new Writers(nodes, CLIENTS, WRITE_PAUSE_MS);
    const random = new SeededRandom(seed);
    writers.start();
    try {
      for (let round = 1; round <= rounds; round++) {
        const action = actions[(round - 1) % actions.length]!;
        const scene = { stage, nodes, random, round };
        const what = await killOnce(action, scene, writers);
        kills[action.name] = (kills[action.name] ?? 0) + 1;
        tell?.(`${round}: ${what}`);
        if (round % verdictEvery !== 0 && round !== rounds) continue;
        await writers.whileNobodyWrites(() => verdict(nodes, writers, actions));
        tell?.(`${round}: ${writers.acknowledged.length} rows, all there, all replicas equal`);
      }
    } finally {
      await writers.stop();
    }
    acknowledged = writers.acknowledged.length;
  });
  return { rounds, acknowledged, kills };
}

async function killOnce(action: Action, scene: Scene, writers: Writers): Promise<string> {
  const { stage, random } = scene;
  const target = writers.acknowledged.length + WRITES_BEFORE;
  await waitUntil("the clients write", START_TIMEOUT_MS, () => {
    return writers.acknowledged.length >= target;
  });
  const victims = await action.victims(scene);
  const begun = action.begin(scene, victims);
  // What a killed node does not answer any more is no error.
  if (action.withinMs !== undefined) begun.catch(() => {});
  const atMs = action.withinMs === undefined ? undefined : below(random, action.withinMs);
  if (atMs === undefined) await begun;
  else await pause(atMs);
  await Promise.all(victims.map((victim) => victim.kill()));
  if (action.after === undefined) { for (const victim of victims) await victim.start(); }
  else await action.after(scene, victims);
  await begun.catch(() => {});
  await stage.cluster.waitReady(COMEBACK_TIMEOUT_MS);
  const said = atMs === undefined ? action.said?.() ?? "" : `killed at ${atMs} ms`;
  return `${action.name}: ${victims.map(({ name }) => name).join(", ")}: ${said}`;
}

/** @throws {Error} when a promise is broken. */
async function verdict(
  nodes: readonly NodeProcess[],
  writers: Writers,
  actions: readonly Action[],
): Promise<void> {
  for (const node of nodes) {
    await writers.check(node);
    const check = await run(node, "PRAGMA integrity_check");
    const problems = [];
    const [first] = check;
    if (check.length !== 1 || JSON.stringify(first).includes('"ok"') === false) {
      problems.push(`integrity_check: ${JSON.stringify(check.slice(0, 3))}`);
    }
    for (const action of actions) problems.push(...await action.problems?.(node) ?? []);
    if (problems.length > 0) throw new Error(`${node.name}: ${problems.join("; ")}`);
  }
  const { commitIndex } = await nodes[0]!.cluster();
  const digests = await Promise.all(nodes.map((node) => node.digest(commitIndex)));
  const different = digests.filter(({ index, sha256 }) =>
    index !== digests[0]!.index || sha256 !== digests[0]!.sha256
  );
  if (different.length > 0) throw new Error(`replicas differ: ${JSON.stringify(digests)}`);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "500" },
      seed: { type: "string", default: "1" },
      actions: { type: "string" },
      faults: { type: "boolean", default: false },
    },
  });
  const all = values.faults ? FAULT_ACTIONS : ACTIONS;
  const names = values.actions?.split(",") ?? all.map(({ name }) => name);
  const beganMs = performance.now();
  const summary = await killAnywhere({
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    actions: all.filter(({ name }) => names.includes(name)),
    tell: console.log,
  });
  const seconds = Math.round((performance.now() - beganMs) / 1000);
  console.log(`seed ${values.seed}, ${seconds} s: ${JSON.stringify(summary)}`);
}
