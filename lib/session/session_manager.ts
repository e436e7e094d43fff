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
import type { BriefRunner } from "./brief_runner.ts";
import { BriefTurns } from "./brief_turns.ts";
import type { Reader } from "./long_readers.ts";
import type { Pending, Place } from "./pending.ts";
import { asDecoded, newJob } from "./job.ts";
import { fromPlain, toPlain } from "./plain_error.ts";
import { firstSql, mayRunOnFollower, shapeOf } from "./routing.ts";
import { type Stream, type StreamEnd, streamEndError, Streams } from "./streams.ts";
import type { PipelineRequest, PipelineResponse, Sessions } from "./types.ts";
import type { FromWorker, JobResult } from "./worker_messages.ts";
import { ownerOf, type WorkerPool, WRITER } from "./worker_pool.ts";
import { WriteTurns } from "./write_turns.ts";

/** What sessions need from the node. */
export interface SessionManagerOptions {
  readonly replica: () => Replica;
  readonly pool: () => WorkerPool;
  readonly brief: () => BriefRunner;
  readonly clock: Clock;
  readonly randomToken: () => string;
  /** URL of the leader's HTTP port, where it is known. */
  readonly leaderUrl: () => string | undefined;
  /** Interrupts the statements that sessions run; all, or those of one owner. */
  readonly interrupt: (owner?: number) => void;
}

/** Pause between two interruptions while workers let go of their statements. */
const INTERRUPT_AGAIN_MS = 10;
/** How often idle streams and overdue waits are looked for. */
const SWEEP_MS = 250;

/** See {@linkcode Sessions}. */
export class SessionManager implements Sessions {
  readonly #options: SessionManagerOptions;
  readonly #clock: Clock;
  readonly #streams: Streams;
  readonly #turns: WriteTurns;
  readonly #briefTurns: BriefTurns;
  readonly #pending = new Map<number, Pending>();
  #lastJobId = 0;
  #resets = 0;
  #quiet: (() => void) | undefined;
  #stopped = false;
  #cancelSweep: () => void = () => {};

