/** Replies in JSON, and the status that goes with each error. */
import type { DatabaseError, ErrorCode } from "../base/errors.ts";
import type { HttpReply } from "../io/http.ts";
import { encodeErrorBody } from "../wire/hrana/encode.ts";

/**
 * Exactly this, without a charset: `@libsql/client` reads the code and message of an error only
 * from a reply of this type.
 */
export const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain";

/** The codes whose status is not 400. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  BATON_INVALID: 404,
  STREAM_EXPIRED: 404,
  RESTORE_UNKNOWN: 404,
  DATABASE_UNKNOWN: 404,
  MEMBERSHIP: 409,
  NOT_EMPTY: 409,
  TOO_LARGE: 413,
  BUSY: 429,
  TRANSACTION_BUSY: 429,
  INTERNAL: 500,
  CORRUPT: 500,
  DISK: 500,
  CONNECTION_LOST: 502,
  NOT_LEADER: 503,
  LEADERSHIP_LOST: 503,
  NO_LEADER: 503,
  SHUTTING_DOWN: 503,
  REMOVED: 503,
  DISK_FULL: 507,
  CLOSED: 503,
};

/** A reply with JSON. */
export function jsonReply(status: number, body: string | Uint8Array<ArrayBuffer>): HttpReply {
  return { status, contentType: JSON_TYPE, body };
}

/** A reply with a line of text. */
export function textReply(body: string): HttpReply {
  return { status: 200, contentType: TEXT_TYPE, body };
}

/** The reply for a request that was refused as a whole. */
export function errorReply(error: DatabaseError, status = STATUS[error.code] ?? 400): HttpReply {
  return jsonReply(status, encodeErrorBody(error));
}
