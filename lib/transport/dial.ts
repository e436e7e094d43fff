import { FormatError } from "../base/bytes.ts";
import type { HostPort } from "../io/address.ts";
import type { Clock } from "../io/clock.ts";
import { IGNORE, type Network } from "../io/network.ts";
import type { Frame } from "../wire/frame.ts";
import { decodeHello, decodeRefusal, type Hello } from "../wire/handshake.ts";
import { Channel, type ChannelHandler } from "./channel.ts";
import { greeting, mismatchOf } from "./handshake.ts";
import { HandshakeError } from "./types.ts";

/** What dialling needs. */
export interface DialOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly address: HostPort;
  readonly hello: Hello;
  /** Largest body of a frame to accept after the handshake. */
  readonly bodyBytesMax: number;
}

/** What becomes of a channel that was dialled. */
export interface DialHandler extends ChannelHandler {
  /** Both sides accepted each other. Called at most once, before any frame. */
  onEstablished(theirs: Hello): void;
}

/**
 * Dials a node and shakes hands, within the time limit of the handshake. `handler.onClose` is
 * called in every case, also when nothing came of it; then with the reason, which is a
 * {@linkcode HandshakeError} when either side refused.
 */
export function dial(options: DialOptions, handler: DialHandler): Channel {
  const { network, clock, address, hello } = options;
  const connection = network.connect(address, IGNORE);
  const channel = new Channel(connection, clock, {
    expectsMagic: true,
    onOpen: () => void channel.write(greeting(hello)),
    handler: {
      onFrame(frame) {
        const theirs = channel.read(() => answerOf(frame, hello, channel.remote));
        if (theirs === undefined) return;
        channel.established(options.bodyBytesMax);
        channel.handler = handler;
        handler.onEstablished(theirs);
      },
      onDrain: () => {},
      onClose: (reason) => handler.onClose(reason ?? closedEarly(channel.remote)),
    },
  });
  return channel;
}

/** Checks the answer to our hello. */
function answerOf(frame: Frame, ours: Hello, remote: string): Hello {
  if (frame.type === "refusal") throw new HandshakeError(decodeRefusal(frame.body));
  if (frame.type !== "hello") throw new FormatError(`A handshake began with a ${frame.type}`);
  const theirs = decodeHello(frame.body);
  const mismatch = mismatchOf(ours, theirs, remote);
  if (mismatch !== undefined) throw new HandshakeError(mismatch);
  return theirs;
}

function closedEarly(remote: string): Error {
  return new Error(`${remote} closed the connection before the handshake`);
}
