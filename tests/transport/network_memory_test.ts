import { expect, test } from "bun:test";
import { SeededRandom } from "../../lib/base/random.ts";
import { systemClock } from "../../lib/io/clock.ts";
import { MemoryNetwork } from "../../lib/io/network_memory.ts";
import {
  connectAll,
  fastClock,
  heartbeat,
  startNode,
  type TestNode,
  until,
  withNodes,
} from "./harness.ts";

function wires(): MemoryNetwork {
  const random = new SeededRandom(9);
  return new MemoryNetwork({ clock: systemClock, random, delayMaxMs: 2, segmentBytesMax: 7 });
}

function start(network: MemoryNetwork, id: number, clock = systemClock): Promise<TestNode> {
  const host = `host${id}`;
  const options = { clock };
  return startNode(id, { network: network.host(host), address: `${host}:9001`, options });
}

test("a cut link delays messages and a healed one delivers them in order", async () => {
  const network = wires();
  const nodes = [await start(network, 1), await start(network, 2)];
  await withNodes(nodes, async () => {
    connectAll(nodes);
    const [one, two] = nodes as [TestNode, TestNode];
    one.transport.send(2, heartbeat(1));
    await until(() => two.witness.rounds.length === 1, "the first message");
    network.cut("host1", "host2");
    one.transport.send(2, heartbeat(2));
    one.transport.send(2, heartbeat(3));
    two.transport.send(1, heartbeat(10));
    await until(() => one.witness.rounds.length === 1, "the other direction");
    expect(two.witness.rounds).toEqual([1]);
    network.heal("host1", "host2");
    await until(() => two.witness.rounds.length === 3, "what was held back");
    expect(two.witness.rounds).toEqual([1, 2, 3]);
  });
  await until(() => network.openCount === 0, "the end of every connection");
});

test("a reset connection is reported once and dialled again", async () => {
  const network = wires();
  const nodes = [await start(network, 1), await start(network, 2)];
  await withNodes(nodes, async () => {
    connectAll(nodes);
    const [one, two] = nodes as [TestNode, TestNode];
    one.transport.send(2, heartbeat(1));
    two.transport.send(1, heartbeat(1));
    await until(
      () => one.witness.rounds.length + two.witness.rounds.length === 2,
      "messages both ways",
    );
    network.reset("host1", "host2");
    await until(() => one.witness.unreachable.length === 1, "the report");
    await until(() => {
      one.transport.send(2, heartbeat(2));
      return two.witness.rounds.includes(2);
    }, "a message over the new connection");
    expect(one.witness.unreachable).toEqual([2]);
    expect(one.witness.boots).toEqual(["2:102"]);
  });
});

test("a link that stays silent is given up, and a new one is made when it heals", async () => {
  const clock = fastClock(20);
  const network = wires();
  const nodes = [await start(network, 1, clock), await start(network, 2, clock)];
  await withNodes(nodes, async () => {
    connectAll(nodes);
    const [one, two] = nodes as [TestNode, TestNode];
    one.transport.send(2, heartbeat(1));
    await until(() => two.witness.rounds.length === 1, "the first message");
    network.cut("host1", "host2");
    network.cut("host2", "host1");
    await until(() => one.witness.unreachable.length === 1, "the end of patience");
    network.heal("host1", "host2");
    network.heal("host2", "host1");
    await until(() => {
      one.transport.send(2, heartbeat(2));
      return two.witness.rounds.includes(2);
    }, "a message over the new connection");
    expect(one.witness.unreachable).toEqual([2]);
    expect(one.witness.rejects).toEqual([]);
  });
});
