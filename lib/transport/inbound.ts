import { DatabaseError } from "../base/errors.ts";
import { CALLER_QUEUE_BYTES_MAX, CONTROL_BYTES_MAX, FRAME_BYTES_MAX } from "../base/limits.ts";
import { PAGE_REQUEST_BYTES_MAX } from "../base/limits.ts";
import type { Connection } from "../io/network.ts";
import type { Message, NodeId } from "../raft/types.ts";
import type { Frame } from "../wire/frame.ts";
import { decodeHello, type Hello } from "../wire/handshake.ts";
import { decodeMessage } from "../wire/message.ts";
import type { Boots } from "./boots.ts";
import { Channel, type ChannelHandler } from "./channel.ts";
import { serveControl } from "./control_server.ts";
import { greeting, helloOf, refusalBytes, refusalOf } from "./handshake.ts";
import { Outbox } from "./outbox.ts";
import { HandshakeError, type TransportOptions } from "./types.ts";

/** A node that dialled us, and what we have to say to it on the same connection. */
interface Caller {
  readonly channel: Channel;
  readonly outbox: Outbox;
  /** Where it says that it is reached. */
  readonly address: string | undefined;
}

/** The connections that other nodes opened: at most one for Raft from each node. */
export class Inbound {
  readonly #options: TransportOptions;
  readonly #boots: Boots;
  readonly #onCaller: (nodeId: NodeId, bootId: number) => void;
  readonly #callers = new Map<NodeId, Caller>();

  /** @param onCaller Called when a node has opened its connection for Raft. */
  constructor(
    options: TransportOptions,
    boots: Boots,
    onCaller: (nodeId: NodeId, bootId: number) => void,
  ) {
    this.#options = options;
    this.#boots = boots;
    this.#onCaller = onCaller;
  }

  /** Whether a node has a connection for Raft to us. */
  has(nodeId: NodeId): boolean {
    return this.#callers.has(nodeId);
  }

  /** Where a node that has a connection for Raft to us says that it is reached. */
  addressOf(nodeId: NodeId): string | undefined {
    return this.#callers.get(nodeId)?.address;
  }

  /** Answers a node over the connection that it opened; false when that is not possible. */
  send(to: NodeId, message: Message): boolean {
    return this.#callers.get(to)?.outbox.add(message) ?? false;
  }

  /** Takes a connection that began with our magic bytes. */
  accept(connection: Connection, early: Uint8Array): void {
    const channel = new Channel(connection, this.#options.clock, {
      expectsMagic: false,
      handler: {
        onFrame: (frame) => this.#onFirstFrame(channel, frame),
        onDrain: () => {},
        onClose: (reason) => this.#report(reason, channel),
      },
    });
    channel.receive(early);
  }

  #onFirstFrame(channel: Channel, frame: Frame): void {
    if (frame.type !== "hello") return channel.violation(`A handshake began with a ${frame.type}`);
    const theirs = channel.read(() => decodeHello(frame.body));
    if (theirs === undefined) return;
    const ours = helloOf(this.#options.identity, theirs.purpose, 0);
    const refusal = refusalOf(ours, theirs) ??
      (theirs.purpose === "control" ? undefined : this.#options.admit?.(theirs.nodeId));
    if (refusal !== undefined) {
      channel.write(refusalBytes(refusal));
      return channel.end(new HandshakeError(refusal));
    }
    channel.write(greeting(ours));
    if (theirs.purpose === "raft") this.#serveRaft(channel, theirs);
    else if (theirs.purpose === "pages") this.#servePages(channel, theirs.nodeId);
    else this.#serveControl(channel);
  }

  #serveRaft(channel: Channel, theirs: Hello): void {
    const from = theirs.nodeId;
    const outbox = new Outbox(this.#options.clock, CALLER_QUEUE_BYTES_MAX);
    const caller: Caller = { channel, outbox, address: theirs.address };
    // A node that dials again has given up its earlier connection, or was started anew; what is
    // left of it must not arrive after what comes now.
    this.#callers.get(from)?.channel.fail(undefined);
    this.#callers.set(from, caller);
    outbox.attach(channel);
    channel.established(FRAME_BYTES_MAX);
    channel.handler = this.#raftHandler(from, caller);
    this.#boots.seen(from, theirs.bootId);
    this.#onCaller(from, theirs.bootId);
  }

  #raftHandler(from: NodeId, caller: Caller): ChannelHandler {
    const { channel, outbox } = caller;
    return {
      onFrame: (frame) => {
        if (frame.type !== "message") return channel.violation(`Unexpected frame: ${frame.type}`);
        const message = channel.read(() => decodeMessage(frame.body));
        if (message !== undefined) this.#options.events.onMessage(from, message);
      },
      onDrain: () => outbox.onDrain(),
      onClose: (reason) => {
        outbox.clear();
        if (this.#callers.get(from) === caller) this.#callers.delete(from);
        this.#boots.prune();
        this.#report(reason, channel);
      },
    };
  }

  #serveControl(channel: Channel): void {
    channel.established(CONTROL_BYTES_MAX);
    channel.handler = serveControl(channel, this.#options.events, (reason) => {
      this.#report(reason, channel);
    });
  }

  /** A node without anything to give closes it again. */
  #servePages(channel: Channel, from: NodeId): void {
    channel.established(PAGE_REQUEST_BYTES_MAX);
    const handler = this.#options.servePages?.(from, channel);
    if (handler === undefined) return channel.end();
    channel.handler = {
      onFrame: (frame) => handler.onFrame(frame),
      onDrain: () => handler.onDrain(),
      onClose: (reason) => {
        handler.onClose(reason);
        this.#report(reason, channel);
      },
    };
  }

  /** Tells of closed connections that broke a rule; that one was lost is no news here. */
  #report(reason: Error | undefined, channel: Channel): void {
    if (reason instanceof DatabaseError) this.#options.events.onReject(reason, channel.remote);
  }
}
