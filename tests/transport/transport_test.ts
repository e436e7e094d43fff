import { expect, test } from "bun:test";
import { PEER_QUEUE_BYTES_MAX, SILENT_PERIODS_MAX } from "../../lib/base/limits.ts";
import { formatAddress } from "../../lib/io/address.ts";
import { type Connection, IGNORE, type Network } from "../../lib/io/network.ts";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import type { Member } from "../../lib/raft/types.ts";
import { greeting, helloOf } from "../../lib/transport/handshake.ts";
import {
  append,
  CLUSTER,
  connectAll,
  errorOf,
  fastClock,
  heartbeat,
  startNode,
} from "./harness.ts";
import { type TestNode, until, withNodes } from "./harness.ts";

/** TCP on which the writes of dialled connections are counted. */
function countingNetwork(): { readonly network: Network; readonly writes: Uint8Array[] } {
  const writes: Uint8Array[] = [];
  const network: Network = {
    listen: (address, accept) => tcpNetwork.listen(address, accept),
    connect(address, handler): Connection {
      const connection = tcpNetwork.connect(address, handler);
      const write = connection.write.bind(connection);
      connection.write = (bytes) => {
        writes.push(bytes);
        return write(bytes);
      };
      return connection;
    },
  };
  return { network, writes };
}

/** Starts two nodes; the first has the second as its peer. */
async function pair(network: Network = tcpNetwork): Promise<[TestNode, TestNode]> {
  const nodes = await Promise.all([startNode(1, { network }), startNode(2)]);
  nodes[0].transport.setPeers([nodes[1].member]);
  return nodes;
}

async function delivered(from: TestNode, to: TestNode, round: number): Promise<void> {
  await until(() => {
    from.transport.send(to.member.id, heartbeat(round));
    return to.witness.rounds.includes(round);
  }, `message ${round}`);
}

test("messages of every peer arrive in order, with their payloads", async () => {
  const nodes = await Promise.all([startNode(1), startNode(2), startNode(3)]);
  await withNodes(nodes, async () => {
    connectAll(nodes);
    const [one, two, three] = nodes as [TestNode, TestNode, TestNode];
    const payload = new Uint8Array(300_000).map((_, i) => i * 7);
    for (let i = 0; i < 200; i++) {
      one.transport.send(2, i % 50 === 0 ? append(i, payload) : heartbeat(i));
      three.transport.send(2, heartbeat(1000 + i));
    }
    await until(() => two.witness.messages.length === 400, "400 messages");
    const fromOne = two.witness.messages.filter(({ from }) => from === 1);
    expect(fromOne.map(({ message }) => message)).toEqual(
      Array.from({ length: 200 }, (_, i) => i % 50 === 0 ? append(i, payload) : heartbeat(i)),
    );
    const fromThree = two.witness.messages.filter(({ from }) => from === 3);
    expect(fromThree.map(({ message }) => message)).toEqual(
      Array.from({ length: 200 }, (_, i) => heartbeat(1000 + i)),
    );
    expect(two.witness.boots.sort()).toEqual(["1:101", "3:103"]);
  });
});

test("the messages of one turn leave in one write, or at once when they are flushed", async () => {
  const { network, writes } = countingNetwork();
  const nodes = await pair(network);
  await withNodes(nodes, async () => {
    const [one, two] = nodes;
    await delivered(one, two, 1);
    const before = writes.length;
    for (let i = 100; i < 200; i++) one.transport.send(2, heartbeat(i));
    one.transport.send(2, append(1, new Uint8Array(4_200)));
    expect(writes.length).toBe(before);
    await until(() => two.witness.rounds.at(-1) === 199, "the messages");
    expect(writes.length).toBe(before + 1);
    one.transport.send(2, heartbeat(200));
    one.transport.flush();
    expect(writes.length).toBe(before + 2);
  });
});

test("a large message and many small ones pass through a slow reader in order", async () => {
  const nodes = await pair();
  await withNodes(nodes, async () => {
    const [one, two] = nodes;
    for (let i = 0; i < 12; i++) {
      one.transport.send(2, append(i, new Uint8Array(4 * 1024 * 1024).fill(i)));
      one.transport.send(2, heartbeat(i));
    }
    await until(() => two.witness.messages.length === 24, "48 MiB");
    expect(two.witness.rounds).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect(one.witness.unreachable).toEqual([]);
  });
});

test("a peer that does not read is not written to any further", async () => {
  const { network, writes } = countingNetwork();
  const one = await startNode(1, { network });
  const accepted: Connection[] = [];
  let receivedBytes = 0;
  const hello = helloOf({ clusterId: () => CLUSTER, nodeId: 2, bootId: 5 }, "raft", 0);
  const listener = await tcpNetwork.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    accepted.push(connection);
    connection.handler = {
      ...IGNORE,
      onData(bytes) {
        if (receivedBytes === 0) connection.write(greeting(hello));
        receivedBytes += bytes.length;
      },
    };
  });
  await withNodes([one], async () => {
    one.transport.setPeers([{ id: 2, address: formatAddress(listener.address), httpUrl: "" }]);
    await until(() => one.witness.boots.length === 1, "the handshake");
    accepted[0]!.pause();
    const payload = new Uint8Array(1_000_000);
    for (let i = 0; i < 60; i++) {
      one.transport.send(2, append(i, payload));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const writtenBytes = () => writes.reduce((sum, bytes) => sum + bytes.length, 0);
    expect(writtenBytes()).toBeLessThan(20_000_000);
    accepted[0]!.resume();
    await until(() => receivedBytes > 60_000_000, "the rest");
    expect(writtenBytes()).toBe(receivedBytes);
  });
  listener.close();
});

