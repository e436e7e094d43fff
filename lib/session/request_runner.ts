/**
 * Runs the requests of a pipeline on one connection. A generator, so that a statement which has to
 * wait for the write turn waits without blocking the thread, and one which need not runs straight
 * through.
 */
import type { Library } from "../../ffi/library.ts";
import { unreachable } from "../base/assert.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { STORED_SQL_MAX } from "../base/limits.ts";
import type { Connection } from "../database/connection.ts";
import { NO_HRANA_ROWS } from "../database/hrana_rows.ts";
import type { Statement as Prepared } from "../database/statement.ts";
import { stepRuns, type StepState } from "../wire/hrana/batch.ts";
import {
  encodeError,
  encodeOk,
  type StepResult,
  type StreamResponse,
} from "../wire/hrana/encode.ts";
import type {
  Batch,
  DescribeResult,
  Json,
  SqlSource,
  Statement,
  StatementResult,
  StreamRequest,
} from "../wire/hrana/types.ts";
import { beginsReadOnly } from "./routing.ts";
import { isBlank, translate } from "./sql_text.ts";

/** What a pipeline runs in: a connection and what its stream remembers. */
export interface StreamContext {
  readonly library: Library;
  readonly connection: Connection;
  /** SQL texts by the client's number. */
  readonly storedSql: Map<number, string>;
  /** False on a follower. */
  readonly writable: boolean;
  /** Whether the write turn is held. */
  holdsTurn: boolean;
  /** Whether the open transaction promised not to write. */
  readOnly: boolean;
}

/** Yields whenever it needs the write turn; to be resumed when it is granted. */
export type Run<T> = Generator<"turn", T, void>;

/** Thrown out of a pipeline that this node must not run. */
export class NotHereError extends Error {
  override readonly name = "NotHereError";
  readonly reason: DatabaseError;

  constructor(reason: DatabaseError) {
    super(reason.message);
    this.reason = reason;
  }
}

/**
 * Runs every request, also after one failed.
 *
 * @returns The JSON of each result.
 * @throws {NotHereError} when a statement would write and this node does not lead.
 */
export function* runRequests(
  context: StreamContext,
  requests: readonly StreamRequest[],
): Run<Json[]> {
  const results: Json[] = [];
  for (const request of requests) {
    try {
      results.push(encodeOk(yield* runRequest(context, request)));
    } catch (error) {
      results.push(encodeError(asDatabaseError(error)));
    }
  }
  return results;
}

function* runRequest(context: StreamContext, request: StreamRequest): Run<StreamResponse> {
  switch (request.type) {
    case "close":
    case "close_sql":
    case "store_sql":
      if (request.type === "store_sql") storeSql(context, request.sqlId, request.sql);
      if (request.type === "close_sql") context.storedSql.delete(request.sqlId);
      return { type: request.type };
    case "execute":
      return { type: "execute", result: yield* runStatement(context, request.stmt) };
    case "batch":
      return { type: "batch", steps: yield* runBatch(context, request.batch) };
    case "sequence":
      yield* runSequence(context, textOf(context, request.sql));
      return { type: "sequence" };
    case "describe":
      return { type: "describe", result: describe(context, textOf(context, request.sql)) };
    case "get_autocommit":
      return { type: "get_autocommit", isAutocommit: context.connection.isAutocommit };
    default:
      return unreachable(request);
  }
}

function storeSql(context: StreamContext, sqlId: number, sql: string): void {
  if (context.storedSql.size >= STORED_SQL_MAX && !context.storedSql.has(sqlId)) {
    throw new DatabaseError(
      "SQL_STORE_TOO_MANY",
      `Cannot store SQL text ${sqlId}: the stream holds ${STORED_SQL_MAX} already`,
    );
  }
  context.storedSql.set(sqlId, sql);
}

function textOf(context: StreamContext, source: SqlSource): string {
  if (typeof source === "string") return source;
  const sql = context.storedSql.get(source);
  if (sql === undefined) {
    throw new DatabaseError("SQL_STORE_UNKNOWN", `The stream stored no SQL text ${source}`);
  }
  return sql;
}

