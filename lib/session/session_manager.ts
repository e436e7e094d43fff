/**
 * Sessions on the main thread: who runs where, who may write, and when an answer may leave.
 *
 * ```text
 *              leading                                   following
 *   read   worker ∥ confirmation round              confirmation round, applied, then worker
 *   write  write turn, worker, gate                 refused: the server asks the leader
 * ```
 * An answer leaves when every transaction it may show is committed (the gate), and when it is known
 * that this node still led at some moment after the request arrived: by a confirmation round, or by
 * the commit of a transaction of the request itself.
 */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import {
  LEADER_WAIT_MS,
  SESSION_IDLE_MS,
  TRANSACTION_IDLE_CONTENDED_MS,
  WRITE_WAIT_MS,
} from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Replica } from "../replica/replica.ts";
import { MAIN_DATABASE_ID, MAIN_DATABASE_NAME } from "../wire/command.ts";
import { enterDatabase } from "./database_access.ts";
import { DatabaseTurns, DatabaseTurnsTable } from "./database_turns.ts";
import { LeaderRefusals } from "./leader_refusals.ts";
import type { Reader } from "./long_readers.ts";
import { asDecoded } from "./job.ts";
import { newPending, type Pending, type Place } from "./pending.ts";
import { fromPlain, toPlain } from "./plain_error.ts";
import { mayRunOnFollower, shapeOf } from "./routing.ts";
import type { SessionManagerOptions } from "./session_options.ts";
import { sessionReaders } from "./session_readers.ts";
import { type Stream, type StreamEnd, streamEndError, Streams } from "./streams.ts";
import type { PipelineRequest, PipelineResponse, Sessions } from "./types.ts";
import type { FromWorker, JobDatabase, JobResult } from "./worker_messages.ts";
import { ownerOf, type WorkerPool, WRITER } from "./worker_pool.ts";
import { WorkerResets } from "./worker_resets.ts";

/** How often idle streams and overdue waits are looked for. */
const SWEEP_MS = 250;