  constructor(options: SessionManagerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#streams = new Streams(options.randomToken);
    this.#briefTurns = new BriefTurns(options.brief, this.#clock, {
      dispatch: (pendings, grant) => this.#dispatch(pendings, grant),
      share: (grant) => this.#turns.share(grant),
      releaseGrant: (grant) => this.#turns.releaseGrant(grant),
      done: (results) => this.#done(WRITER, results),
    });
    this.#turns = new WriteTurns({
      mayWrite: () => this.#replica.writable,
      onOneShots: (pendings, grant) => this.#briefTurns.take(pendings, grant),
      onStatement: ({ job, worker }) =>
        this.#pool.post(worker, { type: "turn", jobId: job.id, error: undefined }),
    });
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
      if (isLong || known.baton === undefined) this.#openPipeline(known, resolve, reject);
      else this.#resumePipeline(known.baton, known, resolve, reject);
    });
  }

  /** Runs work of the node itself under the write turn, when the node leads. */
  whileNobodyWrites(
    run: (release: () => void) => void,
    refuse: (error: DatabaseError) => void,
  ): void {
    this.#turns.joinInternal(run, this.#deadline(WRITE_WAIT_MS), refuse);
  }

  /** There may be room for writes now. */
  writable(): void {
    this.#turns.next();
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
        this.#turns.releaseGrant(message.grant);
        break;
      case "need_turn":
        this.#needTurn(message.jobId);
        break;
      case "stream_closed":
        this.#turns.releaseStream(message.streamId);
        break;
      case "reset_done":
        this.#resetDone();
        break;
      default:
        break;
    }
  }

  /**
   * Who may be looking at an old state of the database: statements that run, transactions that are
   * open. Whoever holds the write turn is not among them: nobody writes meanwhile.
   */
  readers(): Reader[] {
    const readers: Reader[] = [];
    const running = new Set<number>();
    for (const [jobId, sinceMs] of this.#pool.jobs()) {
      const pending = this.#pending.get(jobId);
      if (pending === undefined || pending.worker === WRITER) continue;
      const { stream, job, worker } = pending;
      if (stream !== undefined) running.add(stream.id);
      if (this.#turns.isHeldByJob(jobId)) continue;
      readers.push({
        key: stream === undefined ? `request ${jobId}` : `stream ${stream.id}`,
        sinceMs: stream?.transactionSinceMs ?? sinceMs,
        sql: firstSql(job.requests),
        end: (error) => {
          this.#refuse(pending, error, "SNAPSHOT_TIMEOUT");
          this.#options.interrupt(ownerOf(worker));
        },
      });
    }
    for (const stream of this.#streams.values()) {
      if (stream.transactionSinceMs === undefined || running.has(stream.id)) continue;
      if (this.#turns.isHeldByStream(stream.id)) continue;
      readers.push({
        key: `stream ${stream.id}`,
        sinceMs: stream.transactionSinceMs,
        sql: "",
        end: () => this.#endStream(stream, "SNAPSHOT_TIMEOUT"),
      });
    }
    return readers;
  }

  get #replica(): Replica {
    return this.#options.replica();
  }

  get #pool(): WorkerPool {
    return this.#options.pool();
  }

  #openPipeline(
    request: PipelineRequest,
    resolve: Pending["resolve"],
    reject: Pending["reject"],
  ): void {
    const leading = this.#replica.mode === "leading";
    if (!leading && !(this.#replica.followsData && mayRunOnFollower(request.requests))) {
      throw this.#notLeader();
    }
    const { oneShot, write } = shapeOf(request, leading);
    const worker = oneShot && write ? WRITER : this.#pool.pick();
    const stream = oneShot ? undefined : this.#streams.open(worker, leading, this.#clock.nowMs());
    if (stream !== undefined) this.#pool.streams(worker, 1);
    const pending = this.#newPending(
      request,
      { stream, resumed: false, leading, worker },
      resolve,
      reject,
    );
    if (!leading) this.#runOnFollower(pending);
    else if (oneShot && write) this.#queueOneShot(pending);
    else this.#runOnLeader(pending);
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
      leading: leading && stream.writable,
      worker: stream.worker,
    };
    const pending = this.#newPending(request, place, resolve, reject);
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
    resolve: Pending["resolve"],
    reject: Pending["reject"],
  ): Pending {
    const id = ++this.#lastJobId;
    const { stream, leading } = place;
    const pending: Pending = {
      ...place,
      request,
      job: newJob(id, stream?.id, request, leading),
      deadlineMs: this.#deadline(LEADER_WAIT_MS),
      dispatched: false,
      confirmed: undefined,
      result: undefined,
      resolve,
      reject,
    };
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
        this.#refuse(pending, this.#notLeader());
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
    this.#turns.joinOneShot(pending, deadlineMs, (error) => this.#refuse(pending, error));
  }

  #dispatch(pendings: readonly Pending[], grant: number | undefined): void {
    const jobs = pendings.map((pending) => pending.job);
    for (const pending of pendings) pending.dispatched = true;
    this.#pool.post(pendings[0]!.worker, { type: "run", jobs, grant });
  }

  /** Runs a request that does not write here and now when it is brief, else in its worker. */
  #runRead(pending: Pending): void {
    const { job, stream } = pending;
    const brief = this.#options.brief();
    if (stream === undefined && brief.mayRun(job)) {
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
    this.#turns.joinStatement(pending, this.#deadline(WRITE_WAIT_MS), refuse);
  }

  #done(worker: number, results: readonly JobResult[]): void {
    if (results.some((result) => result.captured)) this.#replica.captured();
    for (const result of results) {
      this.#pool.finished(worker, result.id);
      const pending = this.#pending.get(result.id);
      // One that was given up meanwhile may still hold the turn.
      this.#turns.finished(result, pending?.job.streamId);
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
      this.#refuse(pending, this.#withLeader(fromPlain(result.refused)));
      return;
    }
    if (result.isMisjudged === true) {
      this.#pending.delete(result.id);
      this.pipeline(asDecoded(pending.request)).then(pending.resolve, pending.reject);
      return;
    }
    pending.result = result;
    this.#replica.whenCommitted(result.seq, (error) => {
      if (error !== undefined) this.#refuse(pending, this.#withLeader(error));
      else if (pending.leading && result.captured) this.#settle(pending);
      else if (pending.leading && pending.confirmed === undefined && pending.worker === WRITER) {
        this.#confirm(pending);
      } else this.#answer(pending);
    });
  }

  /** Answers once the result is there, committed, and confirmed. */
  #answer(pending: Pending): void {
    const { result } = pending;
    if (pending.confirmed === false) this.#refuse(pending, this.#notLeader());
    else if (result !== undefined && pending.confirmed) {
      this.#replica.whenCommitted(result.seq, (error) => {
        if (error === undefined) this.#settle(pending);
        else this.#refuse(pending, this.#withLeader(error));
      });
    }
  }

  #settle(pending: Pending): void {
    if (!this.#pending.delete(pending.job.id)) return;
    const { stream, result } = pending;
    assert(result !== undefined, "a pipeline is answered before it ran");
    const open = stream !== undefined && this.#streams.get(stream.id) === stream;
    const baton = open ? this.#streams.baton(stream) : undefined;
    pending.resolve({ baton, results: result.results, body: result.body });
  }

  #refuse(pending: Pending, error: DatabaseError, end: StreamEnd = "TRANSACTION_LOST"): void {
    if (!this.#pending.delete(pending.job.id)) return;
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
    this.#pool.post(stream.worker, { type: "close_stream", streamId: stream.id });
  }

  /**
   * Every worker lets go of its connections: what they hold may show transactions that are taken
   * back. Statements that still run are interrupted until the last worker answered.
   */
  #reset(end: StreamEnd, quiet: () => void): void {
    const error = end === "TRANSACTION_LOST" ? this.#notLeader() : streamEndError(end);
    this.#turns.clear(error);
    this.#briefTurns.clear();
    this.#options.brief().reset();
    for (const stream of [...this.#streams.values()]) this.#forget(stream, end);
    const before = this.#quiet;
    this.#quiet = () => {
      before?.();
      quiet();
    };
    this.#resets += this.#pool.size;
    this.#pool.broadcast({ type: "reset" });
    this.#interruptUntilQuiet();
  }

  #interruptUntilQuiet(): void {
    if (this.#resets === 0) return;
    this.#options.interrupt();
    this.#clock.after(INTERRUPT_AGAIN_MS, () => this.#interruptUntilQuiet());
  }

  #resetDone(): void {
    assert(this.#resets > 0, "a worker answers a reset that was not asked for");
    this.#resets--;
    if (this.#resets > 0) return;
    // Every worker's answers were dealt with: who still waits ran ahead of the quorum.
    const error = this.#stopped ? streamEndError("SHUTTING_DOWN") : this.#notLeader();
    for (const pending of [...this.#pending.values()]) {
      if (pending.leading || this.#stopped) this.#refuse(pending, error);
    }
    const quiet = this.#quiet;
    this.#quiet = undefined;
    quiet?.();
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
      if (waits && nowMs > pending.deadlineMs) this.#refuse(pending, this.#notLeader());
    }
    for (const stream of [...this.#streams.values()]) {
      if (stream.jobId !== undefined) continue;
      const idleMs = nowMs - stream.lastUsedMs;
      const holdsUp = this.#turns.isHeldByStream(stream.id) && this.#turns.waiting > 0;
      if (holdsUp && idleMs > TRANSACTION_IDLE_CONTENDED_MS) {
        this.#endStream(stream, "TRANSACTION_TIMEOUT");
      } else if (idleMs > SESSION_IDLE_MS) this.#endStream(stream, "STREAM_EXPIRED");
    }
  }

  #deadline(afterMs: number): number {
    return this.#clock.nowMs() + afterMs;
  }

  #notLeader(): DatabaseError {
    return this.#withLeader(new DatabaseError("NOT_LEADER", "This node does not lead the cluster"));
  }

  #withLeader(error: DatabaseError): DatabaseError {
    const leader = this.#options.leaderUrl();
    if (error.code !== "NOT_LEADER" || leader === undefined) return error;
    return new DatabaseError(error.code, error.message, { leader, outcome: error.outcome });
  }
}
