/** The streams of a node: which are open, where they live, and why others are gone. */
import { assert } from "../base/assert.ts";
import { DatabaseError, type ErrorCode } from "../base/errors.ts";
import { SESSIONS_MAX, TOMBSTONES_MAX } from "../base/limits.ts";
import type { JobDatabase } from "./worker_messages.ts";

/** One open stream. */
export interface Stream {
  readonly id: number;
  /** What a client must show; it cannot be guessed. */
  readonly token: string;
  readonly worker: number;
  /** Undefined for the first database. */
  readonly database: JobDatabase | undefined;
  /** Lets the database be closed. */
  readonly letGo: (() => void) | undefined;
  /** Whether it may write: it was opened while this node led. */
  readonly writable: boolean;
  /** Counts the pipelines; a baton is good for one. */
  sequence: number;
  /** The job that runs now. */
  jobId: number | undefined;
  inTransaction: boolean;
  /** When the open transaction began; undefined outside of one. */
  transactionSinceMs: number | undefined;
  lastUsedMs: number;
}

/** Why a stream is gone. */
export type StreamEnd =
  | Extract<
    ErrorCode,
    | "STREAM_EXPIRED"
    | "TRANSACTION_TIMEOUT"
    | "TRANSACTION_LOST"
    | "SHUTTING_DOWN"
    | "DATABASE_UNKNOWN"
  >
  | "SNAPSHOT_TIMEOUT";

const REASONS: Readonly<Record<StreamEnd, string>> = {
  STREAM_EXPIRED: "The stream has expired due to inactivity",
  TRANSACTION_TIMEOUT: "The transaction was rolled back: it was idle while others waited to write",
  SNAPSHOT_TIMEOUT:
    "The transaction was rolled back: it looked at one state of the database for too long",
  TRANSACTION_LOST:
    "The stream ended, and its transaction was rolled back: its node stopped leading",
  DATABASE_UNKNOWN: "The stream is closed: its database was dropped",
  SHUTTING_DOWN: "The stream is closed: its node stops",
};

/** Hands out batons and takes them back. */
export class Streams {
  readonly #byToken = new Map<string, Stream>();
  readonly #byId = new Map<number, Stream>();
  readonly #tombstones = new Map<string, StreamEnd>();
  readonly #randomToken: () => string;
  #lastId = 0;

  /** @param randomToken A secret of at least 128 bits, without a full stop. */
  constructor(randomToken: () => string) {
    this.#randomToken = randomToken;
  }

  get size(): number {
    return this.#byId.size;
  }

  values(): Iterable<Stream> {
    return this.#byId.values();
  }

  get(id: number): Stream | undefined {
    return this.#byId.get(id);
  }

  /** @throws {DatabaseError} `BUSY` when too many are open. */
  open(
    worker: number,
    database: Stream["database"],
    letGo: Stream["letGo"],
    writable: boolean,
    nowMs: number,
  ): Stream {
    if (this.#byId.size >= SESSIONS_MAX) {
      throw new DatabaseError("BUSY", `Cannot open a stream: ${SESSIONS_MAX} are open already`);
    }
    const stream: Stream = {
      id: ++this.#lastId,
      token: this.#randomToken(),
      worker,
      database,
      letGo,
      writable,
      sequence: 0,
      jobId: undefined,
      inTransaction: false,
      transactionSinceMs: undefined,
      lastUsedMs: nowMs,
    };
    this.#byToken.set(stream.token, stream);
    this.#byId.set(stream.id, stream);
    return stream;
  }

  /** The baton for the next pipeline. */
  baton(stream: Stream): string {
    return `${stream.token}.${stream.sequence}`;
  }

  /**
   * The stream that a baton names; the baton is used up.
   *
   * @throws {DatabaseError} `BATON_INVALID`, or why the stream is gone.
   */
  resume(baton: string): Stream {
    const dot = baton.lastIndexOf(".");
    const token = baton.slice(0, Math.max(0, dot));
    const stream = this.#byToken.get(token);
    if (stream === undefined) {
      const end = this.#tombstones.get(token);
      if (end !== undefined) throw streamEndError(end);
      throw new DatabaseError("BATON_INVALID", "Received an invalid baton", {
        hint: "The node may have restarted: open a new stream",
      });
    }
    if (baton.slice(dot + 1) !== String(stream.sequence) || stream.jobId !== undefined) {
      throw new DatabaseError("BATON_INVALID", "Received a baton that has already been used");
    }
    stream.sequence++;
    return stream;
  }

  /** Forgets a stream; with a reason, whoever asks for it is told. */
  close(stream: Stream, end?: StreamEnd): void {
    assert(this.#byId.delete(stream.id), `stream ${stream.id} is closed twice`);
    this.#byToken.delete(stream.token);
    stream.letGo?.();
    if (end === undefined) return;
    this.#tombstones.set(stream.token, end);
    if (this.#tombstones.size <= TOMBSTONES_MAX) return;
    const oldest = this.#tombstones.keys().next().value;
    if (oldest !== undefined) this.#tombstones.delete(oldest);
  }
}

/** The error that tells why a stream ended. */
export function streamEndError(end: StreamEnd): DatabaseError {
  const code = end === "SNAPSHOT_TIMEOUT" ? "TRANSACTION_TIMEOUT" : end;
  return new DatabaseError(code, REASONS[end]);
}