/** See {@linkcode Sessions}. */
export class SessionManager implements Sessions {
  readonly #options: SessionManagerOptions;
  readonly #clock: Clock;
  readonly #streams: Streams;
  readonly #turns: DatabaseTurnsTable;
  readonly #pending = new Map<number, Pending>();
  #lastJobId = 0;
  readonly #resets: WorkerResets;
  readonly #refusals: LeaderRefusals;
  #stopped = false;
  #cancelSweep: () => void = () => {};

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#streams = new Streams(options.randomToken);
    this.#turns = new DatabaseTurnsTable((id) => this.#newTurns(id));
    this.#resets = new WorkerResets(options.pool, options.clock, () => options.interrupt());
    this.#refusals = new LeaderRefusals(options.leaderUrl);
    this.#scheduleSweep();
  }

  /** Streams that are open. */
  get openStreams(): number {
    return this.#streams.size;
  }

  pipeline(request: PipelineRequest): Promise<PipelineResponse> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) throw new DatabaseError("SHUTTING_DOWN", "The node stops");
      const isLong = request.isLong === true && this.#replica.mode === "leading";
      const known = isLong ? request : asDecoded(request);
      const { database } = known;
      if (!isLong && known.baton !== undefined) {
        this.#resumePipeline(known.baton, known, resolve, reject);
      } else if (database === undefined || database === MAIN_DATABASE_NAME) {
        this.#openPipeline(undefined, known, resolve, reject);
      } else this.#enterDatabase(database, known, resolve, reject);
    });
  }

  /** Runs work of the node itself under the write turn of a database, when the node leads. */
  whileNobodyWrites(
    run: (release: () => void) => void,
    refuse: (error: DatabaseError) => void,
    databaseId = MAIN_DATABASE_ID,
  ): void {
    this.#turns.of(databaseId).write.joinInternal(run, this.#deadline(WRITE_WAIT_MS), refuse);
  }

  /** There may be room for writes now. */
  writable(): void {
    this.#turns.next();
  }

  /** A database is gone: ends everything that concerns it. */
  endDatabase(id: number): void {
    const error = streamEndError("DATABASE_UNKNOWN");
    this.#turns.get(id)?.clear(error);
    for (const pending of [...this.#pending.values()]) {
      if (pending.database?.id === id) this.#refuse(pending, error, "DATABASE_UNKNOWN");
    }
    for (const stream of [...this.#streams.values()]) {
      if (stream.database?.id === id) this.#endStream(stream, "DATABASE_UNKNOWN");
    }
    this.forgetDatabase(id);
  }

  /** A database that nobody uses is about to be closed. */
  forgetDatabase(id: number): void {
    this.#turns.delete(id);
    this.#options.brief().forget(id);
  }

  /** The space on the disk changed: whoever waits to write is told when there is none. */
  spaceChanged(): void {
    const refusal = this.#replica.spaceRefusal;
    if (refusal === undefined) this.#turns.next();
    else this.#turns.refuseRequests(refusal);
  }

  /** Leadership is lost: ends everything that ran ahead of the quorum, then calls back. */
  retire(quiet: () => void): void {
    this.#reset("TRANSACTION_LOST", quiet);
  }

  /** Refuses whatever comes, and lets go of every statement. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSweep();
    return new Promise((resolve) => this.#reset("SHUTTING_DOWN", resolve));
  }

  /** Takes a worker's message that concerns sessions. */
  receive(worker: number, message: FromWorker): void {
    switch (message.type) {
      case "done":
        this.#done(worker, message.results);
        break;
      case "granted_done":
        this.#done(worker, message.results);
        this.#turns.get(message.databaseId)?.write.releaseGrant(message.grant);
        break;
      case "need_turn":
        this.#needTurn(message.jobId);
        break;
      case "stream_closed":
        this.#turns.get(message.databaseId)?.write.releaseStream(message.streamId);
        break;
      case "reset_done":
        this.#resets.answered(() => this.#settleReset());
        break;
      default:
        break;
    }
  }

  /** Who may be looking at an old state of a database. */
  readers(): Reader[] {
    return sessionReaders({
      jobs: this.#pool.jobs(),
      pending: this.#pending,
      streams: this.#streams.values(),
      turns: this.#turns,
      endRequest: (pending, error) => {
        this.#refuse(pending, error, "SNAPSHOT_TIMEOUT");
        this.#options.interrupt(ownerOf(pending.worker));
      },
      endStream: (stream) => this.#endStream(stream, "SNAPSHOT_TIMEOUT"),
    });
  }

  get #replica(): Replica {
    return this.#options.replica();
  }

  get #pool(): WorkerPool {
    return this.#options.pool();
  }

  #newTurns(id: number): DatabaseTurns {
    return new DatabaseTurns({
      clock: this.#clock,
      mayWrite: () => this.#replica.writable,
      brief: () => this.#options.brief().get(id),
      dispatch: (pendings, grant) => this.#dispatch(pendings, grant),
      onStatement: ({ job, worker }) =>
        this.#pool.post(worker, { type: "turn", jobId: job.id, error: undefined }),
      done: (results) => this.#done(WRITER, results),
    });
  }

  #enterDatabase(
    name: string,
    request: PipelineRequest,
    resolve: Pending["resolve"],
    reject: Pending["reject"],
  ): void {
    enterDatabase(this.#options.databases, name, (database) => {
      if (this.#stopped) throw streamEndError("SHUTTING_DOWN");
      this.#openPipeline(database, request, resolve, reject);
    }, (error) => reject(this.#refusals.notBegun(error) as DatabaseError));
  }

  #openPipeline(
    database: JobDatabase | undefined,
    request: PipelineRequest,
    resolve: Pending["resolve"],
    reject: Pending["reject"],
  ): void {
    const leading = this.#replica.mode === "leading";
    if (!leading && !(this.#replica.followsData && mayRunOnFollower(request.requests))) {
      throw this.#refusals.notLeader();
    }
    const { oneShot, write } = shapeOf(request, leading);
    const queued = oneShot && write;
    // One writer would let the databases wait for each other.
    const worker = queued && database === undefined ? WRITER : this.#pool.pick();
    const stream = oneShot ? undefined : this.#openStream(worker, database, leading);
    const place = { stream, resumed: false, database, leading, worker };
    const pending = this.#newPending(request, place, queued, resolve, reject);
    if (!leading) this.#runOnFollower(pending);
    else if (queued) this.#queueOneShot(pending);
    else this.#runOnLeader(pending);
  }

  #openStream(worker: number, database: JobDatabase | undefined, writable: boolean): Stream {
    const letGo = database && this.#options.databases().hold(database.id);
    const stream = this.#streams.open(worker, database, letGo, writable, this.#clock.nowMs());
    this.#pool.streams(worker, 1);
    return stream;
  }

  #resumePipeline(
    baton: string,
    request: PipelineRequest,
    resolve: Pending["resolve"],
    reject: Pending["reject"],
  ): void {
    const stream = this.#streams.resume(baton);
    const leading = this.#replica.mode === "leading";
    const place = {
      stream,
      resumed: true,
      database: stream.database,
      leading: leading && stream.writable,
      worker: stream.worker,
    };
    const pending = this.#newPending(request, place, false, resolve, reject);
    if (pending.leading) this.#runOnLeader(pending);
    else if (stream.inTransaction) {
      // The snapshot was taken at a confirmed index when the transaction began.
      pending.confirmed = true;
      this.#dispatch([pending], undefined);
    } else this.#runOnFollower(pending);
  }

  #newPending(
    request: PipelineRequest,
    place: Place,
    queued: boolean,
    resolve: Pending["resolve"],
    reject: Pending["reject"],
  ): Pending {
    const id = ++this.#lastJobId;
    const { stream, database } = place;
    const letGo = database && this.#options.databases().hold(database.id);
    const deadlineMs = this.#deadline(LEADER_WAIT_MS);
    const ends = { letGo, resolve, reject };
    const pending = newPending(id, request, place, { queued, deadlineMs, ...ends });
    this.#pending.set(id, pending);
    if (stream !== undefined) stream.jobId = id;
    return pending;
  }

  /** The confirmation round and the worker run side by side. */
  #runOnLeader(pending: Pending): void {
    this.#confirm(pending);
    this.#runRead(pending);
  }

  #confirm(pending: Pending): void {
    const options = { deadlineMs: this.#deadline(LEADER_WAIT_MS), retry: false };
    this.#replica.linearize(options, (index) => {
      pending.confirmed = index !== undefined;
      this.#answer(pending);
    });
  }

  /** What is applied here is at least what was committed when the request arrived. */
  #runOnFollower(pending: Pending): void {
    const options = { deadlineMs: this.#deadline(LEADER_WAIT_MS), retry: true };
    this.#replica.linearize(options, (index) => {
      // A new spare learns what it is along with who leads.
      if (index === undefined || !this.#replica.followsData) {
        this.#refuse(pending, this.#refusals.notLeader());
        return;
      }
      this.#replica.whenApplied(index, () => {
        if (!this.#pending.has(pending.job.id)) return;
        pending.confirmed = true;
        this.#runRead(pending);
      });
    });
  }

  #queueOneShot(pending: Pending): void {
    const refusal = this.#replica.spaceRefusal;
    if (refusal !== undefined) return this.#refuse(pending, refusal);
    const deadlineMs = this.#deadline(WRITE_WAIT_MS);
    const { write } = this.#turns.of(pending.database?.id);
    write.joinOneShot(pending, deadlineMs, (error) => this.#refuse(pending, error));
  }

  #dispatch(pendings: readonly Pending[], grant: number | undefined): void {
    const { database, queued } = pendings[0]!;
    if (database !== undefined) {
      const refusal = this.#options.databases().open(database.id);
      if (refusal !== undefined) {
        for (const pending of pendings) this.#refuse(pending, this.#refusals.named(refusal));
        if (grant !== undefined) this.#turns.get(database.id)?.write.releaseGrant(grant);
        return;
      }
      const worker = queued ? this.#pool.pick() : undefined;
      for (const pending of pendings) pending.worker = worker ?? pending.worker;
    }
    const jobs = pendings.map((pending) => pending.job);
    for (const pending of pendings) pending.dispatched = true;
    this.#pool.post(pendings[0]!.worker, { type: "run", jobs, grant });
  }

  /** Runs a request that does not write here and now when it is brief, else in its worker. */
  #runRead(pending: Pending): void {
    const { job, stream, database } = pending;
    const brief = this.#options.brief().get(database?.id ?? MAIN_DATABASE_ID);
    const isOpen = database === undefined ||
      this.#options.databases().open(database.id) === undefined;
    if (isOpen && stream === undefined && brief.mayRun(job)) {
      pending.dispatched = true;
      const result = brief.run(job);
      if (result !== undefined) return this.#done(pending.worker, [result]);
    }
    this.#dispatch([pending], undefined);
  }

  #needTurn(jobId: number): void {
    const pending = this.#pending.get(jobId);
    if (pending === undefined) return;
    const refuse = (error: DatabaseError) =>
      this.#pool.post(pending.worker, { type: "turn", jobId, error: toPlain(error) });
    const refusal = this.#replica.spaceRefusal;
    if (refusal !== undefined) return refuse(refusal);
    const { write } = this.#turns.of(pending.database?.id);
    write.joinStatement(pending, this.#deadline(WRITE_WAIT_MS), refuse);
  }

  #done(worker: number, results: readonly JobResult[]): void {
    // What came together is of one database, most likely.
    let capturedId: number | undefined;
    for (const { captured, databaseId = MAIN_DATABASE_ID } of results) {
      if (captured && databaseId !== capturedId) this.#replica.captured(capturedId = databaseId);
    }
    for (const result of results) {
      this.#pool.finished(worker, result.id);
      const pending = this.#pending.get(result.id);
      // One that was given up meanwhile may still hold the turn.
      const turns = this.#turns.get(result.databaseId);
      turns?.write.finished(result, pending?.job.streamId);
      if (pending !== undefined) this.#finished(pending, result);
    }
  }

  #finished(pending: Pending, result: JobResult): void {
    const { stream } = pending;
    if (stream !== undefined) {
      stream.jobId = undefined;
      stream.inTransaction = result.inTransaction;
      if (!result.inTransaction) stream.transactionSinceMs = undefined;
      else stream.transactionSinceMs ??= this.#clock.nowMs();
      stream.lastUsedMs = this.#clock.nowMs();
      if (!result.open && this.#streams.get(stream.id) === stream) this.#forget(stream);
    }
    if (result.refused !== undefined) {
      this.#refuse(pending, this.#refusals.named(fromPlain(result.refused)));
      return;
    }
    if (result.isMisjudged === true) {
      this.#pending.delete(result.id);
      pending.letGo?.();
      this.pipeline(asDecoded(pending.request)).then(pending.resolve, pending.reject);
      return;
    }
    pending.result = result;
    this.#replica.whenCommitted(result.seq, (error) => {
      if (error !== undefined) this.#refuse(pending, this.#refusals.named(error));
      else if (pending.leading && result.captured) this.#settle(pending);
      else if (pending.leading && pending.confirmed === undefined && pending.queued) {
        this.#confirm(pending);
      } else this.#answer(pending);
    }, result.databaseId);
  }

  /** Answers once the result is there, committed, and confirmed. */
  #answer(pending: Pending): void {
    const { result } = pending;
    if (pending.confirmed === false) this.#refuse(pending, this.#refusals.notLeader());
    else if (result !== undefined && pending.confirmed) {
      this.#replica.whenCommitted(result.seq, (error) => {
        if (error === undefined) this.#settle(pending);
        else this.#refuse(pending, this.#refusals.named(error));
      }, result.databaseId);
    }
  }

  #settle(pending: Pending): void {
    if (!this.#pending.delete(pending.job.id)) return;
    pending.letGo?.();
    const { stream, result } = pending;
    assert(result !== undefined, "a pipeline is answered before it ran");
    const open = stream !== undefined && this.#streams.get(stream.id) === stream;
    const baton = open ? this.#streams.baton(stream) : undefined;
    pending.resolve({ baton, results: result.results, body: result.body });
  }

  #refuse(pending: Pending, error: DatabaseError, end: StreamEnd = "TRANSACTION_LOST"): void {
    if (!this.#pending.delete(pending.job.id)) return;
    pending.letGo?.();
    const { stream } = pending;
    if (stream !== undefined && this.#streams.get(stream.id) === stream) {
      this.#endStream(stream, end);
    }
    // The stream lives nowhere else: it is no use to ask another node to go on with it.
    const lost = pending.resumed && error.code === "NOT_LEADER";
    pending.reject(lost ? streamEndError("TRANSACTION_LOST") : error);
  }

  #forget(stream: Stream, end?: StreamEnd): void {
    this.#streams.close(stream, end);
    this.#pool.streams(stream.worker, -1);
  }

  /** Closes a stream from this side; its turn is free once the worker rolled back. */
  #endStream(stream: Stream, end: StreamEnd): void {
    this.#forget(stream, end);
    const { id: streamId, database, worker } = stream;
    this.#pool.post(worker, { type: "close_stream", streamId, databaseId: database?.id });
  }

  /**
   * Every worker lets go of its connections: what they hold may show transactions that are taken
   * back.
   */
  #reset(end: StreamEnd, quiet: () => void): void {
    const error = end === "TRANSACTION_LOST" ? this.#refusals.notLeader() : streamEndError(end);
    this.#turns.clear(error);
    this.#options.brief().reset();
    for (const stream of [...this.#streams.values()]) this.#forget(stream, end);
    this.#resets.begin(quiet);
  }

  /** Every worker's answers were dealt with: who still waits ran ahead of the quorum. */
  #settleReset(): void {
    const error = this.#stopped ? streamEndError("SHUTTING_DOWN") : this.#refusals.notLeader();
    for (const pending of [...this.#pending.values()]) {
      if (pending.leading || this.#stopped) this.#refuse(pending, error);
    }
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#clock.after(SWEEP_MS, () => {
      this.#sweep(this.#clock.nowMs());
      this.#scheduleSweep();
    });
  }

  #sweep(nowMs: number): void {
    this.#turns.expire(nowMs);
    for (const pending of [...this.#pending.values()]) {
      // Writers wait in the queue, which has a bound of its own.
      const waits = !pending.dispatched && !pending.leading;
      if (waits && nowMs > pending.deadlineMs) this.#refuse(pending, this.#refusals.notLeader());
    }
    for (const stream of [...this.#streams.values()]) {
      if (stream.jobId !== undefined) continue;
      const idleMs = nowMs - stream.lastUsedMs;
      const write = this.#turns.get(stream.database?.id)?.write;
      const holdsUp = write?.isHeldByStream(stream.id) === true && write.waiting > 0;
      if (holdsUp && idleMs > TRANSACTION_IDLE_CONTENDED_MS) {
        this.#endStream(stream, "TRANSACTION_TIMEOUT");
      } else if (idleMs > SESSION_IDLE_MS) this.#endStream(stream, "STREAM_EXPIRED");
    }
  }

  #deadline(afterMs: number): number {
    return this.#clock.nowMs() + afterMs;
  }
}
