/**
 * A node that sends every message back to who sent it. Runs in a process of its own, under Bun or
 * Deno: `echo_node.ts NODE_ID PEER_ID PEER_ADDRESS`. It prints its address, and ends with its
 * standard input.
 */
import { argv, stdin } from "node:process";
import { DatabaseError } from "../../lib/base/errors.ts";
import { startNode } from "./harness.ts";

const [nodeId, peerId, peerAddress] = argv.slice(2);
const node = await startNode(Number(nodeId));
const { transport, witness, member } = node;

witness.onMessage = (from, message) => transport.send(from, message);

/** The code of the error that a second listener on the same address meets. */
async function takenCode(): Promise<string> {
  try {
    const second = await startNode(Number(nodeId), { address: member.address });
    await second.transport.close();
    return "none";
  } catch (error) {
    return error instanceof DatabaseError ? error.code : String(error);
  }
}

console.log(JSON.stringify({ address: member.address, taken: await takenCode() }));
transport.setPeers([{ id: Number(peerId), address: peerAddress ?? "", httpUrl: "" }]);
stdin.on("end", () => void transport.close());
stdin.resume();
