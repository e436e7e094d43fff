/** What must not happen: elections in a cluster that works, and no progress where some is due. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../lib/base/random.ts";
import type { NodeId } from "../../lib/raft/types.ts";
import { Cluster, type Envelope } from "./harness.ts";

type Link = (from: NodeId, to: NodeId) => boolean;

const ALL: Link = () => true;

function start(size: number, seed: number): Cluster {
  const random = (id: NodeId) => new SeededRandom(seed * 100 + id);
  const cluster = new Cluster({ random });
  cluster.bootstrap(Array.from({ length: size }, (_, at) => at + 1));
  return cluster;
}

/** Lets time pass: every tick, everything is delivered and synced until nothing moves. */
function run(cluster: Cluster, ticks: number, link: Link): void {
  for (let tick = 0; tick < ticks; tick++) {
    for (const { raft } of cluster.running) raft?.tick();
    for (let busy = true; busy;) {
      busy = false;
      for (const { id } of cluster.running) {
        if (cluster.process(id) !== undefined) busy = true;
        while (cluster.sync(id)) busy = true;
      }
      const envelopes: Envelope[] = cluster.network.splice(0);
      if (envelopes.length > 0) busy = true;
      for (const envelope of envelopes) {
        if (link(envelope.from, envelope.to)) cluster.deliver(envelope);
      }
    }
  }
}

function leaders(cluster: Cluster): NodeId[] {
  return cluster.running.filter(({ raft }) => raft?.established).map(({ id }) => id);
}

function terms(cluster: Cluster): number[] {
  return cluster.running.map(({ raft }) => raft?.term ?? 0);
}

/** Proposes on whoever leads; returns whether it is committed within an election timeout. */
function commits(cluster: Cluster, link: Link): boolean {
  const [id] = leaders(cluster);
  if (id === undefined) return false;
  const raft = cluster.raft(id);
  const result = raft.propose([{ payload: new Uint8Array(1), checksum: 0 }]);
  run(cluster, 20, link);
  return result.accepted && raft.commitIndex >= result.index;
}

test("a cluster that works holds one election", () => {
  for (const size of [1, 2, 3, 5]) {
    const cluster = start(size, 1);
    run(cluster, 100, ALL);
    const before = terms(cluster);
    const leader = leaders(cluster);
    expect(leader).toHaveLength(1);
    run(cluster, 3000, ALL);
    expect(terms(cluster)).toEqual(before);
    expect(leaders(cluster)).toEqual(leader);
  }
});

test("a node that comes back, with an old log or none heard, disturbs nobody", () => {
  const cluster = start(3, 2);
  run(cluster, 100, ALL);
  const [leader] = leaders(cluster);
  const other = [1, 2, 3].find((id) => id !== leader)!;
  const before = terms(cluster);
  run(cluster, 200, (from, to) => from !== other && to !== other);
  expect(commits(cluster, (from, to) => from !== other && to !== other)).toBe(true);
  run(cluster, 100, ALL);
  expect(terms(cluster)).toEqual(before);
  expect(leaders(cluster)).toEqual([leader!]);
  expect(cluster.raft(other).commitIndex).toBe(cluster.raft(leader!).commitIndex);
});

test("a node that hears nothing, or that nobody hears, raises no term", () => {
  for (const mute of [true, false]) {
    const cluster = start(3, 3);
    run(cluster, 100, ALL);
    const [leader] = leaders(cluster);
    const other = [1, 2, 3].find((id) => id !== leader)!;
    const link: Link = (from, to) => (mute ? from : to) !== other;
    const before = terms(cluster);
    run(cluster, 500, link);
    expect(terms(cluster)).toEqual(before);
    expect(leaders(cluster)).toEqual([leader!]);
    expect(commits(cluster, link)).toBe(true);
  }
});

test("with any one or two links of five nodes cut, the cluster makes progress and settles", () => {
  const links: [NodeId, NodeId][] = [];
  for (let a = 1; a <= 5; a++) for (let b = a + 1; b <= 5; b++) links.push([a, b]);
  for (let first = 0; first < links.length; first++) {
    for (let second = first; second < links.length; second++) {
      const cut = [links[first]!, links[second]!];
      const link: Link = (from, to) =>
        !cut.some(([a, b]) => (from === a && to === b) || (from === b && to === a));
      const cluster = start(5, 4);
      run(cluster, 60, ALL);
      run(cluster, 200, link);
      const before = leaders(cluster);
      expect(commits(cluster, link)).toBe(true);
      run(cluster, 200, link);
      expect(leaders(cluster)).toEqual(before);
    }
  }
});

test("with any one link of three nodes cut, the node in the middle keeps it going", () => {
  for (const [a, b] of [[1, 2], [1, 3], [2, 3]]) {
    for (let seed = 1; seed <= 10; seed++) {
      const link: Link = (from, to) => !((from === a && to === b) || (from === b && to === a));
      const cluster = start(3, seed);
      run(cluster, 100, ALL);
      run(cluster, 200, link);
      const before = leaders(cluster);
      expect(before).toHaveLength(1);
      expect(commits(cluster, link)).toBe(true);
      run(cluster, 500, link);
      expect(leaders(cluster)).toEqual(before);
      expect(commits(cluster, link)).toBe(true);
    }
  }
});

test("after the leader fails there is another one within two election timeouts or so", () => {
  let worst = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const cluster = start(3, seed);
    run(cluster, 100, ALL);
    cluster.crash(leaders(cluster)[0]!);
    let ticks = 0;
    for (; leaders(cluster).length === 0; ticks++) run(cluster, 1, ALL);
    worst = Math.max(worst, ticks);
  }
  // The election timeout is 10 to 19 ticks; a split vote costs most of another one.
  expect(worst).toBeLessThanOrEqual(40);
});
