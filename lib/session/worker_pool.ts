/** The SQL workers of a node: one for one-shot writes, the others for reads and open streams. */
import { assert } from "../base/assert.ts";
import { SQL_WORKERS_MAX } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import { packToWorker, unpack } from "./worker_codec.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./worker_messages.ts";

/** A way to reach one executor, in a thread of its own or in this one. */
export interface WorkerPort {
  /** Sends a packed message. */
  post(data: unknown): void;
  /** Ends it at once, whatever it does. */
  terminate(): void;
}

/** Makes an executor. Messages may be posted at once; they are kept until it is ready. */
export type SpawnWorker = (
  onMessage: (data: unknown) => void,
  onError: (error: Error) => void,
) => WorkerPort;

/** What the pool tells its owner. */
export interface PoolEvents {
  onMessage(worker: number, message: FromWorker): void;
  onError(error: Error): void;
}

interface Worker {
  readonly port: WorkerPort;
  /** When each job was handed over. */
  readonly jobs: Map<number, number>;
  /** Streams that live here. */
  streams: number;
}

/** The worker that takes one-shot writes. */
export const WRITER = 0;
/** Long work of the node itself. */
const OWN: ReadonlySet<ToWorker["type"]> = new Set([
  "checkpoint",
  "digest",
  "restore_check",
  "restore",
]);

/** A worker whose oldest job is older than this is taken to run something long. */
const STUCK_MS = 20;

/** Names the sessions of a worker in the library. */
export function ownerOf(worker: number): number {
  return worker + 1;
}

/** Spawns workers as they are needed, up to {@linkcode SQL_WORKERS_MAX}. */
export class WorkerPool {
  readonly #workers: Worker[] = [];
  readonly #spawn: SpawnWorker;
  readonly #setup: Omit<WorkerSetup, "owner">;
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  readonly #listeners: ((message: FromWorker) => void)[] = [];

  constructor(
    spawn: SpawnWorker,
    options: {
      readonly setup: Omit<WorkerSetup, "owner">;
      readonly clock: Clock;
      readonly events: PoolEvents;
    },
  ) {
    this.#spawn = spawn;
    this.#setup = options.setup;
    this.#clock = options.clock;
    this.#events = options.events;
    this.#add();
    this.#add();
  }

  get size(): number {
    return this.#workers.length;
  }

  /** The worker for a read or a new stream: the least busy one, or a new one. */
  pick(): number {
    const nowMs = this.#clock.nowMs();
    let best = -1;
    let bestLoad = Infinity;
    for (let at = WRITER + 1; at < this.#workers.length; at++) {
      const worker = this.#workers[at]!;
      const load = worker.jobs.size + worker.streams / 8 + (this.#stuck(worker, nowMs) ? 1000 : 0);
      if (load < bestLoad) {
        best = at;
        bestLoad = load;
      }
    }
    assert(best > WRITER, "the pool has no worker for reads");
    const stuck = this.#stuck(this.#workers[best]!, nowMs);
    return stuck && this.#workers.length < SQL_WORKERS_MAX ? this.#add() : best;
  }

  /** Hands a message over. */
  post(worker: number, message: ToWorker): void {
    const target = this.#workers[worker];
    assert(target !== undefined, `there is no worker ${worker}`);
    if (message.type === "run") {
      const nowMs = this.#clock.nowMs();
      for (const job of message.jobs) target.jobs.set(job.id, nowMs);
    }
    // Work of the node keeps its worker from others; its numbers are its own.
    if (OWN.has(message.type) && "id" in message) {
      target.jobs.set(-message.id, this.#clock.nowMs());
    }
    target.port.post(packToWorker(message));
  }

  /** Tells `listener`, too, of every message of a worker. */
  listen(listener: (message: FromWorker) => void): void {
    this.#listeners.push(listener);
  }

  /** A job that was handed to a worker came back. */
  finished(worker: number, jobId: number): void {
    this.#workers[worker]!.jobs.delete(jobId);
  }

  /** When each job was handed to a worker that did not come back yet. */
  *jobs(): Iterable<readonly [jobId: number, handedMs: number]> {
    for (const { jobs } of this.#workers) yield* jobs;
  }

  /** Counts the streams that live in a worker. */
  streams(worker: number, change: 1 | -1): void {
    this.#workers[worker]!.streams += change;
  }

  broadcast(message: ToWorker): void {
    for (const worker of this.#workers) worker.port.post(packToWorker(message));
  }

  terminate(): void {
    for (const worker of this.#workers) worker.port.terminate();
  }

  #add(): number {
    const index = this.#workers.length;
    const port = this.#spawn(
      (data) => {
        const message = unpack<FromWorker>(data);
        this.#events.onMessage(index, message);
        for (const listener of this.#listeners) listener(message);
      },
      (error) => this.#events.onError(error),
    );
    this.#workers.push({ port, jobs: new Map(), streams: 0 });
    const setup = { ...this.#setup, owner: ownerOf(index) };
    port.post(packToWorker({ type: "setup", setup }));
    return index;
  }

  #stuck(worker: Worker, nowMs: number): boolean {
    const oldest = worker.jobs.values().next().value;
    return oldest !== undefined && nowMs - oldest > STUCK_MS;
  }
}