test("an idle connection stays, for keepalives show that both sides live", async () => {
  const { network, writes } = countingNetwork();
  const clock = fastClock(50);
  const nodes = [
    await startNode(1, { network, options: { clock } }),
    await startNode(2, { options: { clock } }),
  ];
  await withNodes(nodes, async () => {
    const [one, two] = nodes as [TestNode, TestNode];
    one.transport.setPeers([two.member]);
    await until(() => writes.length > 4 * SILENT_PERIODS_MAX, "keepalives");
    expect(one.witness.unreachable).toEqual([]);
    expect(two.witness.boots).toEqual(["1:101"]);
    expect(two.witness.messages).toEqual([]);
  });
});

test("over its bound a queue drops messages and the peer is reported once", async () => {
  const nodes = await pair();
  await withNodes(nodes, async () => {
    const [one, two] = nodes;
    await delivered(one, two, 1);
    const payload = new Uint8Array(4 * 1024 * 1024);
    const fitting = Math.floor(PEER_QUEUE_BYTES_MAX / (payload.length + 200));
    for (let i = 0; i < fitting + 5; i++) one.transport.send(2, append(i, payload));
    expect(one.witness.unreachable).toEqual([]);
    await until(() => one.witness.unreachable.length > 0, "the report");
    await until(() => two.witness.messages.length > fitting, "what fitted");
    await delivered(one, two, 2);
    const appended = two.witness.messages.filter(({ message }) =>
      message.type !== "heartbeat_request"
    );
    expect(appended.length).toBe(fitting);
    expect(one.witness.unreachable).toEqual([2]);
  });
});

test("a peer that was started anew is dialled again and known by its new boot id", async () => {
  const [one, two] = await pair();
  const nodes = [one];
  await withNodes(nodes, async () => {
    await delivered(one, two, 1);
    await two.transport.close();
    await until(() => one.witness.unreachable.length === 1, "the outage");
    one.transport.send(2, heartbeat(2));
    const again = await startNode(2, { address: two.member.address, bootId: 999 });
    nodes.push(again);
    await delivered(one, again, 3);
    expect(again.witness.rounds).not.toContain(2);
    expect(one.witness.boots).toEqual(["2:102", "2:999"]);
    expect(one.witness.unreachable).toEqual([2]);
  });
});

test("a peer that is not there is reported once, and found when it comes", async () => {
  const gone = await startNode(2);
  await gone.transport.close();
  const one = await startNode(1);
  const nodes = [one];
  await withNodes(nodes, async () => {
    one.transport.setPeers([gone.member]);
    one.transport.send(2, heartbeat(1));
    await until(() => one.witness.unreachable.length === 1, "the report");
    const two = await startNode(2, { address: gone.member.address });
    nodes.push(two);
    await delivered(one, two, 2);
    expect(two.witness.rounds).not.toContain(1);
    expect(one.witness.unreachable).toEqual([2]);
    expect(one.witness.rejects).toEqual([]);
  });
});

test("peers follow the configuration: new, moved and gone", async () => {
  const nodes = await Promise.all([startNode(1), startNode(2), startNode(2), startNode(3)]);
  await withNodes(nodes, async () => {
    const [one, two, moved, three] = nodes as [TestNode, TestNode, TestNode, TestNode];
    one.transport.setPeers([one.member, two.member]);
    await delivered(one, two, 1);
    one.transport.setPeers([one.member, moved.member, three.member]);
    await delivered(one, moved, 2);
    await delivered(one, three, 3);
    one.transport.setPeers([one.member, three.member]);
    one.transport.send(2, heartbeat(4));
    await delivered(one, three, 5);
    expect(two.witness.rounds.filter((round) => round !== 1)).toEqual([]);
    expect(moved.witness.rounds.filter((round) => round !== 2)).toEqual([]);
    expect(one.witness.unreachable).toEqual([]);
  });
});

test("a node that is no peer is answered over the connection that it opened", async () => {
  const nodes = await pair();
  await withNodes(nodes, async () => {
    const [one, two] = nodes;
    await delivered(one, two, 1);
    two.transport.send(1, heartbeat(11));
    await until(() => one.witness.rounds.includes(11), "the answer");
    expect(one.witness.messages[0]!.from).toBe(2);
    two.transport.send(77, heartbeat(12));
  });
});

test("what was sent right before the close still arrives", async () => {
  const nodes = await pair();
  await withNodes(nodes, async () => {
    const [one, two] = nodes;
    await delivered(one, two, 1);
    for (let i = 100; i < 120; i++) one.transport.send(2, heartbeat(i));
    await one.transport.close();
    await until(() => two.witness.rounds.at(-1) === 119, "the last message");
    one.transport.send(2, heartbeat(200));
    one.transport.setPeers([two.member]);
    expect(two.witness.rounds).not.toContain(200);
  });
});

test("an address that is taken is named", async () => {
  const one = await startNode(1);
  await withNodes([one], async () => {
    const error = await errorOf(startNode(2, { address: one.member.address }));
    expect(error.code).toBe("ADDRESS");
    expect(error.message).toContain(one.member.address);
    expect((await errorOf(startNode(2, { address: "nonsense" }))).code).toBe("CONFIG");
  });
});

test("a member with an address that cannot be read is reported and harms nobody", async () => {
  const nodes = await pair();
  await withNodes(nodes, async () => {
    const [one, two] = nodes;
    const broken: Member = { id: 3, address: "broken", httpUrl: "" };
    one.transport.setPeers([two.member, broken]);
    one.transport.send(3, heartbeat(1));
    await delivered(one, two, 2);
    await until(() => one.witness.rejects.length > 0, "the report");
    expect(one.witness.rejects.map(({ reason }) => reason.code)).toEqual(["CONFIG"]);
  });
});
