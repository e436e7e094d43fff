/** Writes the JSON of Hrana responses, ready to be joined into a body. */
import { concat } from "../../base/bytes.ts";
import { type DatabaseError, ERROR_CODES } from "../../base/errors.ts";
import { unreachable } from "../../base/assert.ts";
import type { Column, DescribeResult, Json, JsonPart, StatementResult } from "./types.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

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

/** JSON as text, whatever it came as. */
export function jsonText(json: Json): string {
  return typeof json === "string" ? json : decoder.decode(jsonBytes(json));
}

/** JSON as bytes, copied once. */
export function jsonBytes(json: Json): Uint8Array<ArrayBuffer> {
  if (typeof json === "string") return encoder.encode(json);
  return concat(json.map((part) => typeof part === "string" ? encoder.encode(part) : part));
}

/** Joins JSON: a text for as long as all parts are texts. */
class Joiner {
  #text = "";
  #parts: JsonPart[] | undefined;

  add(json: Json): void {
    if (typeof json === "string") {
      this.#text += json;
      return;
    }
    this.#parts ??= [];
    for (const part of json) {
      if (typeof part === "string") this.#text += part;
      else {
        this.#parts.push(this.#text, part);
        this.#text = "";
      }
    }
  }

  finish(): Json {
    if (this.#parts === undefined) return this.#text;
    this.#parts.push(this.#text);
    return this.#parts;
  }
}

/** The result of a request that succeeded; parts when rows among it are. */
export function encodeOk(response: StreamResponse): Json {
  const out = new Joiner();
  out.add('{"type":"ok","response":');
  addResponse(out, response);
  out.add("}");
  return out.finish();
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
function addStatementResult(out: Joiner, result: StatementResult): void {
  const rowid = result.lastInsertRowid === undefined ? "null" : `"${result.lastInsertRowid}"`;
  out.add(`{"cols":${result.colsJson},"rows":`);
  out.add(result.rowsJson);
  out.add(`,"affected_row_count":${result.affectedRowCount},"last_insert_rowid":${rowid}}`);
}

/** The `result` of a `batch`: for each step its result or null, and its error or null. */
function addBatchResult(out: Joiner, steps: readonly StepResult[]): void {
  let errors = "";
  let separator = "";
  out.add('{"step_results":[');
  for (const step of steps) {
    out.add(separator);
    if (step.type === "ok") addStatementResult(out, step.result);
    else out.add("null");
    errors += separator + (step.type === "error" ? encodeErrorBody(step.error) : "null");
    separator = ",";
  }
  out.add(`],"step_errors":[${errors}]}`);
}

/** The `result` of a `describe`. */
function encodeDescribeResult(result: DescribeResult): string {
  const params = result.params.map((name) => `{"name":${JSON.stringify(name)}}`).join(",");
  return `{"params":[${params}],"cols":${result.colsJson}` +
    `,"is_explain":${result.isExplain},"is_readonly":${result.isReadonly}}`;
}

/**
 * The body of a reply to a pipeline.
 *
 * @param baton Names the stream for the next pipeline; undefined when it is closed.
 * @param baseUrl Where the client sends the rest of the stream; undefined for where it sent this.
 * @param results The JSON of each request's result.
 */
export function encodePipeline(
  baton: string | undefined,
  baseUrl: string | undefined,
  results: readonly Json[],
): Json {
  const batonJson = baton === undefined ? "null" : JSON.stringify(baton);
  const urlJson = baseUrl === undefined ? "null" : JSON.stringify(baseUrl);
  const out = new Joiner();
  out.add(`{"baton":${batonJson},"base_url":${urlJson},"results":[`);
  for (let at = 0; at < results.length; at++) {
    if (at > 0) out.add(",");
    out.add(results[at]!);
  }
  out.add("]}");
  return out.finish();
}

function addResponse(out: Joiner, response: StreamResponse): void {
  switch (response.type) {
    case "execute":
      out.add('{"type":"execute","result":');
      addStatementResult(out, response.result);
      return out.add("}");
    case "batch":
      out.add('{"type":"batch","result":');
      addBatchResult(out, response.steps);
      return out.add("}");
    case "describe":
      return out.add(`{"type":"describe","result":${encodeDescribeResult(response.result)}}`);
    case "get_autocommit":
      return out.add(`{"type":"get_autocommit","is_autocommit":${response.isAutocommit}}`);
    case "close":
    case "sequence":
    case "store_sql":
    case "close_sql":
      return out.add(`{"type":"${response.type}"}`);
    default:
      return unreachable(response);
  }
}

/** The columns of a result. */
export function encodeColumns(cols: readonly Column[]): string {
  let text = "[";
  for (const col of cols) {
    if (text !== "[") text += ",";
    text += `{"name":${JSON.stringify(col.name)},"decltype":${JSON.stringify(col.decltype)}}`;
  }
  return text + "]";
}
