import { DatabaseError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Clock } from "../io/clock.ts";
import type { Connection, Network } from "../io/network.ts";
import type { Message, NodeId } from "../raft/types.ts";
import type { Refusal, RefusalReason } from "../wire/handshake.ts";
import type { Channel, ChannelHandler } from "./channel.ts";

/** Who this node is. */
export interface Identity {
  /** 32 lower-case hexadecimal digits; undefined while the node is in no cluster. */
  readonly clusterId: () => string | undefined;
  readonly nodeId: NodeId;
  /** A random number below 2^53, drawn at every start of the process. */
  readonly bootId: number;
  /** `HOST:PORT` that others reach this node by, once that is known. */
  readonly address?: () => string | undefined;
}

/** What a transport tells its owner. No method is called from within a call of the transport. */
export interface TransportEvents {
  /**
   * A message from a node of our cluster, in the order that it sent them on this connection. It
   * need not be one of the current peers. Payloads of entries may be kept.
   */
  onMessage(from: NodeId, message: Message): void;
  /**
   * Messages to `peer` were lost, or may have been. Told once for each outage, and once for each
   * time that its queue overflows.
   */
  onUnreachable(peer: NodeId): void;
  /** A node presented itself for the first time, or with another boot id than before. */
  onPeerBoot(peer: NodeId, bootId: number): void;
  /**
   * A connection was closed for what came over it, or a handshake was refused, by either side.
   *
   * @param remote `HOST:PORT` of the other side.
   */
  onReject(reason: DatabaseError, remote: string): void;
  /**
   * Answers a request that manages the cluster. The value goes out as JSON.
   *
   * @throws {DatabaseError} which is sent to the caller.
   */
  onControl(method: string, params: unknown, remote: string): Promise<unknown>;
}

/** Another protocol on the cluster port, told apart by the first eight bytes of a connection. */
export interface PortProtocol {
  readonly name: string;
  readonly magic: Uint8Array;
  /**
   * Takes over a connection that began with `magic`, by setting its handler.
   *
   * @param early What arrived after those eight bytes; the handler is not told of it again.
   */
  accept(connection: Connection, early: Uint8Array): void;
}

/** What a transport needs. */
export interface TransportOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: Identity;
  readonly events: TransportEvents;
  /** Why a node may not connect, such as one that was removed; undefined when it may. */
  readonly admit?: (nodeId: NodeId) => Refusal | undefined;
  /**
   * Serves a node of our cluster that wants the pages of the database, on a connection that is for
   * nothing else; undefined when there is nobody to do so.
   */
  readonly servePages?: (from: NodeId, channel: Channel) => ChannelHandler | undefined;
  /** Protocols that share the port. */
  readonly protocols?: readonly PortProtocol[];
}

/** A handshake that one side refused. */
export class HandshakeError extends DatabaseError {
  override readonly name = "HandshakeError";
  readonly reason: RefusalReason;

  constructor(refusal: Refusal) {
    super("HANDSHAKE", refusal.text);
    this.reason = refusal.reason;
  }
}
