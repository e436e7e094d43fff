import { expect, test } from "bun:test";
import { ByteWriter } from "../../lib/base/bytes.ts";
import { CLUSTER_CONNECTIONS_MAX, HANDSHAKE_BYTES_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { Connection } from "../../lib/io/network.ts";
import { greeting, helloOf, refusalBytes } from "../../lib/transport/handshake.ts";
import { HandshakeError } from "../../lib/transport/types.ts";
import { beginFrame, endFrame } from "../../lib/wire/frame.ts";
import { type Hello, MAGIC, type RefusalReason } from "../../lib/wire/handshake.ts";
import { CLUSTER, fastClock, heartbeat, OTHER_CLUSTER, RawClient } from "./harness.ts";
import { type NodeOptions, startNode, type TestNode, until, withNodes } from "./harness.ts";

const IDENTITY = { clusterId: () => CLUSTER, nodeId: 9, bootId: 1 };

/** What both sides of a refused handshake report. */
async function refusal(dialler: NodeOptions, acceptor: NodeOptions, acceptorId = 2) {
  const nodes = [await startNode(1, dialler), await startNode(acceptorId, acceptor)];
  const [one, two] = nodes as [TestNode, TestNode];
  await withNodes(nodes, async () => {
    one.transport.setPeers([{ ...two.member, id: 2 }]);
    one.transport.send(2, heartbeat(1));
    await until(() => one.witness.rejects.length > 0, "the dialling side's report");
    // Several dials later the same reason has been reported only once.
    await until(() => two.witness.rejects.length > 3, "the accepting side's reports");
    expect(one.witness.rejects.length).toBe(1);
    expect(one.witness.unreachable).toEqual([2]);
    expect(two.witness.messages).toEqual([]);
    expect([...one.witness.boots, ...two.witness.boots]).toEqual([]);
  });
  const { reason, remote } = one.witness.rejects[0]!;
  expect(remote).toBe(two.member.address);
  expect(reason).toBeInstanceOf(HandshakeError);
  expect(two.witness.rejects[0]!.reason.message).toBe(reason.message);
  return reason as HandshakeError;
}

/** Starts a node, lets `body` talk to it, and proves that it still serves others. */
async function attacked(
  body: (target: TestNode) => Promise<void>,
  options: NodeOptions = {},
): Promise<TestNode> {
  const target = await startNode(2, options);
  const friend = await startNode(1);
  await withNodes([target, friend], async () => {
    await body(target);
    friend.transport.setPeers([target.member]);
    friend.transport.send(2, heartbeat(1));
    await until(() => target.witness.rounds.includes(1), "a message from a friend");
  });
  return target;
}

function helloBytes(changes: Partial<Hello>): Uint8Array {
  return greeting({ ...helloOf(IDENTITY, "raft", 0), ...changes });
}

test("a node of another cluster is refused and both sides say so", async () => {
  const error = await refusal({ clusterId: OTHER_CLUSTER }, {});
  expect(error.code).toBe("HANDSHAKE");
  expect(error.reason).toBe("other_cluster");
  expect(error.message).toContain(CLUSTER);
  expect(error.message).toContain(OTHER_CLUSTER);
});

test("a node that is in no cluster yet takes no messages", async () => {
  const error = await refusal({}, { clusterId: undefined });
  expect(error.reason).toBe("no_cluster");
  expect(error.message).toContain("node 2");
});

test("another node at a peer's address is told apart", async () => {
  const error = await refusal({}, {}, 3);
  expect(error.reason).toBe("other_node");
  expect(error.message).toContain("node 3");
  expect(error.message).toContain("node 2");
});

test("a node that was removed is told so", async () => {
  const admit = (nodeId: number) =>
    nodeId === 1 ? { reason: "removed" as const, text: "Node 1 was removed" } : undefined;
  const error = await refusal({}, { options: { admit } });
  expect(error.reason).toBe("removed");
  expect(error.message).toBe("Node 1 was removed");
});

test.each<[string, Partial<Hello>, RefusalReason]>([
  ["another version", { versionMin: 2, versionMax: 9 }, "version"],
  ["our own id", { nodeId: 2 }, "own_node"],
  ["no id", { nodeId: 0 }, "other_node"],
  ["no cluster", { clusterId: undefined }, "no_cluster"],
])("a hello with %s is refused", async (_, changes, reason) => {
  const target = await attacked(async ({ member, witness }) => {
    const client = new RawClient(member.address, helloBytes(changes));
    await until(() => client.isClosed && witness.rejects.length > 0, "the refusal");
    expect(Buffer.from(client.chunks[0]!).subarray(0, 8)).toEqual(Buffer.from(MAGIC));
  });
  expect((target.witness.rejects[0]!.reason as HandshakeError).reason).toBe(reason);
});

test("a listener that speaks another protocol or version is reported", async () => {
  const text = new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n");
  const cases: [Uint8Array, string][] = [
    [text, "PROTOCOL"],
    [helloBytes({ versionMin: 7, versionMax: 8, nodeId: 2 }), "HANDSHAKE"],
    [helloBytes({ clusterId: OTHER_CLUSTER, nodeId: 2 }), "HANDSHAKE"],
    [helloBytes({ nodeId: 4 }), "HANDSHAKE"],
    [refusalBytes({ reason: "unknown", text: "from the future" }), "HANDSHAKE"],
  ];
  for (const [answer, code] of cases) {
    const one = await startNode(1);
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          socket.write(answer);
        },
      },
    });
    await withNodes([one], async () => {
      const address = `127.0.0.1:${listener.port}`;
      one.transport.setPeers([{ id: 2, address, httpUrl: "" }]);
      await until(() => one.witness.rejects.length > 0, "the report");
      expect<string>(one.witness.rejects[0]!.reason.code).toBe(code);
      expect(one.witness.rejects[0]!.remote).toBe(address);
    });
    listener.stop(true);
  }
});

