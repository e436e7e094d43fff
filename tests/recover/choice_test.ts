import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { EntryTable } from "../../lib/log/entry_table.ts";
import { EMPTY_CONFIGURATION, isJoint } from "../../lib/raft/configuration.ts";
import type { Configuration, Entry } from "../../lib/raft/types.ts";
import { choose } from "../../lib/recover/choice.ts";
import type { Survivor } from "../../lib/recover/survivor.ts";
import { type Chain, CHAIN_START, chainNext } from "../../lib/wire/chain.ts";
import { runSimulation } from "../raft/simulation.ts";

const SEEDS = Number(process.env["SEEDS"] ?? 150);
const STEPS = 3000;
const CLUSTER = "0123456789abcdef0123456789abcdef";

interface Written {
  readonly term: number;
  readonly configuration?: Configuration;
  /** Tells two entries of one place apart. */
  readonly mark?: number;
}

function tableOf(entries: readonly Written[]): EntryTable {
  const table = new EntryTable({ index: 0, term: 0, chain: CHAIN_START });
  let chain: Chain = CHAIN_START;
  entries.forEach(({ term, configuration, mark = 0 }, at) => {
    const type = configuration === undefined ? "command" : "configuration";
    const head = { index: at + 1, term, type, bodySizeBytes: 0, checksum: mark } as const;
    chain = chainNext(chain, head);
    table.push({ index: at + 1, term, chain }, 0, configuration);
  });
  return table;
}

interface Left {
  readonly whole?: boolean;
  readonly usable?: boolean;
  readonly clusterId?: string;
  readonly completeIndex?: number;
  readonly diverged?: number;
}

/** What node `nodeId` left behind, as if it had been read from its folder. */
function survivor(nodeId: number, entries: readonly Written[], left: Left = {}): Survivor {
  const { whole = true, usable = true, clusterId = CLUSTER, completeIndex = 1 } = left;
  const table = tableOf(entries);
  const { last, configuration } = table;
  return {
    dir: `d${nodeId}`,
    nodeId,
    clusterId,
    problems: [],
    voter: whole ? { last, configuration } : undefined,
    recovering: false,
    source: usable && table.lastIndex > 0
      ? {
        base: table.base,
        tables: [table],
        completeIndex,
        freshDatabase: false,
        diverged: left.diverged,
        last,
        configuration,
      }
      : new DatabaseError("CORRUPT", "of no use"),
    tables: [table],
    files: undefined as never,
    term: last.term,
    close: () => {},
  };
}

function voters(...ids: number[]): Configuration {
  const members = ids.map((id) => ({ id, address: `n${id}:1`, httpUrl: `http://n${id}` }));
  return { ...EMPTY_CONFIGURATION, voters: ids, members };
}

/** A log that begins with a configuration, then has entries of these terms. */
function log(configuration: Configuration, ...terms: number[]): Written[] {
  return [{ term: 1, configuration }, ...terms.map((term) => ({ term }))];
}

const THREE = voters(1, 2, 3);

test("the latest term goes before the longest log", () => {
  const choice = choose([survivor(1, log(THREE, 1, 1, 1, 1)), survivor(2, log(THREE, 1, 2))]);
  expect(choice.chosen.nodeId).toBe(2);
  expect(choice.why).toContain("latest term, 2");
  expect(choice.losses).toEqual([]);
});

test("of one term the longest log is taken", () => {
  const choice = choose([survivor(1, log(THREE, 1, 1)), survivor(2, log(THREE, 1, 1, 1))]);
  expect([choice.chosen.nodeId, choice.losses]).toEqual([2, []]);
});

test("of equal logs the whole one is taken", () => {
  const cut = survivor(1, log(THREE, 1), { whole: false });
  const choice = choose([cut, survivor(2, log(THREE, 1)), survivor(3, log(THREE))]);
  expect([choice.chosen.nodeId, choice.losses]).toEqual([2, []]);
});

test("a minority cannot vouch for anything", () => {
  const { losses } = choose([survivor(2, log(THREE, 1))]);
  expect(losses).toEqual([{ type: "voters", missing: [1, 3], voters: [1, 2, 3], joint: false }]);
});

test("a node that may have forgotten does not count", () => {
  const cut = survivor(1, log(THREE, 1, 1), { whole: false });
  const { chosen, losses } = choose([cut, survivor(2, log(THREE, 1))]);
  expect(chosen.nodeId).toBe(1);
  expect(losses).toEqual([{ type: "voters", missing: [1, 3], voters: [1, 2, 3], joint: false }]);
});

test("a node that does not vote does not count, and may be taken", () => {
  const standby = survivor(4, log(THREE, 1, 1));
  const { chosen, losses } = choose([standby, survivor(1, log(THREE)), survivor(2, log(THREE))]);
  expect([chosen.nodeId, losses]).toEqual([4, []]);
  expect(choose([standby, survivor(1, log(THREE))]).losses).not.toEqual([]);
});

