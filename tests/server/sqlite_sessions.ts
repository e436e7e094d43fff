/**
 * Sessions over the runtime's own SQLite, to try the HTTP layer with real clients: no replication,
 * no queue, one connection for each stream.
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { DatabaseError, messageOf } from "../../lib/base/errors.ts";
import { STORED_SQL_MAX } from "../../lib/base/limits.ts";
import type { PipelineRequest, PipelineResponse, Sessions } from "../../lib/session/types.ts";
import { stepRuns, type StepState } from "../../lib/wire/hrana/batch.ts";
import {
  encodeColumns,
  encodeError,
  encodeOk,
  type StepResult,
} from "../../lib/wire/hrana/encode.ts";
import type {
  Batch,
  DescribeResult,
  Json,
  SqlSource,
  Statement,
  StatementResult,
  StreamRequest,
} from "../../lib/wire/hrana/types.ts";

interface Stream {
  readonly connection: DatabaseSync;
  readonly stored: Map<number, string>;
}

export class SqliteSessions implements Sessions, Disposable {
  readonly #path: string;
  readonly #streams = new Map<string, Stream>();
  #batons = 0;

  constructor(path: string) {
    this.#path = path;
    using connection = new DatabaseSync(path);
    connection.exec("PRAGMA journal_mode = WAL");
  }

  get openStreams(): number {
    return this.#streams.size;
  }

  pipeline({ baton, requests }: PipelineRequest): Promise<PipelineResponse> {
    const stream = baton === undefined ? this.#open() : this.#streams.get(baton);
    if (stream === undefined) {
      return Promise.reject(new DatabaseError("BATON_INVALID", `unknown baton ${baton}`));
    }
    if (baton !== undefined) this.#streams.delete(baton);
    const results = requests.map((request) => {
      try {
        return this.#run(stream, request);
      } catch (error) {
        return encodeError(toDatabaseError(error));
      }
    });
    if (requests.some(({ type }) => type === "close")) {
      stream.connection.close();
      return Promise.resolve({ baton: undefined, results });
    }
    const next = `stream-${++this.#batons}`;
    this.#streams.set(next, stream);
    return Promise.resolve({ baton: next, results });
  }

  [Symbol.dispose](): void {
    for (const { connection } of this.#streams.values()) connection.close();
    this.#streams.clear();
  }

  #open(): Stream {
    const connection = new DatabaseSync(this.#path, { timeout: 0 });
    return { connection, stored: new Map() };
  }

  #run(stream: Stream, request: StreamRequest): Json {
    const { connection, stored } = stream;
    switch (request.type) {
      case "execute":
        return encodeOk({ type: "execute", result: execute(stream, request.stmt) });
      case "batch":
        return encodeOk({ type: "batch", steps: runBatch(stream, request.batch) });
      case "sequence":
        connection.exec(sqlText(stream, request.sql));
        return encodeOk({ type: "sequence" });
      case "describe":
        return encodeOk({ type: "describe", result: describe(stream, request.sql) });
      case "store_sql":
        if (stored.size >= STORED_SQL_MAX) throw new DatabaseError("SQL_STORE_TOO_MANY", "full");
        stored.set(request.sqlId, request.sql);
        return encodeOk({ type: "store_sql" });
      case "close_sql":
        stored.delete(request.sqlId);
        return encodeOk({ type: "close_sql" });
      case "get_autocommit":
        return encodeOk({ type: "get_autocommit", isAutocommit: !connection.isTransaction });
      case "close":
        return encodeOk({ type: "close" });
    }
  }
}

function sqlText(stream: Stream, source: SqlSource): string {
  if (typeof source === "string") return source;
  const sql = stream.stored.get(source);
  if (sql === undefined) throw new DatabaseError("SQL_STORE_UNKNOWN", `no stored SQL ${source}`);
  return sql;
}

function prepare(stream: Stream, source: SqlSource) {
  // The extension of libSQL that its client sends for transactions that only read.
  const sql = sqlText(stream, source).replace(/^BEGIN TRANSACTION READONLY$/, "BEGIN DEFERRED");
  const statement = stream.connection.prepare(sql);
  statement.setReadBigInts(true);
  return statement;
}

function execute(stream: Stream, stmt: Statement): StatementResult {
  const statement = prepare(stream, stmt.sql);
  const cols = statement.columns().map(({ name, type }) => ({ name, decltype: type ?? null }));
  const args = stmt.args as readonly SQLInputValue[];
  const named = Object.fromEntries(
    stmt.namedArgs.map(({ name, value }) => [name, value]),
  ) as Record<
    string,
    SQLInputValue
  >;
  const base = { colsJson: encodeColumns(cols), affectedRowCount: 0, lastInsertRowid: undefined };
  if (cols.length === 0) {
    const { changes, lastInsertRowid } = statement.run(named, ...args);
    return {
      ...base,
      rowsJson: "[]",
      affectedRowCount: Number(changes),
      lastInsertRowid: BigInt(lastInsertRowid),
    };
  }
  const rows = statement.all(named, ...args);
  const encoded = rows.map((row) =>
    `[${cols.map(({ name }) => encodeValue(row[name])).join(",")}]`
  );
  return { ...base, rowsJson: `[${encoded.join(",")}]` };
}

function encodeValue(value: unknown): string {
  if (value === null) return '{"type":"null"}';
  if (typeof value === "bigint") return `{"type":"integer","value":"${value}"}`;
  if (typeof value === "number") return `{"type":"float","value":${value}}`;
  if (typeof value === "string") return `{"type":"text","value":${JSON.stringify(value)}}`;
  return `{"type":"blob","base64":"${(value as Uint8Array).toBase64({ omitPadding: true })}"}`;
}

function runBatch(stream: Stream, batch: Batch): StepResult[] {
  const states: StepState[] = [];
  return batch.steps.map(({ condition, stmt }): StepResult => {
    let result: StepResult = { type: "skipped" };
    if (stepRuns(condition, states, !stream.connection.isTransaction)) {
      try {
        result = { type: "ok", result: execute(stream, stmt) };
      } catch (error) {
        result = { type: "error", error: toDatabaseError(error) };
      }
    }
    states.push(result.type);
    return result;
  });
}

function describe(stream: Stream, source: SqlSource): DescribeResult {
  const cols = prepare(stream, source).columns().map(({ name, type }) => ({
    name,
    decltype: type ?? null,
  }));
  return {
    params: [],
    colsJson: encodeColumns(cols),
    isExplain: false,
    isReadonly: cols.length > 0,
  };
}

const NAMES = new Map([[1, "SQLITE_ERROR"], [5, "SQLITE_BUSY"], [19, "SQLITE_CONSTRAINT"]]);

function toDatabaseError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const sqliteCode = (error as { errcode?: number }).errcode ?? 1;
  const sqliteName = NAMES.get(sqliteCode & 0xff) ?? "SQLITE_ERROR";
  return new DatabaseError("SQLITE", `SQLite error: ${messageOf(error)}`, {
    sqliteCode,
    sqliteName,
  });
}