test("garbage closes its connection and nothing else", async () => {
  const random = new SeededRandom(6);
  const noise = (size: number) => new Uint8Array(size).map(() => random.next());
  const good = helloBytes({});
  const flipped = good.slice();
  flipped[30]! ^= 4;
  const oversized = new ByteWriter();
  const start = beginFrame(oversized, "hello");
  oversized.raw(new Uint8Array(HANDSHAKE_BYTES_MAX + 1));
  endFrame(oversized, start);
  const unexpected = new ByteWriter();
  endFrame(unexpected, beginFrame(unexpected, "control_response"));
  const attacks = [
    new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    noise(5_000),
    Buffer.concat([MAGIC, noise(5_000)]),
    Buffer.concat([MAGIC, oversized.view()]),
    Buffer.concat([MAGIC, unexpected.view()]),
    flipped,
    Buffer.concat([good, noise(100)]),
    Buffer.concat([good, unexpected.view()]),
    Buffer.concat([good, good.subarray(8)]),
  ];
  const target = await attacked(async ({ member, witness }) => {
    for (const [i, bytes] of attacks.entries()) {
      const client = new RawClient(member.address, bytes);
      await until(() => client.isClosed && witness.rejects.length > i, `the end of attack ${i}`);
    }
  });
  expect(target.witness.rejects.map(({ reason }) => reason.code)).toEqual(
    attacks.map(() => "PROTOCOL"),
  );
  expect(target.witness.rejects.every(({ remote }) => remote.startsWith("127.0.0.1:"))).toBe(true);
  expect(target.witness.messages.filter(({ from }) => from === 9)).toEqual([]);
});

test("a stream of flipped bits never delivers a message that was not sent", async () => {
  const random = new SeededRandom(12);
  const good = helloBytes({});
  await attacked(async ({ member, witness }) => {
    for (let round = 0; round < 60; round++) {
      const bytes = good.slice();
      bytes[below(random, bytes.length)]! ^= 1 << below(random, 8);
      const client = new RawClient(member.address, bytes);
      await until(() => client.isClosed && witness.rejects.length > round, `the end of ${round}`);
    }
    expect(witness.messages).toEqual([]);
    expect(witness.boots).toEqual([]);
  });
});

test("who says nothing, or only a part, is not waited for", async () => {
  const clock = fastClock(25);
  const target = await attacked(async ({ member, witness }) => {
    const openings = [
      new Uint8Array(0),
      MAGIC.slice(0, 3),
      MAGIC.slice(),
      helloBytes({}).slice(0, 40),
    ];
    const clients = openings.map((bytes) => new RawClient(member.address, bytes));
    await until(() => clients.every((client) => client.isClosed), "the end of patience");
    await until(() => witness.rejects.length === openings.length, "the reports");
  }, { options: { clock } });
  expect(new Set(target.witness.rejects.map(({ reason }) => reason.code))).toEqual(
    new Set(["PROTOCOL"]),
  );
});

test("connections above the bound are closed, and room is made again", async () => {
  const target = await attacked(async ({ member, witness }) => {
    const clients: RawClient[] = [];
    for (let i = 0; i < CLUSTER_CONNECTIONS_MAX + 3; i++) {
      clients.push(new RawClient(member.address, MAGIC.slice()));
    }
    await until(() => clients.filter((client) => client.isClosed).length === 3, "the refusals");
    expect(witness.rejects.map(({ reason }) => reason.code)).toEqual(["BUSY", "BUSY", "BUSY"]);
    for (const client of clients) client.connection.destroy();
    await until(() => clients.every((client) => client.isClosed), "the end");
  });
  expect(target.witness.rejects.length).toBeGreaterThanOrEqual(3);
});

test("a node that dials twice is heard on its newer connection only", async () => {
  await attacked(async ({ member, witness }) => {
    const first = new RawClient(member.address, helloBytes({ bootId: 5 }));
    await until(() => first.chunks.length > 0, "the first handshake");
    const second = new RawClient(member.address, helloBytes({ bootId: 6 }));
    await until(() => first.isClosed, "the end of the first connection");
    await until(() => second.chunks.length > 0, "the second handshake");
    expect(witness.boots).toEqual(["9:5", "9:6"]);
    expect(second.isClosed).toBe(false);
    second.connection.destroy();
  });
});

test("another protocol on the port gets its connections, with what came early", async () => {
  const magic = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
  const seen: number[] = [];
  const protocol = {
    name: "echo",
    magic,
    accept(connection: Connection, early: Uint8Array) {
      seen.push(...early);
      connection.handler = {
        onOpen: () => {},
        onData: (bytes) => void seen.push(...bytes),
        onDrain: () => {},
        onClose: () => {},
      };
    },
  };
  await attacked(async ({ member, witness }) => {
    const client = new RawClient(member.address, Uint8Array.of(...magic, 5, 6));
    await until(() => seen.length === 2, "the early bytes");
    client.connection.write(Uint8Array.of(7));
    await until(() => seen.length === 3, "the later byte");
    expect(seen).toEqual([5, 6, 7]);
    expect(witness.rejects).toEqual([]);
    client.connection.destroy();
  }, { options: { protocols: [protocol] } });
});