test("in the middle of a change a majority of both halves is needed", () => {
  const joint = { ...voters(1, 2, 3, 4), voters: [1, 2, 4], votersOutgoing: [1, 2, 3] };
  expect(choose([survivor(1, log(joint)), survivor(2, log(joint))]).losses).toEqual([]);
  expect(choose([survivor(1, log(joint)), survivor(4, log(joint))]).losses).toEqual([
    { type: "voters", missing: [2, 3], voters: [1, 2, 3, 4], joint: true },
  ]);
});

test("the configuration that counts is the latest one, committed or not", () => {
  const grown = [...log(voters(1)), { term: 1, configuration: THREE }];
  expect(choose([survivor(1, grown)]).losses).toMatchObject([{ missing: [2, 3] }]);
});

test("a lone voter that is whole loses nothing", () => {
  expect(choose([survivor(1, log(voters(1), 1, 1))]).losses).toEqual([]);
  expect(choose([survivor(1, log(voters(1), 1, 1), { whole: false })]).losses).not.toEqual([]);
});

test("a longer log of which nothing can be made is a loss", () => {
  const useless = survivor(1, log(THREE, 1, 3), { usable: false });
  const { chosen, losses } = choose([useless, survivor(2, log(THREE, 1, 1))]);
  expect(chosen.nodeId).toBe(2);
  expect(losses).toEqual([{ type: "entries", dir: "d1", first: 3, last: 3 }]);
});

test("two logs that hold different entries of one term make everything doubtful", () => {
  const one = [...log(THREE, 1), { term: 1, mark: 7 }];
  const { losses } = choose([survivor(1, one), survivor(2, log(THREE, 1, 1, 1))]);
  expect(losses).toContainEqual({ type: "contradiction", dir: "d1", index: 3 });
});

test("folders of two clusters, or two of one node, are refused", () => {
  const other = survivor(2, log(THREE), { clusterId: CLUSTER.replace("0", "f") });
  expect(() => choose([survivor(1, log(THREE)), other])).toThrow("of cluster");
  expect(() => choose([survivor(1, log(THREE)), survivor(1, log(THREE))])).toThrow(
    "both of node 1",
  );
});

function written(entry: Entry): Written {
  const { term } = entry;
  const mark = markOf(entry);
  return entry.type === "configuration"
    ? { term, mark, configuration: entry.configuration }
    : { term, mark };
}

const marks = new WeakMap<Entry, number>();
let lastMark = 0;

/** The same number for the same entry, wherever it is held. */
function markOf(entry: Entry): number {
  const mark = marks.get(entry) ?? ++lastMark;
  marks.set(entry, mark);
  return mark;
}

test("what is certain is certain: no subset of any cluster loses a committed entry unsaid", () => {
  const seen = { certain: 0, joint: 0, cut: 0, doubtful: 0, lost: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed + 1_000_000);
    runSimulation(seed, STEPS, (cluster, committed) => {
      const here = [...cluster.nodes.values()].filter(() => below(random, 2) === 0);
      const entriesOf = new Map<number, readonly Entry[]>();
      let anyCut = false;
      const survivors = here.map(({ id, durable: { entries } }) => {
        // Damage cuts a log somewhere; where that is seen, the node is not whole.
        const isCut = entries.length > 0 && below(random, 4) === 0;
        const kept = isCut ? entries.slice(0, below(random, entries.length + 1)) : entries;
        entriesOf.set(id, kept);
        anyCut ||= isCut;
        return survivor(id, kept.map(written), { whole: !isCut, completeIndex: 0 });
      });
      if (!survivors.some(({ source }) => !(source instanceof DatabaseError))) return;
      const { chosen, losses, configuration } = choose(survivors);
      const held = entriesOf.get(chosen.nodeId)!;
      const isAllThere = committed.every((entry, at) => held[at] === entry);
      if (losses.length === 0) {
        seen.certain++;
        if (isJoint(configuration)) seen.joint++;
        if (anyCut) seen.cut++;
        if (!isAllThere) throw new Error(`seed ${seed}: committed entries are missing`);
      } else {
        seen.doubtful++;
        if (!isAllThere) seen.lost++;
      }
      expect(losses.filter(({ type }) => type === "contradiction")).toEqual([]);
    });
  }
  if (process.env["VERBOSE"] === "1") console.log(seen);
  expect(Object.entries(seen).filter(([, count]) => count < SEEDS / 10)).toEqual([]);
}, 120_000);

test("a database that differed is the last to be taken, and said to have wrong pages", () => {
  const wrong = survivor(1, log(THREE, 1, 1), { completeIndex: 3, diverged: 2 });
  const right = choose([wrong, survivor(2, log(THREE, 1, 1))]);
  expect([right.chosen.nodeId, right.losses]).toEqual([2, []]);
  const { chosen, losses } = choose([wrong, survivor(2, log(THREE, 1))]);
  expect([chosen.nodeId, losses]).toEqual([1, [{ type: "pages", dir: "d1", index: 2 }]]);
});
