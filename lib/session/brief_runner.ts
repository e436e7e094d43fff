/**
 * Runs brief statements in the thread of the caller, which is spared two changes of threads for
 * them. That thread also runs consensus, so a statement comes here only if it cannot hold it up: it
 * was run before by a worker, consists of operations that each end soon (the library tells), and
 * gets a budget of them. One that needs more is undone, and runs in a worker like any other.
 */
import type { Library } from "../../ffi/library.ts";
import { DatabaseError } from "../base/errors.ts";
import {
  BRIEF_ARGUMENT_CHARS_MAX,
  BRIEF_OPERATIONS_MAX,
  BRIEF_PAUSE_MS,
  BRIEF_SLOW_MS,
  BRIEF_SQL_CHARS_MAX,
  BRIEF_TEXTS_MAX,
} from "../base/limits.ts";
import { Connection } from "../database/connection.ts";
import { leadingKeyword } from "../database/leading_keyword.ts";
import type { Clock } from "../io/clock.ts";
import { encodeError, encodeOk } from "../wire/hrana/encode.ts";
import type { Json, Statement, StreamRequest, Value } from "../wire/hrana/types.ts";
import { refusal } from "./job_result.ts";
import { NotHereError, runStatement, type StreamContext } from "./request_runner.ts";
import { translate } from "./sql_text.ts";
import type { Job, JobResult } from "./worker_messages.ts";

/** Statements that other ones are never compiled into, and that take effect only when they run. */
const KEYWORDS = new Set(["SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"]);

/** Part of the mean that the latest statement makes up. */
const BRIEF_SLOW_WEIGHT = 0.1;
/** Statements are too slow when this part of them takes `BRIEF_SLOW_MS` or more. */
const BRIEF_SLOW_SHARE = 0.3;

/** Why SQLite gave up a statement that a worker may well run. */
const NOT_BRIEF = new Set([
  "SQLITE_AUTH",
  "SQLITE_BUSY",
  "SQLITE_INTERRUPT",
  "SQLITE_LOCKED",
  "SQLITE_SCHEMA",
  "SQLITE_TOOBIG",
]);

const CLOSED = encodeOk({ type: "close" });

/** What is known of a text: run once by a worker; brief; not brief. */
type Kind = "new" | "brief" | "long";

/** What a runner needs. */
export interface BriefRunnerOptions {
  readonly library: Library;
  readonly databasePath: string;
  readonly clock: Clock;
}

/** See the file comment. */
export class BriefRunner {
  readonly #options: BriefRunnerOptions;
  /** By the text of the statement, the least recently used one first. */
  readonly #texts = new Map<string, Kind>();
  #context: StreamContext | undefined;
  #pausedUntilMs = 0;
  /** How long statements took lately. */
  #meanMs = 0;

  constructor(options: BriefRunnerOptions) {
    this.#options = options;
  }

  /** Whether `run` would try: the same statement proved brief, or is to be looked at now. */
  mayRun(job: Pick<Job, "requests" | "isLong">): boolean {
    const stmt = job.isLong === true ? undefined : onlyStatement(job.requests);
    if (stmt === undefined || typeof stmt.sql !== "string") return false;
    const { sql } = stmt;
    if (sql.length > BRIEF_SQL_CHARS_MAX) return false;
    const kind = this.#texts.get(sql);
    if (kind === undefined) {
      this.#note(sql, KEYWORDS.has(leadingKeyword(sql)) ? "new" : "long");
      return false;
    }
    return kind !== "long" && this.#options.clock.nowMs() >= this.#pausedUntilMs &&
      argumentChars(stmt) <= BRIEF_ARGUMENT_CHARS_MAX;
  }

