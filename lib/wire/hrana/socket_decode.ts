/**
 * Reads the messages of a client in Hrana over WebSocket, versions 1, 2 and 3. A request that is
 * wrong in itself is answered with an error; one that shows that both sides no longer mean the same
 * by an id, or by the protocol, is a {@linkcode HranaViolation} and ends the connection.
 */
import { DatabaseError } from "../../base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../../base/limits.ts";
import { parseJson } from "../json.ts";
import { decodeStreamRequest } from "./decode.ts";
import type { StreamRequest } from "./types.ts";

/** The versions of the protocol. */
export type HranaVersion = 1 | 2 | 3;

/** The names under which a client asks for a version, the newest first. */
export const SUBPROTOCOLS: ReadonlyMap<string, HranaVersion> = new Map([
  ["hrana3", 3],
  ["hrana2", 2],
  ["hrana1", 1],
]);

/** Thrown for what breaks the protocol. */
export class HranaViolation extends Error {
  override readonly name = "HranaViolation";
}

/** A message, of which a request is not decoded yet. */
export type ClientMessage =
  | { readonly type: "hello" }
  | { readonly type: "request"; readonly requestId: number; readonly request: JsonObject };

/** What a client asks for. */
export type SocketRequest =
  | { readonly type: "open_stream" | "close_stream"; readonly streamId: number }
  | StreamTask
  | { readonly type: "store_sql"; readonly sqlId: number; readonly sql: string }
  | { readonly type: "close_sql"; readonly sqlId: number }
  | { readonly type: "fetch_cursor"; readonly cursorId: number; readonly maxCount: number }
  | { readonly type: "close_cursor"; readonly cursorId: number };

/** Something that runs on a stream. */
export interface StreamTask {
  readonly type: "run";
  readonly streamId: number;
  readonly request: StreamRequest;
  /** The JSON of the request, as a pipeline holds it. */
  readonly json: string;
  /** The cursor that is to hold the result; undefined for an answer in one piece. */
  readonly cursorId: number | undefined;
}

/** Finds the text that a connection stored under a number. */
export type StoredSql = (sqlId: number) => string | undefined;

type JsonObject = Record<string, unknown>;

/** The version in which each request came. */
const SINCE: ReadonlyMap<unknown, HranaVersion> = new Map<unknown, HranaVersion>([
  ["open_stream", 1],
  ["close_stream", 1],
  ["execute", 1],
  ["batch", 1],
  ["sequence", 2],
  ["describe", 2],
  ["store_sql", 2],
  ["close_sql", 2],
  ["get_autocommit", 3],
  ["open_cursor", 3],
  ["fetch_cursor", 3],
  ["close_cursor", 3],
]);
const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;
const UINT32_MAX = 2 ** 32 - 1;

/**
 * Decodes a message, but for what a request asks.
 *
 * @throws {DatabaseError} PROTOCOL when it is not JSON. @throws {HranaViolation}
 */
export function decodeClientMessage(text: string): ClientMessage {
  const message = asObject(parseJson(text, "The message"), "A message");
  if (message.type === "hello") return { type: "hello" };
  if (message.type !== "request") throw new HranaViolation("A message is no hello and no request");
  const requestId = idOf(message, "request_id");
  return { type: "request", requestId, request: asObject(message.request, "A request") };
}

/**
 * Decodes a request. Numbers of stored texts are replaced by the texts.
 *
 * @param json Of {@linkcode ClientMessage}; it is changed.
 * @throws {DatabaseError} what is wrong with it. @throws {HranaViolation}
 */
export function decodeSocketRequest(
  json: JsonObject,
  version: HranaVersion,
  storedSql: StoredSql,
): SocketRequest {
  const type = json.type;
  const since = SINCE.get(type);
  if (since === undefined) throw new HranaViolation("The type of a request is unknown");
  if (since > version) throw new HranaViolation(`${type} came with version ${since} of Hrana`);
  switch (type) {
    case "open_stream":
    case "close_stream":
      return { type, streamId: idOf(json, "stream_id") };
    case "store_sql": {
      const sqlId = idOf(json, "sql_id");
      const stored = decodeStreamRequest(json) as StreamRequest & { readonly type: "store_sql" };
      return { type, sqlId, sql: stored.sql };
    }
    case "close_sql":
      return { type, sqlId: idOf(json, "sql_id") };
    case "fetch_cursor":
      return { type, cursorId: idOf(json, "cursor_id"), maxCount: countOf(json, "max_count") };
    case "close_cursor":
      return { type, cursorId: idOf(json, "cursor_id") };
    default:
      return decodeTask(json, storedSql);
  }
}

function decodeTask(json: JsonObject, storedSql: StoredSql): StreamTask {
  const streamId = idOf(json, "stream_id");
  const cursorId = json.type === "open_cursor" ? idOf(json, "cursor_id") : undefined;
  if (cursorId !== undefined) json.type = "batch";
  insertStoredSql(json, storedSql);
  return {
    type: "run",
    streamId,
    request: decodeStreamRequest(json),
    json: JSON.stringify(json),
    cursorId,
  };
}

/** Puts texts in place of their numbers, as a stream knows nothing of what is stored here. */
function insertStoredSql(json: JsonObject, storedSql: StoredSql): void {
  let chars = 0;
  const insert = (owner: unknown) => {
    if (typeof owner !== "object" || owner === null) return;
    const source = owner as JsonObject;
    const sqlId = source.sql_id;
    // Anything else is refused where the request is decoded.
    if (!isWithin(sqlId, INT32_MIN, INT32_MAX) || (source.sql ?? undefined) !== undefined) return;
    const sql = storedSql(sqlId);
    if (sql === undefined) {
      throw new DatabaseError("SQL_STORE_UNKNOWN", `There is no stored SQL text ${sqlId}`);
    }
    chars += sql.length;
    if (chars > HTTP_BODY_BYTES_MAX) {
      const message = `The stored texts of a request may have ${HTTP_BODY_BYTES_MAX} characters`;
      throw new DatabaseError("TOO_LARGE", message);
    }
    source.sql = sql;
    delete source.sql_id;
  };
  switch (json.type) {
    case "execute":
      return insert(json.stmt);
    case "batch": {
      const steps = (json.batch as JsonObject | null | undefined)?.steps;
      if (!Array.isArray(steps)) return;
      for (const step of steps) insert((step as JsonObject | null)?.stmt);
      return;
    }
    default:
      return insert(json);
  }
}

function asObject(json: unknown, what: string): JsonObject {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new HranaViolation(`${what} must be an object`);
  }
  return json as JsonObject;
}

function idOf(owner: JsonObject, key: string): number {
  const id = owner[key];
  if (!isWithin(id, INT32_MIN, INT32_MAX)) {
    throw new HranaViolation(`${key} must be an integer of 32 bits`);
  }
  return id;
}

function countOf(owner: JsonObject, key: string): number {
  const count = owner[key];
  if (!isWithin(count, 0, UINT32_MAX)) {
    throw new HranaViolation(`${key} must be a count of 32 bits`);
  }
  return count;
}

function isWithin(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}
