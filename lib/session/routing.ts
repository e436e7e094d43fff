/** Where a pipeline may run, judged from its text alone; the worker has the last word. */
import { looksReadOnly } from "../database/leading_keyword.ts";
import { looksLikeWriteIn } from "../wire/hrana/outline.ts";
import type { SqlSource, StreamRequest } from "../wire/hrana/types.ts";
import type { PipelineRequest } from "./types.ts";

const READ_ONLY_TRANSACTION = /^\s*begin\s+(transaction\s+)?readonly\s*;?\s*$/i;
const LOGGED_SQL_CHARS = 120;
const BEGIN = /^\s*begin\b/i;
const UPPER_B = "B".charCodeAt(0);
const LOWER_B = "b".charCodeAt(0);
const SPACE = " ".charCodeAt(0);
/** There is white space beyond it. */
const ASCII_MAX = 0x7f;

/** Whether a pipeline closes the stream it opens, and whether it should wait for the write turn. */
export interface Shape {
  readonly oneShot: boolean;
  readonly write: boolean;
}

/**
 * The shape of a pipeline; a long one is not decoded for it.
 *
 * @param writable Whether it may write where it runs.
 */
export function shapeOf(request: PipelineRequest, writable: boolean): Shape {
  const isLong = request.isLong === true;
  const oneShot = isLong || isOneShot(request.requests);
  if (!writable) return { oneShot, write: false };
  const write = isLong ? looksLikeWriteIn(request.text!) : looksLikeWrite(request.requests);
  return { oneShot, write };
}

/** Whether the pipeline closes the stream it opens. */
export function isOneShot(requests: readonly StreamRequest[]): boolean {
  return requests.at(-1)?.type === "close";
}

/** The beginning of the first text of a pipeline, for a log line; empty when there is none. */
export function firstSql(requests: readonly StreamRequest[]): string {
  const stored = storedTexts(requests);
  for (const sql of sources(requests)) {
    const text = typeof sql === "string" ? sql : stored.get(sql);
    if (text !== undefined) return text.trim().slice(0, LOGGED_SQL_CHARS);
  }
  return "";
}

/** Whether the text starts a transaction that promises not to write. */
export function beginsReadOnly(sql: string): boolean {
  return mayBegin(sql) && READ_ONLY_TRANSACTION.test(sql);
}

/** Whether a text may start with BEGIN: asked of each statement, so by its first character. */
export function mayBegin(sql: string): boolean {
  const first = sql.charCodeAt(0);
  return first === UPPER_B || first === LOWER_B || first <= SPACE || first > ASCII_MAX;
}

/**
 * Whether every statement looks like a read, so that a follower may try it. A stream that stays
 * open may write later, so a follower takes it only when it starts with a read-only transaction.
 */
export function mayRunOnFollower(requests: readonly StreamRequest[]): boolean {
  const stored = storedTexts(requests);
  let first = true;
  let readOnly = false;
  for (const sql of sources(requests)) {
    const text = typeof sql === "string" ? sql : stored.get(sql);
    if (text === undefined) return false;
    if (first) readOnly = beginsReadOnly(text);
    first = false;
    if (beginsReadOnly(text)) continue;
    if (BEGIN.test(text) && !readOnly && !isOneShot(requests)) return false;
    if (!readOnly && !looksReadOnly(text)) return false;
  }
  return isOneShot(requests) || readOnly;
}

/** Whether some statement looks like a write, so that the pipeline should wait for the turn. */
export function looksLikeWrite(requests: readonly StreamRequest[]): boolean {
  const stored = storedTexts(requests);
  for (const sql of sources(requests)) {
    const text = typeof sql === "string" ? sql : stored.get(sql);
    if (text !== undefined && !beginsReadOnly(text) && !looksReadOnly(text)) return true;
  }
  return false;
}

function storedTexts(requests: readonly StreamRequest[]): Map<number, string> {
  const texts = new Map<number, string>();
  for (const request of requests) {
    if (request.type === "store_sql") texts.set(request.sqlId, request.sql);
  }
  return texts;
}

function* sources(requests: readonly StreamRequest[]): Generator<SqlSource> {
  for (const request of requests) {
    switch (request.type) {
      case "execute":
        yield request.stmt.sql;
        break;
      case "batch":
        for (const step of request.batch.steps) yield step.stmt.sql;
        break;
      case "sequence":
        yield request.sql;
        break;
      default:
        break;
    }
  }
}
