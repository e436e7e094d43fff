/** Who holds the write turn, from the moment it is asked for until it is given back. */
import { assert } from "../base/assert.ts";
import type { DatabaseError } from "../base/errors.ts";
import type { Pending } from "./pending.ts";
import type { JobResult } from "./worker_messages.ts";
import { WriteQueue, type Writer } from "./write_queue.ts";

/** One who waits for the turn. */
interface Turn extends Writer {
  readonly work:
    | { readonly type: "one_shot"; readonly pending: Pending }
    /** A statement in the middle of a job, which waits in its worker. */
    | { readonly type: "statement"; readonly pending: Pending }
    /** Work of the node itself. */
    | { readonly type: "internal"; readonly run: (release: () => void) => void };
}

/** Who holds the turn. */
type Holder =
  | { readonly type: "grant"; readonly id: number }
  | { readonly type: "job"; readonly id: number }
  | { readonly type: "stream"; readonly id: number }
  | { readonly type: "internal" };

/** What is done with a turn. */
export interface TurnEvents {
  /** Whether a turn may be given at all right now. */
  mayWrite(): boolean;
  /** One-shot requests got a turn, which they share under the number `grant`. */
  onOneShots(pendings: readonly Pending[], grant: number): void;
  /** A statement that waits in its worker got a turn. */
  onStatement(pending: Pending): void;
}

/** See the file comment. */
export class WriteTurns {
  readonly #events: TurnEvents;
  readonly #queue: WriteQueue<Turn>;
  /** The place in the queue of jobs that wait in the middle of their work. */
  readonly #statements = new Map<number, Turn>();
  #holder: Holder | undefined;
  #lastGrant = 0;

  constructor(events: TurnEvents) {
    this.#events = events;
    this.#queue = new WriteQueue<Turn>(events.mayWrite, (turns) => this.#granted(turns));
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.waiting;
  }

  /** Whether a stream's transaction holds the turn. */
  isHeldByStream(streamId: number): boolean {
    return this.#holder?.type === "stream" && this.#holder.id === streamId;
  }

  /** Whether a job holds the turn. */
  isHeldByJob(jobId: number): boolean {
    return this.#holder?.type === "job" && this.#holder.id === jobId;
  }

  /** A request that is done in one go asks for the turn. */
  joinOneShot(pending: Pending, deadlineMs: number, refuse: Writer["refuse"]): void {
    this.#queue.join({ work: { type: "one_shot", pending }, shared: true, deadlineMs, refuse });
  }

  /** A statement in the middle of a job asks for the turn. */
  joinStatement(pending: Pending, deadlineMs: number, refuse: Writer["refuse"]): void {
    const work = { type: "statement", pending } as const;
    const turn = { work, shared: false, deadlineMs, refuse };
    this.#statements.set(pending.job.id, turn);
    this.#queue.join(turn);
  }

  /** Work of the node asks for the turn; it gives it back by calling `release`. */
  joinInternal(
    run: (release: () => void) => void,
    deadlineMs: number,
    refuse: Writer["refuse"],
  ): void {
    this.#queue.join({ work: { type: "internal", run }, shared: false, deadlineMs, refuse });
  }

  /** There may be room for writes now. */
  next(): void {
    this.#queue.next();
  }

  /** Refuses those whose time is up. */
  expire(nowMs: number): void {
    this.#queue.expire(nowMs);
  }

  /** Refuses requests that wait, but not work of the node itself. */
  refuseRequests(error: DatabaseError): void {
    this.#queue.refuse(error, ({ work }) => work.type !== "internal");
  }

  /** Refuses everyone, and forgets who holds the turn. */
  clear(error: DatabaseError): void {
    this.#holder = undefined;
    this.#queue.clear(error);
  }

  /** One-shot requests that stand next, and share the turn of `grant` from now on. */
  share(grant: number): readonly Pending[] {
    const holds = this.#holder?.type === "grant" && this.#holder.id === grant;
    return holds ? this.#queue.share().map(pendingOf) : [];
  }

  /** All requests of a grant are done. */
  releaseGrant(grant: number): void {
    this.#release({ type: "grant", id: grant });
  }

  /** A stream was closed, and its transaction rolled back. */
  releaseStream(streamId: number): void {
    this.#release({ type: "stream", id: streamId });
  }

  /**
   * A job is done: its turn passes to its stream's open transaction, or is free.
   *
   * @param streamId Undefined when it had no stream, or when its stream was given up meanwhile.
   */
  finished(result: JobResult, streamId: number | undefined): void {
    const { id } = result;
    const waiting = this.#statements.get(id);
    this.#statements.delete(id);
    if (waiting !== undefined) this.#queue.leave(waiting);
    const holder = this.#holder;
    const ours = holder?.type === "job" && holder.id === id ||
      holder?.type === "stream" && holder.id === streamId;
    if (!ours) return;
    if (streamId !== undefined && result.open && result.inTransaction) {
      this.#holder = { type: "stream", id: streamId };
    } else this.#release(holder);
  }

  #granted(turns: readonly Turn[]): void {
    const first = turns[0]!.work;
    switch (first.type) {
      case "one_shot": {
        const grant = ++this.#lastGrant;
        this.#holder = { type: "grant", id: grant };
        this.#events.onOneShots(turns.map(pendingOf), grant);
        break;
      }
      case "statement":
        this.#holder = { type: "job", id: first.pending.job.id };
        this.#events.onStatement(first.pending);
        break;
      case "internal": {
        const holder: Holder = { type: "internal" };
        this.#holder = holder;
        first.run(() => this.#release(holder));
        break;
      }
    }
  }

  /** Gives the turn back, if this is who holds it. */
  #release(holder: Holder): void {
    const current = this.#holder;
    if (current === undefined || current.type !== holder.type) return;
    if (current.type === "internal" && current !== holder) return;
    if ("id" in current && "id" in holder && current.id !== holder.id) return;
    this.#holder = undefined;
    this.#queue.release();
  }
}

function pendingOf({ work }: Turn): Pending {
  assert(work.type === "one_shot", "only one-shot requests share a turn");
  return work.pending;
}
