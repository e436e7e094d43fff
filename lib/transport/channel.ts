import { ByteWriter, FormatError } from "../base/bytes.ts";
import { DatabaseError } from "../base/errors.ts";
import { HANDSHAKE_BYTES_MAX, HANDSHAKE_TIMEOUT_MS } from "../base/limits.ts";
import { KEEPALIVE_MS, SILENT_PERIODS_MAX } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Connection } from "../io/network.ts";
import { beginFrame, endFrame, type Frame, FrameReader } from "../wire/frame.ts";
import { MAGIC, MAGIC_BYTES } from "../wire/handshake.ts";

/** What happens on a channel. No method is called from within one of its methods. */
export interface ChannelHandler {
  /** The next frame; keepalives are not told. What it throws stops the process. */
  onFrame(frame: Frame): void;
  onDrain(): void;
  /** Called once, and last. `reason` is undefined when either side simply closed. */
  onClose(reason: Error | undefined): void;
}

/** How a channel begins. */
export interface ChannelOptions {
  readonly handler: ChannelHandler;
  /** Whether the magic bytes are still to come, as they are on a dialled connection. */
  readonly expectsMagic: boolean;
  /** The dialled connection is there. */
  readonly onOpen?: () => void;
}

/**
 * Frames over a connection, with a time limit for the handshake and, after it, proof of life: each
 * side that has nothing to say sends a keepalive in every period, and a side that hears nothing
 * for {@linkcode SILENT_PERIODS_MAX} periods takes the connection for dead. Periods are counted,
 * not measured, so that a process that was stopped for a while blames nobody else.
 */
export class Channel {
  readonly remote: string;
  handler: ChannelHandler;
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #frames = new FrameReader(HANDSHAKE_BYTES_MAX);
  /** How many of the magic bytes have arrived. */
  #magicAt: number;
  #reason: Error | undefined;
  #closing = false;
  #closed = false;
  #heard = false;
  #spoke = false;
  #silentPeriods = 0;
  #cancelTimer: () => void;

  constructor(connection: Connection, clock: Clock, options: ChannelOptions) {
    this.remote = connection.remote;
    this.handler = options.handler;
    this.#magicAt = options.expectsMagic ? 0 : MAGIC_BYTES;
    this.#connection = connection;
    this.#clock = clock;
    this.#cancelTimer = clock.after(HANDSHAKE_TIMEOUT_MS, () => this.#handshakeExpired());
    connection.handler = {
      onOpen: options.onOpen ?? (() => {}),
      onData: (bytes) => this.receive(bytes),
      onDrain: () => {
        if (!this.#closing) this.handler.onDrain();
      },
      onClose: (error) => this.#onClose(error),
    };
  }

  /** False once the channel is closed or about to be. */
  get isOpen(): boolean {
    return !this.#closing;
  }

  /** Ends the time limit of the handshake and starts the proof of life. */
  established(bodyBytesMax: number): void {
    this.#frames.bodyBytesMax = bodyBytesMax;
    this.#cancelTimer();
    if (!this.#closed) this.#cancelTimer = this.#clock.after(KEEPALIVE_MS, () => this.#onPeriod());
  }

  /** Takes bytes that arrived. */
  receive(bytes: Uint8Array): void {
    if (this.#closing) return;
    this.#heard = true;
    const rest = this.#skipMagic(bytes);
    if (rest.length === 0) return;
    this.#frames.push(rest);
    while (!this.#closing) {
      const frame = this.read(() => this.#frames.next());
      if (frame === undefined) return;
      if (frame.type !== "keepalive") this.handler.onFrame(frame);
    }
  }

  /**
   * Runs `decode` over what the other side sent. When it is malformed or refused, the channel is
   * closed for that reason and the result undefined.
   */
  read<T>(decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      if (error instanceof FormatError) this.violation(error.message);
      else if (error instanceof DatabaseError) this.fail(error);
      else throw error;
      return undefined;
    }
  }

  /** Closes at once: the other side broke the protocol. */
  violation(message: string): void {
    this.fail(new DatabaseError("PROTOCOL", message));
  }

  /**
   * Sends whole frames; the bytes must not be changed afterwards.
   *
   * @returns False when the writer should wait for `onDrain`.
   */
  write(bytes: Uint8Array): boolean {
    this.#spoke = true;
    return this.#connection.write(bytes);
  }

  /** Closes at once, for `reason`. */
  fail(reason: Error | undefined): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#reason = reason;
    this.#connection.destroy();
  }

  /** Closes once what was written has left; nothing is received any more. */
  end(reason?: Error): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#reason = reason;
    this.#connection.end();
  }

  /** The bytes after the magic ones, of which `bytes` may hold none, some or all. */
  #skipMagic(bytes: Uint8Array): Uint8Array {
    let at = 0;
    for (; this.#magicAt < MAGIC_BYTES && at < bytes.length; at++, this.#magicAt++) {
      if (bytes[at] === MAGIC[this.#magicAt]) continue;
      this.violation(`${this.remote} does not speak the protocol of this program's nodes`);
      return bytes.subarray(0, 0);
    }
    return at === 0 ? bytes : bytes.subarray(at);
  }

  #handshakeExpired(): void {
    this.violation(`No handshake with ${this.remote} within ${HANDSHAKE_TIMEOUT_MS} ms`);
  }

  #onPeriod(): void {
    this.#silentPeriods = this.#heard ? 0 : this.#silentPeriods + 1;
    this.#heard = false;
    if (this.#silentPeriods >= SILENT_PERIODS_MAX) {
      const silentMs = SILENT_PERIODS_MAX * KEEPALIVE_MS;
      return this.fail(new Error(`${this.remote} has been silent for ${silentMs} ms`));
    }
    if (!this.#spoke) this.write(KEEPALIVE);
    this.#spoke = false;
    this.#cancelTimer = this.#clock.after(KEEPALIVE_MS, () => this.#onPeriod());
  }

  #onClose(error: Error | undefined): void {
    this.#closing = true;
    this.#closed = true;
    this.#cancelTimer();
    this.handler.onClose(this.#reason ?? error);
  }
}

const KEEPALIVE = keepalive();

function keepalive(): Uint8Array {
  const writer = new ByteWriter(32);
  endFrame(writer, beginFrame(writer, "keepalive"));
  return writer.finish();
}
