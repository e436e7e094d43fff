import { DatabaseError } from "../base/errors.ts";
import { FRAME_BYTES_MAX, PEER_QUEUE_BYTES_MAX } from "../base/limits.ts";
import { RECONNECT_MAX_MS, RECONNECT_MIN_MS } from "../base/limits.ts";
import { below } from "../base/random.ts";
import { type HostPort, parseAddress } from "../io/address.ts";
import type { Member, Message } from "../raft/types.ts";
import type { Frame } from "../wire/frame.ts";
import type { Hello } from "../wire/handshake.ts";
import { decodeMessage } from "../wire/message.ts";
import type { Channel } from "./channel.ts";
import { dial } from "./dial.ts";
import { helloOf } from "./handshake.ts";
import { Outbox } from "./outbox.ts";
import type { TransportOptions } from "./types.ts";

/** A connection that lived for this long was a good one: the next wait is the shortest again. */
const STABLE_MS = 1_000;

/**
 * One peer, and the connection that we open to it: dialled again for as long as the peer is one,
 * after a wait that doubles and is drawn at random. Messages wait while a dial is under way; while
 * none is they are not taken.
 */
export class Peer {
  readonly member: Member;
  readonly #options: TransportOptions;
  readonly #onBoot: (bootId: number) => void;
  readonly #outbox: Outbox;
  /** Dialled, and perhaps established. */
  #channel: Channel | undefined;
  /** The boot id of the process at the other end, once established. */
  #bootId: number | undefined;
  #establishedAtMs = 0;
  /** Dials that failed one after another. */
  #failures = 0;
  #isOutageTold = false;
  #isOverflowTold = false;
  #lastReject = "";
  #cancelWait: (() => void) | undefined;
  #isClosed = false;
  #onClosed: () => void = () => {};

  /** @param onBoot Called with the boot id of every process that is met at the other end. */
  constructor(member: Member, options: TransportOptions, onBoot: (bootId: number) => void) {
    this.member = member;
    this.#options = options;
    this.#onBoot = onBoot;
    this.#outbox = new Outbox(options.clock, PEER_QUEUE_BYTES_MAX);
    this.#dial();
  }

  /** Writes what waits, as far as the connection takes it. */
  flush(): void {
    this.#outbox.flush();
  }

  /** Sends a message or queues it; false when the peer is out of reach at the moment. */
  send(message: Message): boolean {
    if (this.#channel === undefined) return false;
    if (this.#outbox.add(message)) {
      if (this.#outbox.queuedBytes < PEER_QUEUE_BYTES_MAX / 2) this.#isOverflowTold = false;
    } else if (!this.#isOverflowTold) {
      this.#isOverflowTold = true;
      this.#options.clock.soon(() => {
        if (!this.#isClosed) this.#options.events.onUnreachable(this.member.id);
      });
    }
    return true;
  }

  /** The peer dialled us, so it is there: a wait ends, and a connection to its past is given up. */
  onCall(bootId: number): void {
    if (this.#cancelWait !== undefined) {
      this.#cancelWait();
      this.#dial();
    } else if (this.#bootId !== undefined && this.#bootId !== bootId) {
      this.#channel?.fail(undefined);
    }
  }

  /** Gives the peer up, after what was sent has left. Resolves once the connection is closed. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelWait?.();
    const channel = this.#channel;
    if (channel === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onClosed = resolve;
      if (this.#bootId === undefined) return channel.fail(undefined);
      this.#outbox.flush();
      channel.end();
    });
  }

  #dial(): void {
    this.#cancelWait = undefined;
    const { identity, network, clock } = this.#options;
    const address = this.#address();
    // Without a cluster there is nothing to say; the id may come at any time.
    if (address === undefined || identity.clusterId() === undefined) return this.#wait();
    this.#channel = dial({
      network,
      clock,
      address,
      hello: helloOf(identity, "raft", this.member.id),
      bodyBytesMax: FRAME_BYTES_MAX,
    }, {
      onEstablished: (theirs) => this.#onEstablished(theirs),
      onFrame: (frame) => this.#onFrame(frame),
      onDrain: () => this.#outbox.onDrain(),
      onClose: (reason) => this.#onClose(reason),
    });
  }

  #address(): HostPort | undefined {
    try {
      return parseAddress(this.member.address);
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      this.#options.clock.soon(() => this.#reject(error));
      return undefined;
    }
  }

  #onEstablished(theirs: Hello): void {
    this.#bootId = theirs.bootId;
    this.#establishedAtMs = this.#options.clock.nowMs();
    this.#isOutageTold = false;
    this.#lastReject = "";
    if (this.#channel !== undefined) this.#outbox.attach(this.#channel);
    this.#onBoot(theirs.bootId);
  }

  /** A peer that does not know our address answers over the connection that we opened. */
  #onFrame(frame: Frame): void {
    const channel = this.#channel;
    if (channel === undefined) return;
    if (frame.type !== "message") return channel.violation(`Unexpected frame: ${frame.type}`);
    const message = channel.read(() => decodeMessage(frame.body));
    if (message !== undefined) this.#options.events.onMessage(this.member.id, message);
  }

  #onClose(reason: Error | undefined): void {
    const { clock, events } = this.#options;
    const isStable = this.#bootId !== undefined &&
      clock.nowMs() - this.#establishedAtMs >= STABLE_MS;
    this.#channel = undefined;
    this.#bootId = undefined;
    this.#outbox.clear();
    if (this.#isClosed) return this.#onClosed();
    this.#failures = isStable ? 0 : this.#failures + 1;
    this.#wait();
    if (reason instanceof DatabaseError) this.#reject(reason);
    if (this.#isOutageTold) return;
    this.#isOutageTold = true;
    events.onUnreachable(this.member.id);
  }

  #wait(): void {
    const doubledMs = RECONNECT_MIN_MS * 2 ** Math.min(this.#failures, 16);
    const waitMs = Math.min(RECONNECT_MAX_MS, doubledMs);
    const jitteredMs = waitMs / 2 + below(this.#options.random, waitMs / 2 + 1);
    this.#cancelWait = this.#options.clock.after(jitteredMs, () => this.#dial());
  }

  /** Reports why the peer was refused; the same reason only once until it changes. */
  #reject(reason: DatabaseError): void {
    if (this.#isClosed || reason.message === this.#lastReject) return;
    this.#lastReject = reason.message;
    this.#options.events.onReject(reason, this.member.address);
  }
}
