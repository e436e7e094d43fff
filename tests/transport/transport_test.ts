import { expect, test } from "bun:test";
import { crc32c } from "../../lib/base/crc32c.ts";
import type { Message } from "../../lib/raft/types.ts";
import { connectAll, startNode, until, withNodes } from "./harness.ts";

function append(prevIndex: number, payload: Uint8Array): Message {
  const index = prevIndex + 1;
  const checksum = crc32c(payload);
  return {
    type: "append_request",
    term: 7,
    prevIndex,
    prevTerm: 7,
    commitIndex: prevIndex,
    entries: [{ type: "command", index, term: 7, payload, checksum }],
  };
}

function heartbeat(round: number): Message {
  return { type: "heartbeat_request", term: 7, commitIndex: 3, round };
}

test("transport delivers messages of every peer in order, with the payloads", async () => {
  const nodes = await Promise.all([startNode(1), startNode(2), startNode(3)]);
  await withNodes(nodes, async () => {
    connectAll(nodes);
    const [one, two, three] = nodes;
    const payload = new Uint8Array(300_000).map((_, i) => i * 7);
    for (let i = 0; i < 200; i++) {
      one!.transport.send(2, i % 50 === 0 ? append(i, payload) : heartbeat(i));
      three!.transport.send(2, heartbeat(1000 + i));
    }
    await until(() => two!.witness.messages.length === 400, "400 messages");
    const fromOne = two!.witness.messages.filter(({ from }) => from === 1);
    expect(fromOne.map(({ message }) => message)).toEqual(
      Array.from({ length: 200 }, (_, i) => i % 50 === 0 ? append(i, payload) : heartbeat(i)),
    );
    const fromThree = two!.witness.messages.filter(({ from }) => from === 3);
    expect(fromThree.map(({ message }) => message)).toEqual(
      Array.from({ length: 200 }, (_, i) => heartbeat(1000 + i)),
    );
    expect(two!.witness.boots.sort()).toEqual(["1:101", "3:103"]);
  });
});
