/** Nodes that talk over a real or an in-process network, and what they were told. */
import { crc32c } from "../../lib/base/crc32c.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { parseAddress } from "../../lib/io/address.ts";
import { type Clock, systemClock } from "../../lib/io/clock.ts";
import type { Connection, ConnectionHandler, Network } from "../../lib/io/network.ts";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import type { Entry, Member, Message, NodeId } from "../../lib/raft/types.ts";
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

/** A clock on which time runs `factor` times as fast. */
export function fastClock(factor: number): Clock {
  return {
    nowMs: () => systemClock.nowMs() * factor,
    wallMs: () => systemClock.wallMs(),
    after: (delayMs, callback) => systemClock.after(delayMs / factor, callback),
    soon: (callback) => systemClock.soon(callback),
  };
}

/** What `promise` throws. */
export async function errorOf(promise: Promise<unknown>): Promise<DatabaseError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof DatabaseError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown");
}

/** A TCP connection that says what it is told to, and notes what comes back. */
export class RawClient implements ConnectionHandler {
  readonly chunks: Uint8Array[] = [];
  isOpen = false;
  isClosed = false;
  readonly connection: Connection;

  constructor(address: string, first: Uint8Array) {
    this.#first = first;
    this.connection = tcpNetwork.connect(parseAddress(address), this);
  }

  readonly #first: Uint8Array;

  onOpen(): void {
    this.isOpen = true;
    this.connection.write(this.#first);
  }

  onData(bytes: Uint8Array): void {
    this.chunks.push(bytes);
  }

  onDrain(): void {}

  onClose(): void {
    this.isClosed = true;
  }
}

/** A message that is easy to tell from others. */
export function heartbeat(round: number): Message {
  return { type: "heartbeat_request", term: 7, commitIndex: 3, round };
}

/** A message with one entry. */
export function append(prevIndex: number, payload: Uint8Array): Message {
  const checksum = crc32c(payload);
  const entry: Entry = { type: "command", index: prevIndex + 1, term: 7, payload, checksum };
  return {
    type: "append_request",
    term: 7,
    prevIndex,
    prevTerm: 7,
    commitIndex: prevIndex,
    entries: [entry],
  };
}

/** What a transport told. */
export class Witness implements TransportEvents {
  readonly messages: { readonly from: NodeId; readonly message: Message }[] = [];
  readonly unreachable: NodeId[] = [];
  readonly boots: string[] = [];
  readonly rejects: { readonly reason: DatabaseError; readonly remote: string }[] = [];
  control: (method: string, params: unknown) => Promise<unknown> = (method, params) =>
    Promise.resolve({ method, params });

  /** The rounds of the heartbeats that arrived, in order. */
  get rounds(): number[] {
    return this.messages.flatMap(({ message }) => "round" in message ? [message.round] : []);
  }

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