function* runBatch(context: StreamContext, batch: Batch): Run<StepResult[]> {
  const steps: StepResult[] = [];
  const states: StepState[] = [];
  for (const step of batch.steps) {
    let result: StepResult;
    if (!stepRuns(step.condition, states, context.connection.isAutocommit)) {
      result = { type: "skipped" };
    } else {
      try {
        result = { type: "ok", result: yield* runStatement(context, step.stmt) };
      } catch (error) {
        result = { type: "error", error: asDatabaseError(error) };
      }
    }
    steps.push(result);
    states.push(result.type);
  }
  return steps;
}

/**
 * Runs one statement.
 *
 * @throws {DatabaseError} why it failed. @throws {NotHereError} when it must not run on this node.
 */
export function* runStatement(context: StreamContext, stmt: Statement): Run<StatementResult> {
  const text = textOf(context, stmt.sql);
  const prepared = prepareOne(context, text);
  yield* takeTurn(context, prepared);
  const result = prepared.runToJson(argumentsOf(stmt));
  noteTransaction(context, text);
  return {
    colsJson: result.colsJson,
    rowsJson: stmt.wantRows ? result.rowsJson : NO_HRANA_ROWS,
    affectedRowCount: result.changes,
    lastInsertRowid: result.lastInsertRowid,
  };
}

/** Runs statement after statement, and stops at the first error. */
function* runSequence(context: StreamContext, script: string): Run<void> {
  if (beginsReadOnly(script)) {
    context.connection.exec(translate(script));
    noteTransaction(context, script);
    return;
  }
  for (const statement of context.connection.statements(script)) {
    yield* takeTurn(context, statement);
    using cursor = statement.open();
    while (cursor.next() !== undefined);
    noteTransaction(context, statement.sql);
  }
}

function describe(context: StreamContext, sql: string): DescribeResult {
  const prepared = prepareOne(context, sql);
  return {
    params: prepared.parameters.map((name) => name ?? null),
    colsJson: prepared.colsJson,
    isExplain: prepared.explain !== 0,
    isReadonly: prepared.isReadonly,
  };
}

/** The one statement of a text. */
function prepareOne(context: StreamContext, sql: string): Prepared {
  const { statement, tail } = context.connection.prepare(translate(sql));
  if (statement === undefined) {
    throw new DatabaseError("SQL_NO_STATEMENT", "SQL string does not contain any statement");
  }
  if (!isBlank(tail)) {
    throw new DatabaseError(
      "SQL_MANY_STATEMENTS",
      `SQL string contains more than one statement; the second one starts with ${
        JSON.stringify(tail.trim().slice(0, 40))
      }`,
      { hint: "Send one statement, or use executeMultiple or a batch" },
    );
  }
  return statement;
}

/** Waits for the write turn before a statement that writes. */
function* takeTurn(context: StreamContext, statement: Prepared): Run<void> {
  if (statement.isReadonly) return;
  if (context.readOnly && !context.connection.isAutocommit) {
    throw new DatabaseError("SQLITE", "attempt to write in a read-only transaction", {
      sqliteName: "SQLITE_READONLY",
      sqliteCode: 8,
    });
  }
  if (!context.writable) {
    throw new NotHereError(
      new DatabaseError("NOT_LEADER", "This node does not lead the cluster: it cannot write"),
    );
  }
  if (context.holdsTurn) return;
  yield "turn";
  context.holdsTurn = true;
}

function noteTransaction(context: StreamContext, sql: string): void {
  if (beginsReadOnly(sql)) context.readOnly = true;
  else if (context.readOnly && context.connection.isAutocommit) context.readOnly = false;
}

function argumentsOf(stmt: Statement): Parameters<Prepared["run"]>[0] {
  if (stmt.namedArgs.length === 0) return stmt.args;
  if (stmt.args.length > 0) {
    throw new DatabaseError(
      "ARGS_BOTH_POSITIONAL_AND_NAMED",
      "Specifying both positional and named arguments is not supported",
    );
  }
  return new Map(stmt.namedArgs.map(({ name, value }) => [name, value]));
}

function asDatabaseError(error: unknown): DatabaseError {
  if (error instanceof NotHereError) throw error;
  if (error instanceof DatabaseError) return error;
  throw new Error(`A statement failed in an unforeseen way: ${messageOf(error)}`, { cause: error });
}
