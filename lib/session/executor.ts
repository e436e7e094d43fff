/**
 * Runs jobs on connections of its own: the SQL side of sessions. It knows messages, not threads, so
 * that it works in a worker and in the thread of its caller alike.
 */
import type { Library } from "../../ffi/library.ts";
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { Connection } from "../database/connection.ts";
import { digestOf } from "../database/digest.ts";
import type { Hasher } from "../io/hash.ts";
import { encodePipeline, jsonBytes } from "../wire/hrana/encode.ts";
import type { Json } from "../wire/hrana/types.ts";
import { Copies } from "./copies.ts";
import { type FileTask, runFileTask } from "./file_task.ts";
import { IdleConnections } from "./idle_connections.ts";
import { refusal, undone } from "./job_result.ts";
import { asPlain, fromPlain } from "./plain_error.ts";
import { type Run, runRequests, type StreamContext } from "./request_runner.ts";
import type { FromWorker, Job, JobResult, ToWorker } from "./worker_messages.ts";

/** A job that waits for the write turn. */
interface Waiting {
  readonly job: Job;
  readonly context: StreamContext;
  readonly run: Run<Json[]>;
  readonly seqBefore: number;
}

/** Results are sent at the latest after this time, so that a slow job does not hold up others. */
const FLUSH_MS = 2;

/** What an executor needs of its surroundings. */
export interface ExecutorOptions {
  readonly library: Library;
  readonly databasePath: string;
  /** Names the connections, where others may interrupt them. */
  readonly owner?: number;
  readonly nowMs: () => number;
  readonly post: (message: FromWorker) => void;
  readonly sha256: () => Hasher;
}