  /**
   * Runs a pipeline of one statement, which `mayRun` accepted. A job that writes must hold the
   * write turn.
   *
   * @returns Undefined when it is not brief after all: nothing of it was done.
   */
  run(job: Job): JobResult | undefined {
    const stmt = onlyStatement(job.requests)!;
    const sql = stmt.sql as string;
    const { clock } = this.#options;
    const startMs = clock.nowMs();
    let result: JobResult | undefined;
    try {
      const context = this.#contextFor(job);
      result = this.#isBrief(context.connection, sql) ? this.#run(context, job, stmt) : undefined;
    } catch (error) {
      // A worker meets the same, and says what it is.
      if (!(error instanceof DatabaseError)) throw error;
    }
    const endMs = clock.nowMs();
    this.#notice(endMs - startMs, endMs);
    // Without a connection the schema changed: the text may be looked at again.
    if (this.#context !== undefined) this.#note(sql, result === undefined ? "long" : "brief");
    return result;
  }

  /**
   * Runs pipelines of one writing statement, all of which `mayRun` accepted, in one transaction: a
   * commit costs more than the statement. Each statement succeeds or fails on its own.
   *
   * @param untilMs Those that did not begin by then are left out.
   * @returns The results of the first ones; none when they do not go together, and nothing of them
   * was done.
   */
  runTogether(jobs: readonly Job[], untilMs: number): readonly JobResult[] {
    const startMs = this.#options.clock.nowMs();
    let results: readonly JobResult[] = [];
    try {
      results = this.#runTogether(this.#contextFor(jobs[0]!), jobs, untilMs);
    } catch (error) {
      if (!(error instanceof DatabaseError || error instanceof NotHereError)) throw error;
      // Should the transaction stand open even now, it ends with its connection.
      if (this.#context?.connection.isAutocommit === false) this.reset();
    }
    const endMs = this.#options.clock.nowMs();
    this.#notice((endMs - startMs) / Math.max(1, results.length), endMs);
    return results;
  }

  /** Lets go of the database: what was read may be taken back. */
  reset(): void {
    this.#context?.connection.close();
    this.#context = undefined;
    this.#texts.clear();
  }

  #run(context: StreamContext, job: Job, stmt: Statement): JobResult | undefined {
    const { connection } = context;
    const seqBefore = connection.seq();
    let json: Json | undefined;
    try {
      json = this.#answer(context, stmt);
    } catch (error) {
      if (error instanceof NotHereError) return refusal(job, error);
      throw error;
    }
    if (json === undefined) return undefined;
    const seq = connection.seq();
    return resultOf(job, json, seq, context.holdsTurn && seq > seqBefore);
  }

  #runTogether(context: StreamContext, jobs: readonly Job[], untilMs: number): JobResult[] {
    const { connection } = context;
    const seqBefore = connection.seq();
    const answers: Json[] = [];
    run(connection, "BEGIN IMMEDIATE");
    try {
      for (const job of jobs) {
        if (answers.length > 0 && this.#options.clock.nowMs() > untilMs) break;
        const stmt = onlyStatement(job.requests)!;
        const isBrief = this.#isBrief(connection, stmt.sql as string);
        const json = isBrief ? this.#answer(context, stmt) : undefined;
        // Some errors end the transaction, and what others did in it.
        if (json === undefined || connection.isClosed || connection.isAutocommit) return [];
        answers.push(json);
      }
      run(connection, "COMMIT");
    } finally {
      if (!connection.isClosed && !connection.isAutocommit) run(connection, "ROLLBACK");
    }
    const seq = connection.seq();
    return answers.map((json, at) => resultOf(jobs[at]!, json, seq, seq > seqBefore));
  }

  /** What a statement comes to; undefined when it is not brief after all. */
  #answer(context: StreamContext, stmt: Statement): Json | undefined {
    const { connection } = context;
    connection.setBudget(BRIEF_OPERATIONS_MAX);
    try {
      const step = runStatement(context, stmt).next();
      // It writes, and does not hold the turn.
      return step.done === true ? encodeOk({ type: "execute", result: step.value }) : undefined;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      if (error.sqliteName === "SQLITE_AUTH") this.reset();
      const isBrief = error.sqliteName === undefined || !NOT_BRIEF.has(error.sqliteName);
      return isBrief ? encodeError(error) : undefined;
    } finally {
      if (!connection.isClosed) connection.setBudget(0);
    }
  }

  #isBrief(connection: Connection, sql: string): boolean {
    const { statement } = connection.prepare(translate(sql));
    // Compiled since the last look: SQLite does not do so on its own under a budget.
    return statement !== undefined && (this.#texts.get(sql) === "brief" || statement.isBrief);
  }

  #contextFor(job: Job): StreamContext {
    const { library, databasePath } = this.#options;
    this.#context ??= {
      library,
      connection: Connection.open(library, databasePath, { role: "session", busyTimeoutMs: 0 }),
      storedSql: new Map(),
      writable: false,
      holdsTurn: false,
      readOnly: false,
    };
    return Object.assign(this.#context, { writable: job.writable, holdsTurn: job.writable });
  }

  /**
   * When statements take long on and on, it is the disk, most likely: this thread has other things
   * to do than to wait for it. A single one may just have lost the processor for a while.
   */
  #notice(tookMs: number, nowMs: number): void {
    this.#meanMs += (Math.min(tookMs, BRIEF_SLOW_MS) - this.#meanMs) * BRIEF_SLOW_WEIGHT;
    if (this.#meanMs < BRIEF_SLOW_MS * BRIEF_SLOW_SHARE) return;
    this.#meanMs = 0;
    this.#pausedUntilMs = nowMs + BRIEF_PAUSE_MS;
  }

  #note(sql: string, kind: Kind): void {
    this.#texts.delete(sql);
    this.#texts.set(sql, kind);
    if (this.#texts.size <= BRIEF_TEXTS_MAX) return;
    for (const oldest of this.#texts.keys()) {
      this.#texts.delete(oldest);
      return;
    }
  }
}

/** The statement of a pipeline that runs one and closes; undefined for any other. */
function onlyStatement(requests: readonly StreamRequest[]): Statement | undefined {
  if (requests.length !== 2 || requests[1]!.type !== "close") return undefined;
  const first = requests[0]!;
  return first.type === "execute" ? first.stmt : undefined;
}

/** Runs a statement of our own. */
function run(connection: Connection, sql: string): void {
  connection.prepare(sql).statement!.run();
}

function resultOf(job: Job, json: Json, seq: number, captured: boolean): JobResult {
  return {
    id: job.id,
    databaseId: job.database?.id,
    results: [json, CLOSED],
    refused: undefined,
    seq,
    captured,
    open: false,
    inTransaction: false,
  };
}

/** Length of all arguments that have one. */
function argumentChars(stmt: Statement): number {
  let chars = 0;
  for (const value of stmt.args) chars += lengthOf(value);
  for (const { value } of stmt.namedArgs) chars += lengthOf(value);
  return chars;
}

function lengthOf(value: Value): number {
  if (typeof value === "string") return value.length;
  return value instanceof Uint8Array ? value.length : 8;
}
