/** Where searches begin, and what may happen in them. */
import { assert } from "../../../lib/base/assert.ts";
import { initialConfiguration } from "../../../lib/raft/configuration.ts";
import type { Entry, NodeId, Term } from "../../../lib/raft/types.ts";
import { commandEntry, memberOf } from "../harness.ts";
import { internEntry } from "./encode.ts";
import type { Letter, Nodes } from "./node.ts";
import type { Bounds, Move, Start, World } from "./model.ts";
import { advance, initialWorld } from "./world.ts";

/** A search: where it begins, and bounds. */
export interface Scenario {
  readonly name: string;
  /** The terms of each node's log after the configuration; everybody knows the latest. */
  readonly logs: readonly (readonly Term[])[];
  readonly standbys: readonly NodeId[];
  /**
   * Node 1 has won an election, which is not counted: just so, or also committed its first entry
   * everywhere.
   */
  readonly leader: "none" | "elected" | "established";
  readonly bounds: Bounds;
  /** Moves that the tests look ahead. */
  readonly depth: number;
}

const BOUNDS: Bounds = {
  campaigns: 2,
  proposals: 0,
  changes: 0,
  transfers: 0,
  beats: 0,
  crashes: 0,
  damages: 0,
  writes: 2,
  change: undefined,
};

function scenario(
  name: string,
  depth: number,
  bounds: Partial<Bounds>,
  start: Partial<Pick<Scenario, "logs" | "standbys" | "leader">> = {},
): Scenario {
  const { logs = [[], [], []], standbys = [], leader = "none" } = start;
  return { name, depth, logs, standbys, leader, bounds: { ...BOUNDS, ...bounds } };
}

const ESTABLISHED = { leader: "established" } as const;
const SECOND = { campaigns: 1, crashes: 1 };
/** Nodes 1 and 2 led terms 2 and 3, one after the other, and reached nobody. */
const DIVERGED = { logs: [[2], [3], []], leader: "elected" } as const;

export const SCENARIOS: readonly Scenario[] = [
  scenario("two elections", 11, { crashes: 1 }),
  scenario("an election after another", 11, SECOND, { leader: "elected" }),
  scenario("diverged logs", 12, { campaigns: 1 }, DIVERGED),
  scenario("diverged logs and heartbeats", 11, { campaigns: 0, beats: 1 }, DIVERGED),
  scenario("proposals", 9, { ...SECOND, proposals: 2 }, ESTABLISHED),
  scenario("heartbeats", 9, { ...SECOND, proposals: 1, beats: 2 }, ESTABLISHED),
  scenario("damage", 10, { campaigns: 1, proposals: 1, damages: 1 }, { leader: "elected" }),
  scenario("damage of one of two", 13, { campaigns: 1, proposals: 1, damages: 1 }, {
    logs: [[], []],
    leader: "elected",
  }),
  scenario("damage of one of four", 10, { campaigns: 1, damages: 1 }, {
    logs: [[], [], [], []],
    leader: "elected",
  }),
  scenario("removal", 9, { ...SECOND, changes: 1, change: "remove" }, ESTABLISHED),
  scenario("promotion", 11, { ...SECOND, changes: 1, change: "promote" }, {
    ...ESTABLISHED,
    standbys: [3],
  }),
  scenario("demotion", 9, { ...SECOND, changes: 1, change: "demote" }, ESTABLISHED),
  scenario("handover", 12, { ...SECOND, campaigns: 0, proposals: 1, transfers: 1 }, ESTABLISHED),
  scenario("everything", 11, {
    proposals: 2,
    changes: 1,
    change: "remove",
    transfers: 1,
    beats: 1,
    crashes: 1,
  }),
];

/** Where a scenario begins. */
export function startOf(nodes: Nodes, { logs, standbys, leader }: Scenario): Start {
  const members = logs.map((_, at) => memberOf(at + 1));
  const voters = members.filter(({ id }) => !standbys.includes(id));
  const configuration = { ...initialConfiguration(voters), standbys, members };
  const first: Entry = { type: "configuration", index: 1, term: 1, configuration };
  const term = Math.max(1, ...logs.flat());
  const world = initialWorld(logs.map((terms, at) => {
    const entries: Entry[] = [first];
    // All commands are alike here: those of one index and term are one leader's.
    for (const term of terms) entries.push(commandEntry(entries.length + 1, term, 9));
    const kept = { entries: entries.map(internEntry), promised: undefined };
    const disk = { term, votedFor: undefined, ...kept };
    return nodes.start(at + 1, disk);
  }));
  const position = (at: number) =>
    [logs[at], standbys.includes(at + 1), leader !== "none" && at === 0].join(";");
  const mirrors = logs.map((_, at) =>
    at > 0 && position(at) === position(at - 1) ? at - 1 : undefined
  );
  if (leader === "none") return { world, mirrors };
  return { world: elect(nodes, world, leader === "established"), mirrors };
}

/** Node 1 wins an election. What is delivered on the way is not delivered again. */
function elect(nodes: Nodes, initial: World, isEstablished: boolean): World {
  let world = perform(nodes, initial, { at: 0, input: { type: "campaign" } });
  const delivered = new Set<Letter>();
  for (let isBusy = true; isBusy;) {
    isBusy = false;
    for (const at of world.nodes.keys()) {
      while (world.nodes[at]!.writes.length > 0) {
        isBusy = true;
        world = perform(nodes, world, { at, input: { type: "sync" } });
      }
      for (const letter of world.inboxes[at]!) {
        const isDue = isEstablished || letter.message.type.startsWith("vote");
        if (!isDue || delivered.has(letter)) continue;
        delivered.add(letter);
        isBusy = true;
        world = perform(nodes, world, { at, input: { type: "deliver", letter } });
      }
    }
  }
  assert(world.nodes[0]!.core.leadership?.established === isEstablished, "node 1 does not lead");
  const inboxes = world.inboxes.map((inbox) => inbox.filter((letter) => !delivered.has(letter)));
  return { ...initialWorld(world.nodes), inboxes, committed: world.committed };
}

function perform(nodes: Nodes, world: World, move: Move): World {
  const successor = advance(nodes, world, move);
  assert(successor?.violation === undefined, `the start is broken: ${successor?.violation}`);
  return successor?.world ?? world;
}