/** See the file comment. */
export class Executor {
  readonly #options: ExecutorOptions;
  readonly #streams = new Map<number, StreamContext>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #idle = new IdleConnections();
  readonly #copies: Copies;
  #maintenance: Connection | undefined;
  /** Set while everything is let go of: nobody gets the write turn any more. */
  #resetError: DatabaseError | undefined;

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#copies = new Copies({ ...options, open: (path) => this.#open(path) });
  }

  /** Takes one message of the main thread. */
  handle(message: Exclude<ToWorker, { type: "setup" }>): void {
    switch (message.type) {
      case "run":
        this.#runJobs(message.jobs, message.grant);
        break;
      case "turn":
        this.#takeTurn(message.jobId, message.error && fromPlain(message.error));
        break;
      case "close_stream":
        this.#closeStream(message.streamId);
        this.#options.post({ ...message, type: "stream_closed" });
        break;
      case "reset":
        this.#reset();
        this.#options.post({ type: "reset_done" });
        break;
      case "release":
        this.#release(message.id, message.database, message.isGone);
        break;
      case "checkpoint":
        this.#checkpoint(message.id, message.database);
        break;
      case "digest":
        this.#digest(message.id, message.database);
        break;
      case "file_task":
        this.#fileTask(message.id, message.task, message.database);
        break;
      case "stop":
        this.#reset();
        this.#options.post({ type: "stopped" });
        break;
      default:
        this.#copies.handle(message);
        break;
    }
  }

  #runJobs(jobs: readonly Job[], grant: number | undefined): void {
    const { nowMs, post } = this.#options;
    let results: JobResult[] = [];
    let flushedMs = nowMs();
    for (const job of jobs) {
      const result = this.#start(job, grant !== undefined);
      if (result !== undefined) results.push(result);
      if (results.length > 0 && nowMs() - flushedMs > FLUSH_MS) {
        post({ type: "done", results });
        results = [];
        flushedMs = nowMs();
      }
    }
    const databaseId = jobs[0]?.database?.id;
    if (grant !== undefined) post({ type: "granted_done", results, grant, databaseId });
    else if (results.length > 0) post({ type: "done", results });
  }

  /** Runs a job to its end, or to the point where it needs the write turn. */
  #start(job: Job, holdsTurn: boolean): JobResult | undefined {
    if (job.fault !== undefined) return refusal(job, fromPlain(job.fault));
    if (job.isMisjudged === true) return { ...undone(job), isMisjudged: true };
    let context: StreamContext;
    try {
      context = this.#contextFor(job);
    } catch (error) {
      return refusal(job, error);
    }
    context.holdsTurn ||= holdsTurn;
    const seqBefore = context.connection.seq();
    const run = runRequests(context, job.requests);
    const result = this.#resume({ job, context, run, seqBefore }, undefined);
    assert(!holdsTurn || result !== undefined, "a job that holds the turn waits for it");
    return result;
  }

  #takeTurn(jobId: number, error: DatabaseError | undefined): void {
    const waiting = this.#waiting.get(jobId);
    if (waiting === undefined) return;
    this.#waiting.delete(jobId);
    const result = this.#resume(waiting, error);
    if (result !== undefined) this.#options.post({ type: "done", results: [result] });
  }

  #resume(waiting: Waiting, refused: DatabaseError | undefined): JobResult | undefined {
    const { job, run } = waiting;
    let step: IteratorResult<"turn", Json[]>;
    try {
      step = refused === undefined ? run.next() : run.throw(refused);
      while (!step.done && this.#resetError !== undefined) step = run.throw(this.#resetError);
    } catch (error) {
      return this.#finish(waiting, [], error);
    }
    if (step.done) return this.#finish(waiting, step.value, undefined);
    this.#waiting.set(job.id, waiting);
    this.#options.post({ type: "need_turn", jobId: job.id });
    return undefined;
  }

  #finish(waiting: Waiting, results: Json[], error: unknown): JobResult {
    const { job, context, seqBefore } = waiting;
    const { connection } = context;
    const closed = job.requests.at(-1)?.type === "close" ||
      job.requests.some((request) => request.type === "close");
    const open = job.streamId !== undefined && !closed && error === undefined;
    if (!open) this.#endContext(job, context);
    const inTransaction = open && !connection.isAutocommit;
    const seq = this.#seq(connection);
    const captured = context.holdsTurn && seq > seqBefore;
    if (!inTransaction) context.holdsTurn = false;
    if (!open) this.#giveBack(connection);
    if (error !== undefined) return { ...refusal(job, error), seq, captured };
    const { id, database } = job;
    const state = { refused: undefined, seq, captured, open, inTransaction };
    const result = { id, databaseId: database?.id, ...state };
    const isLarge = results.some((json) => typeof json !== "string");
    if (open || !job.wantsBody || !isLarge) return { ...result, results };
    const body = jsonBytes(encodePipeline(undefined, undefined, results));
    return { ...result, results: [], body };
  }

  #seq(connection: Connection): number {
    return connection.isClosed ? 0 : connection.seq();
  }

  #contextFor(job: Job): StreamContext {
    const known = job.streamId === undefined ? undefined : this.#streams.get(job.streamId);
    if (known !== undefined) return known;
    const path = job.database?.path ?? this.#options.databasePath;
    const context: StreamContext = {
      library: this.#options.library,
      connection: this.#idle.take(path) ?? this.#open(path),
      storedSql: new Map(),
      writable: job.writable,
      holdsTurn: false,
      readOnly: false,
    };
    if (job.streamId !== undefined) this.#streams.set(job.streamId, context);
    return context;
  }

  #open(path = this.#options.databasePath): Connection {
    const { library, owner } = this.#options;
    return Connection.open(library, path, { role: "session", ...owner && { owner } });
  }

  #endContext(job: Job, context: StreamContext): void {
    if (job.streamId !== undefined) this.#streams.delete(job.streamId);
    rollback(context.connection);
  }

  /** Keeps a connection for others, unless it carries settings or temporary tables. */
  #giveBack(connection: Connection): void {
    if (connection.isClosed) return;
    if (connection.isTainted()) connection.close();
    else this.#idle.keep(connection);
  }

  #closeStream(streamId: number): void {
    const context = this.#streams.get(streamId);
    if (context === undefined) return;
    this.#streams.delete(streamId);
    rollback(context.connection);
    this.#giveBack(context.connection);
  }

  /**
   * Lets go of everything: a connection may have read what is about to be taken back, schema
   * included, so that none is kept.
   */
  #reset(): void {
    const error = new DatabaseError("NOT_LEADER", "This node stopped leading the cluster");
    this.#resetError = error;
    for (const jobId of [...this.#waiting.keys()]) this.#takeTurn(jobId, error);
    this.#resetError = undefined;
    for (const { connection } of this.#streams.values()) connection.close();
    this.#streams.clear();
    this.#idle.close();
    this.#copies.clear();
    this.#maintenance?.close();
    this.#maintenance = undefined;
  }

  /** Lets go of one database, as far as nobody uses it; of one that is gone in any case. */
  #release(id: number, path: string, isGone: boolean): void {
    if (isGone) {
      const error = new DatabaseError("DATABASE_UNKNOWN", "The database was dropped");
      for (const [jobId, { context }] of [...this.#waiting]) {
        if (context.connection.path === path) this.#takeTurn(jobId, error);
      }
      for (const [streamId, { connection }] of [...this.#streams]) {
        if (connection.path !== path) continue;
        this.#streams.delete(streamId);
        connection.close();
      }
      this.#copies.clear(path);
    }
    this.#idle.close(path);
    const contexts = [...this.#streams.values(), ...this.#waitingContexts()];
    const busy = contexts.some(({ connection }) => connection.path === path);
    this.#options.post({ type: "released", id, busy: busy || this.#copies.uses(path) });
  }

  *#waitingContexts(): Iterable<StreamContext> {
    for (const { context } of this.#waiting.values()) yield context;
  }

  /** Runs work of the node; the connection to the first database is kept for the next time. */
  #withConnection<T>(path: string | undefined, run: (connection: Connection) => T): T {
    if (path === undefined) return run(this.#maintenance ??= this.#open());
    const connection = this.#open(path);
    try {
      return run(connection);
    } finally {
      connection.close();
    }
  }

  #checkpoint(id: number, path: string | undefined): void {
    const { post } = this.#options;
    try {
      const result = this.#withConnection(path, (connection) => connection.checkpoint());
      post({ type: "checkpoint_done", id, result, error: undefined, ioFailed: false });
    } catch (error) {
      const ioFailed = error instanceof DatabaseError && error.sqliteName === "SQLITE_IOERR";
      post({ type: "checkpoint_done", id, result: undefined, error: asPlain(error), ioFailed });
    }
  }

  #fileTask(id: number, task: FileTask, path: string | undefined): void {
    const { post } = this.#options;
    try {
      const result = this.#withConnection(path, (connection) => runFileTask(connection, task));
      post({ type: "file_task_done", id, result, error: undefined });
    } catch (error) {
      post({ type: "file_task_done", id, result: undefined, error: asPlain(error) });
    }
  }

  #digest(id: number, path: string | undefined): void {
    const { post, sha256 } = this.#options;
    const connection = this.#open(path);
    try {
      const digest = digestOf(connection, sha256(), () => post({ type: "digest_begun", id }));
      post({ type: "digest_done", id, ...digest, error: undefined });
    } catch (error) {
      post({ type: "digest_done", id, sha256: "", pages: 0, error: asPlain(error) });
    } finally {
      connection.close();
    }
  }
}

function rollback(connection: Connection): void {
  if (connection.isClosed || connection.isAutocommit) return;
  connection.exec("ROLLBACK");
}
