import type { LogIndex, ReadResult } from "../raft/types.ts";
import { PENDING_READS_MAX } from "../base/limits.ts";

/** Called once; the index is undefined when no leader confirmed the read in time. */
export type ReadCallback = (index: LogIndex | undefined) => void;

/** How long, and how often, a read may ask. */
export interface ReadOptions {
  readonly deadlineMs: number;
  /**
   * Whether the question may be put again. Not when the read runs while it is asked: an answer to a
   * later question says nothing about what the read saw before.
   */
  readonly retry: boolean;
}

interface PendingRead extends ReadOptions {
  readonly callback: ReadCallback;
  /** When the question is put again, since a message may have been lost. */
  retryMs: number;
}

/** Time after which an unanswered question is put again, under a new ticket. */
const RETRY_MS = 250;

/**
 * Linearizable reads that wait for the leader's word. A ticket is used once: a late answer to an
 * earlier question must not confirm a later one.
 */
export class Reads {
  readonly #ask: () => number;
  readonly #pending = new Map<number, PendingRead>();

  /** @param ask Draws a new ticket from the core. */
  constructor(ask: () => number) {
    this.#ask = ask;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Asks for the index that a read starting now must wait for. */
  read(nowMs: number, options: ReadOptions, callback: ReadCallback): void {
    if (this.#pending.size >= PENDING_READS_MAX) {
      callback(undefined);
      return;
    }
    this.#pending.set(this.#ask(), { ...options, callback, retryMs: nowMs + RETRY_MS });
  }

  /** Takes the core's answers. Those that say "ask again" are asked again at the next sweep. */
  resolve(results: readonly ReadResult[], nowMs: number): void {
    for (const { ticket, index } of results) {
      const read = this.#pending.get(ticket);
      if (read === undefined) continue;
      if (index === undefined && read.retry && nowMs < read.deadlineMs) {
        read.retryMs = nowMs;
        continue;
      }
      this.#pending.delete(ticket);
      read.callback(index);
    }
  }

  /** Puts overdue questions again, and gives up those past their deadline. */
  sweep(nowMs: number): void {
    const due: (readonly [ticket: number, read: PendingRead])[] = [];
    this.#pending.forEach((read, ticket) => {
      if (nowMs >= read.deadlineMs || (read.retry && nowMs >= read.retryMs)) {
        due.push([ticket, read]);
      }
    });
    for (const [ticket, read] of due) {
      this.#pending.delete(ticket);
      if (nowMs >= read.deadlineMs) read.callback(undefined);
      else this.#pending.set(this.#ask(), { ...read, retryMs: nowMs + RETRY_MS });
    }
  }

  /** Leadership is lost: reads that may not ask again are answered with "no leader". */
  failFixed(): void {
    for (const [ticket, read] of [...this.#pending]) {
      if (read.retry) continue;
      this.#pending.delete(ticket);
      read.callback(undefined);
    }
  }

  /** Answers everyone who waits with "no leader". */
  fail(): void {
    const reads = [...this.#pending.values()];
    this.#pending.clear();
    for (const read of reads) read.callback(undefined);
  }
}
