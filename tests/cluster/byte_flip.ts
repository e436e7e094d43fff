/**
 * Three nodes take writes while one after another is stopped, finds one byte of Raft's own files
 * changed, and is started again. It serves again with everything in place, or it refuses to start
 * and names file and offset; then an operator replaces it. `bun tests/cluster/byte_flip.ts --flips
 * 300 --seed 1` does so 300 times and prints what came of it.
 */
import { expect } from "bun:test";
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { below, type Random, SeededRandom } from "../../lib/base/random.ts";
import { countVoters, type NodeProcess } from "../../lib/demo/nodes.ts";
import { integer, query } from "../../lib/demo/sql.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { type Flip, FLIP_CLASSES, flipByte } from "./flip_place.ts";
import { onCluster, run, type Stage, START_TIMEOUT_MS } from "./harness.ts";
import { Writers, WRITTEN_TABLE } from "./writers.ts";

const CLIENTS = 2;
const WRITE_PAUSE_MS = 40;
const READ_PAUSE_MS = 20;
/** Writes that must be acknowledged between two rounds. */
const WRITES_BETWEEN = 5;
/** Acknowledged rows that one read looks for. */
const READ_ROWS = 64;
/** Large rows at the start, so that the log has more than one segment. */
const LARGE_ROWS = 24;
const LARGE_ROW = "INSERT INTO large VALUES(randomblob(1000000))";
const MENDED = /mended|repair|recover|damage|torn|cut off/i;

/** What came of one changed byte. */
export interface FlipOutcome {
  readonly flip: Flip;
  readonly type: "harmless" | "mended" | "refused";
  /** What the node said. */
  readonly words: string;
}

/** Changes `count` bytes, one after another, and holds the cluster to its promises throughout. */
export async function flipBytes(options: {
  readonly count: number;
  readonly seed: number;
  readonly tell?: (line: string) => void;
}): Promise<readonly FlipOutcome[]> {
  const outcomes: FlipOutcome[] = [];
  await onCluster({}, async (stage) => {
    const random = new SeededRandom(options.seed);
    const nodes = [...stage.nodes];
    await run(nodes[0]!, WRITTEN_TABLE);
    await run(nodes[0]!, "CREATE TABLE large(x)");
    for (let i = 0; i < LARGE_ROWS; i++) await run(nodes[0]!, LARGE_ROW);
    for (const node of nodes) await node.checkpoint();
    const writers = new Writers(nodes, CLIENTS, WRITE_PAUSE_MS);
    const reader = new Reader(nodes, writers, random);
    writers.start();
    reader.start();
    try {
      for (let round = 0; round < options.count; round++) {
        const outcome = await flipOnce({ stage, nodes, writers, round, random });
        outcomes.push(outcome);
        options.tell?.(`${round + 1}: ${describe(outcome)}`);
      }
    } finally {
      await reader.stop();
      await writers.stop();
    }
    for (const node of nodes) await writers.check(node);
  });
  return outcomes;
}

interface Round {
  readonly stage: Stage;
  readonly nodes: NodeProcess[];
  readonly writers: Writers;
  readonly round: number;
  readonly random: Random;
}

async function flipOnce(options: Round): Promise<FlipOutcome> {
  const { nodes, writers, round, random } = options;
  const at = round % nodes.length;
  const others = nodes.filter((_, i) => i !== at);
  const nodeId = (await nodes[at]!.cluster()).nodeId;
  if (Math.floor(round / nodes.length) % 2 === 0) await nodes[at]!.kill();
  else await nodes[at]!.stop();
  const before = writers.acknowledged.length;
  await waitUntil("the other two take writes", START_TIMEOUT_MS, () => {
    return writers.acknowledged.length >= before + WRITES_BETWEEN;
  });
  const flip = flipByte(nodes[at]!.folder, random);
  const node = await startWith(options, at);
  await waitUntil(
    `${node.name} serves or refuses after ${place(flip)}`,
    START_TIMEOUT_MS,
    async () => {
      return !node.running || await node.ready();
    },
  );
  let type: FlipOutcome["type"] = "harmless";
  let words = "";
  if (node.running) {
    await waitUntil("all three vote", START_TIMEOUT_MS, () => allVote(nodes));
    words = node.output.split("\n").find((line) => MENDED.test(line)) ?? "";
    if (words !== "") type = "mended";
    await requireSound(nodes, writers, node);
  } else {
    type = "refused";
    await node.exited;
    words = node.output.split("\n").find((line) => line.startsWith("Error: ")) ?? "";
    const named = [...words.matchAll(/(\/\S+?)(?: and \S+)? is damaged at offset (\d+)/g)];
    expect(`${place(flip)}: ${node.output}`).toContain("is damaged at offset");
    expect(named.some(([, path]) => path!.startsWith(node.folder))).toBe(true);
    await replace(options, at, { nodeId, others });
  }
  return { flip, type, words };
}

/** The same folder and ports, a process of its own. */
async function startWith({ stage, nodes }: Round, at: number): Promise<NodeProcess> {
  const { name, folder, address, url } = nodes[at]!;
  const node = await stage.addNode(name, {
    folder,
    listenPort: Number(address.split(":")[1]),
    httpPort: Number(new URL(url).port),
    join: nodes.filter((_, i) => i !== at).map((other) => other.address),
  });
  nodes[at] = node;
  await node.start();
  return node;
}

