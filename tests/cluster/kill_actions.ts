/**
 * What a node does when it is killed, one object for each. To have another feature killed, add an
 * action here.
 */
import { rmSync } from "node:fs";
import { below, type Random } from "../../lib/base/random.ts";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { integer, query } from "../../lib/demo/sql.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { number, post, run, type Stage, START_TIMEOUT_MS } from "./harness.ts";

/** What an action works on. */
export interface Scene {
  readonly stage: Stage;
  readonly nodes: readonly NodeProcess[];
  readonly random: Random;
  /** A number that no other round has. */
  readonly round: number;
}

/** Something that is cut off at a random moment. */
export interface Action {
  readonly name: string;
  /** The moment comes within this time; undefined to let the action come to its end first. */
  readonly withinMs?: number;
  /** Tables it needs. */
  readonly schema?: readonly string[];
  /** Draws whom to kill. */
  victims(scene: Scene): Promise<readonly NodeProcess[]>;
  /** Begins it. An error counts only when it comes to its end. */
  begin(scene: Scene, victims: readonly NodeProcess[]): Promise<void>;
  /** Brings those back who were killed; by default they are started, and that is all. */
  after?(scene: Scene, victims: readonly NodeProcess[]): Promise<void>;
  /** What came of the last time, in a few words. */
  said?(): string;
  /** What is wrong at a node once all is quiet; nothing when nothing is. */
  problems?(node: NodeProcess): Promise<readonly string[]>;
}

/** Rows of one transaction of the action `large`: about 10 MB, several entries of the log. */
const LARGE_ROWS = 1_000;
const LARGE_INSERT = `WITH RECURSIVE r(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM r
  WHERE i < ${LARGE_ROWS}) INSERT INTO large SELECT ?1, i, randomblob(10000) FROM r`;
/** Rounds of which the rows stay. */
const LARGE_KEPT = 2;
/** The log is kept whole, so who joins after many rounds has much to take. */
export const COMEBACK_TIMEOUT_MS = 120_000;
const STARTS_MAX = 3;
const START_KILL_MS = 900;

function pick<T>(random: Random, items: readonly T[]): T {
  return items[below(random, items.length)]!;
}

function anyone({ random, nodes }: Scene): Promise<readonly NodeProcess[]> {
  return Promise.resolve([pick(random, nodes)]);
}

/** Nothing but the clients' writes: the log, replication, and apply. */
const writing: Action = {
  name: "writing",
  withinMs: 400,
  victims: anyone,
  begin: () => Promise.resolve(),
};

const leader: Action = {
  name: "leader",
  withinMs: 400,
  victims: async ({ stage }) => [await stage.cluster.leader(START_TIMEOUT_MS)],
  begin: () => Promise.resolve(),
};

const everybody: Action = {
  name: "everybody",
  withinMs: 400,
  victims: ({ nodes }) => Promise.resolve(nodes),
  begin: () => Promise.resolve(),
};

const checkpoint: Action = {
  name: "checkpoint",
  withinMs: 150,
  victims: anyone,
  begin: (_, [victim]) => victim!.checkpoint(),
};

/** A transaction of several entries, at the leader or at one who applies it. */
const large: Action = {
  name: "large",
  withinMs: 2_000,
  schema: [
    "CREATE TABLE large(round INTEGER, i INTEGER, x BLOB)",
    "CREATE INDEX large_by_round ON large(round, i)",
  ],
  victims: anyone,
  async begin({ round, nodes, random }) {
    const { url } = pick(random, nodes);
    await query(url, "DELETE FROM large WHERE round < ?", [integer(round - LARGE_KEPT)]);
    await query(url, LARGE_INSERT, [integer(round)]);
  },
  async problems(node) {
    const half = "SELECT count(*) FROM (SELECT round FROM large GROUP BY round " +
      `HAVING count(*) <> ${LARGE_ROWS} OR count(DISTINCT i) <> ${LARGE_ROWS})`;
    const count = await number(node, half);
    return count === 0 ? [] : [`${count} large transactions are there in part`];
  },
};

/** Killed again and again while it starts. */
const starting: Action = {
  name: "starting",
  withinMs: 100,
  victims: anyone,
  begin: () => Promise.resolve(),
  async after({ random }, victims) {
    for (let times = 1 + below(random, STARTS_MAX); times > 0; times--) {
      for (const victim of victims) {
        await victim.start();
        await pause(below(random, START_KILL_MS));
        await victim.kill();
      }
    }
    for (const victim of victims) await victim.start();
  },
};

/** A node that joins, is killed on the way, is started again until it votes, and is removed. */
const joining: Action = {
  name: "joining",
  withinMs: 1_500,
  async victims({ stage, nodes, round }) {
    return [await stage.addNode(`j${round}`, { join: nodes.map(({ address }) => address) })];
  },
  begin: (_, [joiner]) => joiner!.start(),
  async after({ nodes, stage }, [joiner]) {
    await joiner!.start();
    await joiner!.waitReady(COMEBACK_TIMEOUT_MS);
    const { nodeId } = await joiner!.cluster();
    await waitUntil("who joined votes", COMEBACK_TIMEOUT_MS, async () => {
      const { members } = await nodes[0]!.cluster();
      return members.some(({ id, role }) => id === nodeId && role === "voter");
    });
    const count = await number(joiner!, "SELECT count(*) FROM written");
    if (count === 0) throw new Error(`${joiner!.name} holds nothing`);
    const steady = await stage.cluster.leader(COMEBACK_TIMEOUT_MS).catch(() => nodes[0]!);
    await post(steady, "/cluster/remove", { id: nodeId });
    await joiner!.exited;
    rmSync(joiner!.folder, { recursive: true, force: true });
  },
};

/** All of them, in the order in which rounds take them. */
export const ACTIONS: readonly Action[] = [
  writing,
  checkpoint,
  large,
  starting,
  leader,
  joining,
  everybody,
];

/** Makes the tables that actions need. */
export async function makeTables(node: NodeProcess, actions: readonly Action[]): Promise<void> {
  for (const sql of actions.flatMap(({ schema }) => schema ?? [])) await run(node, sql);
}
