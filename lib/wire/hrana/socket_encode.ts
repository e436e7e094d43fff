/** Writes the messages of a server in Hrana over WebSocket. */
import type { CursorEntries } from "./cursor.ts";
import type { Json, JsonPart } from "./types.ts";

/** How a result of a pipeline begins, when all went well and when not. */
const OK = '{"type":"ok","response":';
const ERROR = '{"type":"error","error":';
/** Where the two differ. */
const DISTINCT_AT = '{"type":"'.length;
const E = "e".charCodeAt(0);

/** The answer to `hello`. */
export const HELLO_OK = '{"type":"hello_ok"}';

/** Whether the result of a pipeline is an error. */
export function isErrorResult(result: Json): boolean {
  const start = typeof result === "string" ? result : result[0]!;
  const byte = typeof start === "string" ? start.charCodeAt(DISTINCT_AT) : start[DISTINCT_AT];
  return byte === E;
}

/** The message for a result of a pipeline, which it holds without its envelope. */
export function encodeResult(requestId: number, result: Json): Json {
  const isError = isErrorResult(result);
  const head = isError ? errorHead(requestId) : okHead(requestId);
  const skipped = (isError ? ERROR : OK).length;
  // The brace at its end closes the message.
  if (typeof result === "string") return head + result.slice(skipped);
  const [start, ...rest] = result as readonly [JsonPart, ...JsonPart[]];
  return typeof start === "string"
    ? [head + start.slice(skipped), ...rest]
    : [head, start.subarray(skipped), ...rest];
}

/** The message for a request that has nothing to tell. */
export function encodeDone(requestId: number, type: string): string {
  return `${okHead(requestId)}{"type":"${type}"}}`;
}

/** The message for a request that was refused. @param error As `encodeErrorBody` writes it. */
export function encodeRefusal(requestId: number, error: string): string {
  return `${errorHead(requestId)}${error}}`;
}

/** The message with entries of a cursor. */
export function encodeEntries(requestId: number, entries: CursorEntries): Json {
  const { json, done } = entries;
  const head = `${okHead(requestId)}{"type":"fetch_cursor","done":${done},"entries":`;
  return [head, json, "}}"];
}

function okHead(requestId: number): string {
  return `{"type":"response_ok","request_id":${requestId},"response":`;
}

function errorHead(requestId: number): string {
  return `{"type":"response_error","request_id":${requestId},"error":`;
}