/** What an operator does with a node that refuses to start. */
async function replace(
  options: Round,
  at: number,
  { nodeId, others }: { readonly nodeId: number; readonly others: readonly NodeProcess[] },
): Promise<void> {
  await waitUntil(`node ${nodeId} is removed`, START_TIMEOUT_MS, async () => {
    const views = await Promise.all(others.map((node) => node.cluster()));
    const leader = others[views.findIndex((view) => view.role === "leader")];
    if (leader === undefined) return false;
    if (!views.some((view) => view.members.some(({ id }) => id === nodeId))) return true;
    await remove(leader, nodeId);
    return false;
  });
  rmSync(options.nodes[at]!.folder, { recursive: true });
  const fresh = await startWith(options, at);
  await fresh.waitReady(START_TIMEOUT_MS);
  await waitUntil("all three vote", START_TIMEOUT_MS, () => allVote(options.nodes));
  await requireSound(options.nodes, options.writers, fresh);
}

async function remove(leader: NodeProcess, id: number): Promise<void> {
  const response = await fetch(`${leader.url}/cluster/remove`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id }),
    signal: AbortSignal.timeout(START_TIMEOUT_MS),
  });
  await response.arrayBuffer();
}

async function allVote(nodes: readonly NodeProcess[]): Promise<boolean> {
  const views = await Promise.all(nodes.map((node) => node.cluster()));
  return new Set(views.map((view) => view.leader?.id)).size === 1 &&
    views.every((view) => countVoters(view) === nodes.length && view.members.length === 3);
}

/** The node holds all that was acknowledged; all databases are equal at one index, page by page. */
async function requireSound(
  nodes: readonly NodeProcess[],
  writers: Writers,
  node: NodeProcess,
): Promise<void> {
  await writers.whileNobodyWrites(async () => {
    const digests = await waitUntil("all are at one index", START_TIMEOUT_MS, async () => {
      const views = await Promise.all(nodes.map((node) => node.cluster()));
      const index = Math.max(...views.map((view) => view.commitIndex));
      const found = await Promise.all(nodes.map((node) => node.digest(index)));
      return new Set(found.map((digest) => digest.index)).size === 1 && found;
    });
    if (new Set(digests.map((digest) => digest.sha256)).size !== 1) {
      const again = await Promise.all(nodes.map((node) => node.digest()));
      const views = await Promise.all(nodes.map((node) => node.cluster()));
      const roles = views.map(({ role, term, commitIndex, appliedIndex }) => ({
        role,
        term,
        commitIndex,
        appliedIndex,
      }));
      const told = { digests, again, roles };
      throw new Error(`The databases differ: ${JSON.stringify(told, undefined, 2)}`);
    }
    await writers.check(node);
  });
}

/** Asks nodes, one after another, for rows that were acknowledged before. */
class Reader {
  readonly #nodes: readonly NodeProcess[];
  readonly #writers: Writers;
  readonly #random: Random;
  #stopped = false;
  #done: Promise<void> = Promise.resolve();
  /** Answers that were given, and those that were wrong. */
  answers = 0;
  readonly #wrong: string[] = [];

  constructor(nodes: readonly NodeProcess[], writers: Writers, random: Random) {
    this.#nodes = nodes;
    this.#writers = writers;
    this.#random = new SeededRandom(random.next());
  }

  start(): void {
    this.#done = this.#read();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    expect(this.#wrong).toEqual([]);
    expect(this.answers).toBeGreaterThan(0);
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      const node = this.#nodes[below(this.#random, this.#nodes.length)]!;
      const asked = this.#writers.acknowledged.slice(-READ_ROWS);
      const sql = `SELECT count(DISTINCT n) FROM written WHERE n IN (${asked.map(() => "?")})`;
      const reply = await query(node.url, sql, asked.map(integer));
      if (reply.type === "ok") {
        this.answers++;
        const found = Number((reply.results[0]!.rows[0]![0] as { readonly value: string }).value);
        if (found !== asked.length) {
          this.#wrong.push(
            `${node.name} found ${found} of ${asked.length} rows up to ${asked.at(-1)}`,
          );
        }
      }
      await pause(READ_PAUSE_MS);
    }
  }
}

function place({ path, offset, before, after }: Flip): string {
  return `${path} at ${offset}: ${before} became ${after}`;
}

function describe({ flip, type, words }: FlipOutcome): string {
  return `${flip.class}, ${place(flip)}: ${type} ${words}`;
}

/** How often each came of each. */
export function flipTable(outcomes: readonly FlipOutcome[]): string {
  const types = ["harmless", "mended", "refused"] as const;
  const rows = FLIP_CLASSES.map((name) => {
    const own = outcomes.filter(({ flip }) => flip.class === name);
    const counts = types.map((type) => own.filter((outcome) => outcome.type === type).length);
    return `| ${[name, own.length, ...counts].join(" | ")} |`;
  });
  return [`| file | flips | ${types.join(" | ")} |`, "|---|---|---|---|---|", ...rows].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      flips: { type: "string", default: "300" },
      seed: { type: "string", default: "1" },
    },
  });
  const began = performance.now();
  const outcomes = await flipBytes({
    count: Number(values.flips),
    seed: Number(values.seed),
    tell: console.log,
  });
  console.log(flipTable(outcomes));
  console.log(`seed ${values.seed}, ${Math.round((performance.now() - began) / 1000)} s`);
}
