/**
 * Hrana 2, and the parts of Hrana 3 that its clients send over HTTP, after decoding. Plain data
 * only: every value here survives a structured clone, since it crosses to the SQL workers.
 */

/**
 * A value of SQL. A `bigint` is an INTEGER of 64 bits, a `number` is a REAL, also when it is whole.
 */
export type Value = null | bigint | number | string | Uint8Array;

/** The SQL of a request: its text, or the number under which the stream stored a text. */
export type SqlSource = string | number;

/** An argument by name. The name may lack the prefix `:`, `@` or `$` that the statement shows. */
export interface NamedArg {
  readonly name: string;
  readonly value: Value;
}

/**
 * One statement with its arguments. That only one kind of arguments is given is a rule of each
 * statement, not of the protocol's form, so it is checked where the statement runs.
 */
export interface Statement {
  readonly sql: SqlSource;
  readonly args: readonly Value[];
  readonly namedArgs: readonly NamedArg[];
  /** False when the caller throws the rows away. */
  readonly wantRows: boolean;
}

/**
 * When a step of a batch runs. A step that was skipped is neither `ok` nor `error`. Steps are
 * named by their position, and only earlier ones can be named.
 */
export type BatchCondition =
  | { readonly type: "ok"; readonly step: number }
  | { readonly type: "error"; readonly step: number }
  | { readonly type: "not"; readonly cond: BatchCondition }
  | { readonly type: "and"; readonly conds: readonly BatchCondition[] }
  | { readonly type: "or"; readonly conds: readonly BatchCondition[] }
  | { readonly type: "is_autocommit" };

/** One step of a batch; it always runs when it has no condition. */
export interface BatchStep {
  readonly condition: BatchCondition | undefined;
  readonly stmt: Statement;
}

/** Statements that run in order, each under its condition. */
export interface Batch {
  readonly steps: readonly BatchStep[];
}

/** What a client asks of a stream. */
export type StreamRequest =
  | { readonly type: "close" }
  | { readonly type: "execute"; readonly stmt: Statement }
  | { readonly type: "batch"; readonly batch: Batch }
  | { readonly type: "sequence"; readonly sql: SqlSource }
  | { readonly type: "describe"; readonly sql: SqlSource }
  | { readonly type: "store_sql"; readonly sqlId: number; readonly sql: string }
  | { readonly type: "close_sql"; readonly sqlId: number }
  | { readonly type: "get_autocommit" };

/** A pipeline as it arrives in the body of `POST /v2/pipeline`. */
export interface PipelineBody {
  /** Names an open stream; undefined opens a new one. */
  readonly baton: string | undefined;
  readonly requests: readonly StreamRequest[];
}

/** A column of a result. */
export interface Column {
  readonly name: string;
  /** The declared type of the table column behind it; null when there is none. */
  readonly decltype: string | null;
}

/** Some JSON, which need not be whole: text, or bytes in UTF-8. */
export type JsonPart = string | Uint8Array<ArrayBuffer>;

/**
 * JSON as text, or as parts that follow each other: large results never become text on their way,
 * and are put together once, where they leave.
 */
export type Json = string | readonly JsonPart[];

/** What a statement gave. */
export interface StatementResult {
  /** The JSON of an array of columns. */
  readonly colsJson: string;
  /** The JSON of an array of rows, each an array of Hrana values; `[]` when there are none. */
  readonly rowsJson: Json;
  readonly affectedRowCount: number;
  /** Undefined when the connection never inserted a row. */
  readonly lastInsertRowid: bigint | undefined;
}

/** What a statement would take and give. */
export interface DescribeResult {
  /** The names of the parameters, with their prefix, in order; null for one without a name. */
  readonly params: readonly (string | null)[];
  /** The JSON of an array of columns. */
  readonly colsJson: string;
  readonly isExplain: boolean;
  readonly isReadonly: boolean;
}
