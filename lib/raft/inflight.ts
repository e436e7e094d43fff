import { assert } from "../base/assert.ts";
import type { LogIndex } from "./types.ts";

/**
 * The append messages on their way to one peer, oldest first: last index and bytes of each.
 * Bounded in messages and in bytes; one message may go past the byte bound, so that an entry of
 * any size gets through.
 */
export class Inflight {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  readonly #lastIndexes: LogIndex[] = [];
  readonly #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: LogIndex, sizeBytes: number): void {
    assert(!this.full, `${this.#count} messages are in flight already`);
    const at = (this.#start + this.#count) % this.#messagesMax;
    this.#lastIndexes[at] = lastIndex;
    this.#sizes[at] = sizeBytes;
    this.#count++;
    this.#bytes += sizeBytes;
  }

  /** Forgets the messages that end at or before `matchIndex`. */
  acknowledge(matchIndex: LogIndex): void {
    while (this.#count > 0 && this.#lastIndexes[this.#start]! <= matchIndex) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#messagesMax;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  /** The last index of each message, oldest first. */
  lastIndexes(): LogIndex[] {
    return Array.from(
      { length: this.#count },
      (_, at) => this.#lastIndexes[(this.#start + at) % this.#messagesMax]!,
    );
  }

  copy(): Inflight {
    const copy = new Inflight(this.#messagesMax, this.#bytesMax);
    copy.#lastIndexes.push(...this.#lastIndexes);
    copy.#sizes.push(...this.#sizes);
    copy.#start = this.#start;
    copy.#count = this.#count;
    copy.#bytes = this.#bytes;
    return copy;
  }
}
