import { expect, test } from "bun:test";
import { SeededRandom } from "../../lib/base/random.ts";
import { describeStatus } from "../../lib/raft/describe.ts";
import { encodeCore } from "./exhaustive/encode.ts";
import { Cluster } from "./harness.ts";

/** Node 1 leads three nodes, and has proposals under way and a transfer. */
function busyLeader(): Cluster {
  const cluster = new Cluster({ random: (id) => new SeededRandom(id) });
  cluster.bootstrap([1, 2, 3]);
  cluster.raft(1).campaign();
  for (let round = 0; round < 10; round++) {
    for (const id of [1, 2, 3]) {
      cluster.process(id);
      while (cluster.sync(id)) cluster.process(id);
    }
    for (const envelope of cluster.network.splice(0)) cluster.deliver(envelope);
  }
  cluster.raft(1).propose([{ payload: new Uint8Array(5), checksum: 0 }]);
  cluster.process(1);
  cluster.raft(1).read();
  cluster.raft(1).transfer(2);
  return cluster;
}

test("a copy of the state stays as it was, whatever the core goes through", () => {
  const raft = busyLeader().raft(1);
  const before = describeStatus(raft.status());
  const copy = raft.copyState();
  const core = encodeCore(copy);
  raft.onUnreachable(3);
  raft.step(2, { type: "heartbeat_request", term: 9, commitIndex: 1, round: 0 });
  raft.step(2, {
    type: "append_request",
    term: 9,
    prevIndex: 2,
    prevTerm: 2,
    commitIndex: 1,
    entries: [{ type: "noop", index: 3, term: 9 }],
  });
  raft.takeEffects();
  expect(describeStatus(raft.status())).not.toBe(before);
  expect(encodeCore(copy)).toBe(core);
  raft.restoreState(copy);
  expect(describeStatus(raft.status())).toBe(before);
  expect(encodeCore(raft.copyState())).toBe(core);
});

test("a restored core does what the original does", () => {
  const [one, other] = [busyLeader().raft(1), busyLeader().raft(3)];
  other.restoreState(one.copyState());
  expect(other.takeEffects()).toEqual(one.takeEffects());
  const run = (raft: typeof one) => {
    raft.step(2, { type: "heartbeat_response", term: 2, round: 1 });
    raft.step(3, {
      type: "append_response",
      term: 2,
      prevIndex: 2,
      success: true,
      matchIndex: 3,
      hintIndex: 0,
      hintTerm: 0,
    });
    for (let tick = 0; tick < 4; tick++) raft.tick();
    return raft.takeEffects();
  };
  expect(run(other)).toEqual(run(one));
  expect(describeStatus(other.status())).toBe(describeStatus(one.status()));
});
