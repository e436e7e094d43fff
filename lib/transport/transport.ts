import { assert } from "../base/assert.ts";
import { MEMBERS_MAX } from "../base/limits.ts";
import { formatAddress, parseAddress } from "../io/address.ts";
import type { Listener } from "../io/network.ts";
import type { Member, Message, NodeId } from "../raft/types.ts";
import { MAGIC } from "../wire/handshake.ts";
import { Boots } from "./boots.ts";
import { Inbound } from "./inbound.ts";
import { Peer } from "./peer.ts";
import { Port } from "./port.ts";
import type { TransportOptions } from "./types.ts";

/**
 * Carries Raft messages between the nodes of a cluster. Every node opens one connection to every
 * peer and sends on it. Messages of one connection arrive in order and at most once; they may be
 * lost, and are when a connection breaks. A message is delivered only when the handshake of its
 * connection told the sender's id and our cluster.
 *
 * Owns the cluster port too: requests that manage the cluster and other protocols arrive there.
 */
export class Transport {
  readonly #options: TransportOptions;
  readonly #boots: Boots;
  readonly #inbound: Inbound;
  readonly #port: Port;
  readonly #peers = new Map<NodeId, Peer>();
  /** Peers that were given up and whose connections still close. */
  readonly #leaving = new Set<Promise<void>>();
  #listener: Listener | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#boots = new Boots(
      (nodeId, bootId) => options.events.onPeerBoot(nodeId, bootId),
      (nodeId) => this.#peers.has(nodeId) || this.#inbound.has(nodeId),
    );
    this.#inbound = new Inbound(options, this.#boots, (nodeId, bootId) => {
      this.#peers.get(nodeId)?.onCall(bootId);
    });
    const own = {
      name: "dqlite nodes",
      magic: MAGIC,
      accept: this.#inbound.accept.bind(this.#inbound),
    };
    this.#port = new Port({
      clock: options.clock,
      protocols: [own, ...options.protocols ?? []],
      onReject: (reason, remote) => options.events.onReject(reason, remote),
    });
  }

  /**
   * Opens the cluster port.
   *
   * @param hostPort `HOST:PORT`; port 0 takes a free one.
   * @returns The address with the port that was taken.
   * @throws {DatabaseError} `CONFIG` when the text is no address, `ADDRESS` when it is taken or not
   * this machine's.
   */
  async listen(hostPort: string): Promise<string> {
    assert(this.#listener === undefined, "the cluster port is open already");
    const accept = this.#port.accept.bind(this.#port);
    const listener = await this.#options.network.listen(parseAddress(hostPort), accept);
    if (this.#closed !== undefined) listener.close();
    this.#listener = listener;
    return formatAddress(listener.address);
  }

  /**
   * Sets who is dialled: new members at once, those that are gone no more, and those with another
   * address there. The node itself may be among them and is left out.
   */
  setPeers(members: readonly Member[]): void {
    if (this.#closed !== undefined) return;
    assert(members.length <= MEMBERS_MAX, `${members.length} members; at most ${MEMBERS_MAX}`);
    const addresses = new Map(members.map((member) => [member.id, member.address]));
    for (const [id, peer] of this.#peers) {
      if (addresses.get(id) !== peer.member.address) this.#drop(peer);
    }
    for (const member of members) {
      if (member.id === this.#options.identity.nodeId || this.#peers.has(member.id)) continue;
      const onBoot = (bootId: number) => this.#boots.seen(member.id, bootId);
      this.#peers.set(member.id, new Peer(member, this.#options, onBoot));
    }
    this.#boots.prune();
  }

  /**
   * `HOST:PORT` of a node: as it says itself while it is connected, else as it is known of a peer.
   */
  addressOf(id: NodeId): string | undefined {
    return this.#inbound.addressOf(id) ?? this.#peers.get(id)?.member.address;
  }

  /**
   * Sends a message, without promise that it arrives. One to a node that is no peer goes over the
   * connection that it opened to us, if there is one; so does one to a peer that we cannot reach.
   */
  send(to: NodeId, message: Message): void {
    assert(to !== this.#options.identity.nodeId, "a node does not send to itself");
    if (this.#closed !== undefined || this.#peers.get(to)?.send(message) === true) return;
    this.#inbound.send(to, message);
  }

  /**
   * Hands what was sent to the network now, rather than at the end of the turn: a slow write to the
   * disk that comes next does not hold it up.
   */
  flush(): void {
    for (const peer of this.#peers.values()) peer.flush();
  }

  /** Closes the port and every connection. What was sent before may still leave, for a moment. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#listener?.close();
    for (const peer of this.#peers.values()) this.#drop(peer);
    await Promise.all([...this.#leaving, this.#port.closeAll()]);
  }

  #drop(peer: Peer): void {
    this.#peers.delete(peer.member.id);
    const leaving = peer.close().then(() => void this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}
