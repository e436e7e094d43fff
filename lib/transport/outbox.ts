import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { FRAME_BYTES_MAX, PEER_WRITE_BYTES } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Message } from "../raft/types.ts";
import { beginFrame, endFrame, FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { encodeMessage, messageSizeBytes } from "../wire/message.ts";
import type { Channel } from "./channel.ts";

/**
 * The messages on their way to one node. Those of one turn of the event loop leave in one write;
 * while the connection does not take more they wait here, up to a bound.
 */
export class Outbox {
  readonly #clock: Clock;
  readonly #queueBytesMax: number;
  #channel: Channel | undefined;
  #isBlocked = false;
  #isScheduled = false;
  #messages: { readonly message: Message; readonly sizeBytes: number }[] = [];
  #queuedBytes = 0;

  /** @param queueBytesMax Bytes that may wait; further messages are dropped. */
  constructor(clock: Clock, queueBytesMax: number) {
    this.#clock = clock;
    this.#queueBytesMax = queueBytesMax;
  }

  /** Bytes that wait. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Sends over `channel` from now on, first what waits already. */
  attach(channel: Channel): void {
    this.#channel = channel;
    this.#isBlocked = false;
    this.#schedule();
  }

  /** Forgets the channel and everything that waits. */
  clear(): void {
    this.#channel = undefined;
    this.#messages = [];
    this.#queuedBytes = 0;
  }

  /** Queues a message; false when there is no room, then it is dropped. */
  add(message: Message): boolean {
    const sizeBytes = FRAME_HEADER_BYTES + messageSizeBytes(message);
    assert(sizeBytes <= FRAME_BYTES_MAX, `a message of ${sizeBytes} bytes fits no frame`);
    if (this.#queuedBytes + sizeBytes > this.#queueBytesMax) return false;
    this.#messages.push({ message, sizeBytes });
    this.#queuedBytes += sizeBytes;
    this.#schedule();
    return true;
  }

  /** The connection takes more. */
  onDrain(): void {
    this.#isBlocked = false;
    this.flush();
  }

  /** Writes what waits, for as long as the connection takes it. */
  flush(): void {
    let first = 0;
    while (first < this.#messages.length && this.#channel?.isOpen && !this.#isBlocked) {
      let end = first;
      let sizeBytes = 0;
      while (end < this.#messages.length && (end === first || sizeBytes < PEER_WRITE_BYTES)) {
        sizeBytes += this.#messages[end++]!.sizeBytes;
      }
      // The writer is as large as needed and is handed over with its memory: one copy in all.
      const writer = new ByteWriter(sizeBytes);
      for (; first < end; first++) writeMessage(writer, this.#messages[first]!.message);
      this.#queuedBytes -= sizeBytes;
      this.#isBlocked = !this.#channel.write(writer.view());
    }
    if (first > 0) this.#messages = this.#messages.slice(first);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#channel === undefined || this.#messages.length === 0) return;
    this.#isScheduled = true;
    this.#clock.soon(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }
}

function writeMessage(writer: ByteWriter, message: Message): void {
  const start = beginFrame(writer, "message");
  endFrame(writer, start, encodeMessage(writer, message));
}
