/** Writes the JSON of Hrana responses, as text, ready to be joined into a body. */
import { type DatabaseError, ERROR_CODES } from "../../base/errors.ts";
import { unreachable } from "../../base/assert.ts";
import type { Column, DescribeResult, StatementResult } from "./types.ts";

/** What became of one step of a batch. */
export type StepResult =
  | { readonly type: "ok"; readonly result: StatementResult }
  | { readonly type: "error"; readonly error: DatabaseError }
  | { readonly type: "skipped" };

/** What a request came to; `type` is that of the request. */
export type StreamResponse =
  | { readonly type: "close" }
  | { readonly type: "execute"; readonly result: StatementResult }
  | { readonly type: "batch"; readonly steps: readonly StepResult[] }
  | { readonly type: "sequence" }
  | { readonly type: "describe"; readonly result: DescribeResult }
  | { readonly type: "store_sql" }
  | { readonly type: "close_sql" }
  | { readonly type: "get_autocommit"; readonly isAutocommit: boolean };

/** The result of a request that succeeded. */
export function encodeOk(response: StreamResponse): string {
  return `{"type":"ok","response":${encodeResponse(response)}}`;
}

/** The result of a request that failed. */
export function encodeError(error: DatabaseError): string {
  return `{"type":"error","error":${encodeErrorBody(error)}}`;
}

/**
 * An error as an object: `message` and `code` as in Hrana; beside them `outcome` when the request
 * may have taken effect, or when its code alone would say so, and `hint` and `leader` where there
 * are any.
 */
export function encodeErrorBody(error: DatabaseError): string {
  let text = `{"message":${JSON.stringify(error.message)},"code":${JSON.stringify(error.wireCode)}`;
  if (error.outcome === "unknown" || error.outcome !== ERROR_CODES[error.code]) {
    text += `,"outcome":"${error.outcome}"`;
  }
  if (error.hint !== undefined) text += `,"hint":${JSON.stringify(error.hint)}`;
  if (error.leader !== undefined) text += `,"leader":${JSON.stringify(error.leader)}`;
  return text + "}";
}

/** The `result` of an `execute`, and of a step of a batch. */
export function encodeStatementResult(result: StatementResult): string {
  const rowid = result.lastInsertRowid === undefined ? "null" : `"${result.lastInsertRowid}"`;
  return `{"cols":${encodeColumns(result.cols)},"rows":${result.rowsJson}` +
    `,"affected_row_count":${result.affectedRowCount},"last_insert_rowid":${rowid}}`;
}

/** The `result` of a `batch`: for each step its result or null, and its error or null. */
export function encodeBatchResult(steps: readonly StepResult[]): string {
  let results = "";
  let errors = "";
  for (const step of steps) {
    const separator = results === "" ? "" : ",";
    results += separator + (step.type === "ok" ? encodeStatementResult(step.result) : "null");
    errors += separator + (step.type === "error" ? encodeErrorBody(step.error) : "null");
  }
  return `{"step_results":[${results}],"step_errors":[${errors}]}`;
}

/** The `result` of a `describe`. */
export function encodeDescribeResult(result: DescribeResult): string {
  const params = result.params.map((name) => `{"name":${JSON.stringify(name)}}`).join(",");
  return `{"params":[${params}],"cols":${encodeColumns(result.cols)}` +
    `,"is_explain":${result.isExplain},"is_readonly":${result.isReadonly}}`;
}

/**
 * The body of a reply to a pipeline.
 *
 * @param baton Names the stream for the next pipeline; undefined when it is closed.
 * @param baseUrl Where the client sends the rest of the stream; undefined for where it sent this.
 * @param results One JSON text for each request.
 */
export function encodePipeline(
  baton: string | undefined,
  baseUrl: string | undefined,
  results: readonly string[],
): string {
  const batonJson = baton === undefined ? "null" : JSON.stringify(baton);
  const urlJson = baseUrl === undefined ? "null" : JSON.stringify(baseUrl);
  return `{"baton":${batonJson},"base_url":${urlJson},"results":[${results.join(",")}]}`;
}

function encodeResponse(response: StreamResponse): string {
  switch (response.type) {
    case "execute":
      return `{"type":"execute","result":${encodeStatementResult(response.result)}}`;
    case "batch":
      return `{"type":"batch","result":${encodeBatchResult(response.steps)}}`;
    case "describe":
      return `{"type":"describe","result":${encodeDescribeResult(response.result)}}`;
    case "get_autocommit":
      return `{"type":"get_autocommit","is_autocommit":${response.isAutocommit}}`;
    case "close":
    case "sequence":
    case "store_sql":
    case "close_sql":
      return `{"type":"${response.type}"}`;
    default:
      return unreachable(response);
  }
}

function encodeColumns(cols: readonly Column[]): string {
  let text = "[";
  for (const col of cols) {
    if (text !== "[") text += ",";
    text += `{"name":${JSON.stringify(col.name)},"decltype":${JSON.stringify(col.decltype)}}`;
  }
  return text + "]";
}
