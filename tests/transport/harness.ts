/** Nodes that talk over a real or an in-process network, and what they were told. */
import type { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { systemClock } from "../../lib/io/clock.ts";
import type { Network } from "../../lib/io/network.ts";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import type { Member, Message, NodeId } from "../../lib/raft/types.ts";
import { Transport } from "../../lib/transport/transport.ts";
import type { TransportEvents, TransportOptions } from "../../lib/transport/types.ts";

export const CLUSTER = "0123456789abcdef0123456789abcdef";
export const OTHER_CLUSTER = "ffffffffffffffffffffffffffffffff";

const WAIT_MS = 8_000;

/** Waits until `condition` holds; fails with `what` when it does not in time. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What a transport told. */
export class Witness implements TransportEvents {
  readonly messages: { readonly from: NodeId; readonly message: Message }[] = [];
  readonly unreachable: NodeId[] = [];
  readonly boots: string[] = [];
  readonly rejects: { readonly reason: DatabaseError; readonly remote: string }[] = [];
  control: (method: string, params: unknown) => Promise<unknown> = (method, params) =>
    Promise.resolve({ method, params });

  onMessage(from: NodeId, message: Message): void {
    this.messages.push({ from, message });
  }

  onUnreachable(peer: NodeId): void {
    this.unreachable.push(peer);
  }

  onPeerBoot(peer: NodeId, bootId: number): void {
    this.boots.push(`${peer}:${bootId}`);
  }

  onReject(reason: DatabaseError, remote: string): void {
    this.rejects.push({ reason, remote });
  }

  onControl(method: string, params: unknown): Promise<unknown> {
    return this.control(method, params);
  }
}

export interface NodeOptions {
  readonly bootId?: number;
  readonly clusterId?: string | undefined;
  readonly network?: Network;
  readonly address?: string;
  readonly options?: Partial<TransportOptions>;
}

/** A transport, what it told, and where it listens. */
export interface TestNode {
  readonly transport: Transport;
  readonly witness: Witness;
  readonly member: Member;
}

/** Starts a node; it listens on a free port. */
export async function startNode(id: NodeId, options: NodeOptions = {}): Promise<TestNode> {
  const witness = new Witness();
  const clusterId = "clusterId" in options ? options.clusterId : CLUSTER;
  const transport = new Transport({
    network: options.network ?? tcpNetwork,
    clock: systemClock,
    random: new SeededRandom(id),
    identity: { clusterId: () => clusterId, nodeId: id, bootId: options.bootId ?? 100 + id },
    events: witness,
    ...options.options,
  });
  const address = await transport.listen(options.address ?? "127.0.0.1:0");
  return { transport, witness, member: { id, address, httpUrl: "" } };
}

/** Runs `body` and closes the nodes, whatever happens. */
export async function withNodes(
  nodes: readonly TestNode[],
  body: () => Promise<void>,
): Promise<void> {
  try {
    await body();
  } finally {
    await Promise.all(nodes.map((node) => node.transport.close()));
  }
}

/** Makes every node a peer of every other. */
export function connectAll(nodes: readonly TestNode[]): void {
  for (const node of nodes) node.transport.setPeers(nodes.map((other) => other.member));
}
