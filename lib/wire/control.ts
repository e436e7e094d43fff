/** Requests that manage the cluster, and their answers, as JSON in a frame. */
import { type ByteWriter, FormatError } from "../base/bytes.ts";
import { DatabaseError, ERROR_CODES, type ErrorCode, type Outcome } from "../base/errors.ts";
import { beginFrame, endFrame } from "./frame.ts";

const METHOD_LENGTH_MAX = 64;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export interface ControlRequest {
  readonly method: string;
  readonly params: unknown;
}

export type ControlResponse =
  | { readonly result: unknown }
  | { readonly error: DatabaseError };

/** Writes the frame of a request. */
export function writeControlRequest(writer: ByteWriter, request: ControlRequest): void {
  const start = beginFrame(writer, "control_request");
  writer.raw(encoder.encode(JSON.stringify(request)));
  endFrame(writer, start);
}

/**
 * Reads the body of a request.
 *
 * @throws {FormatError} when the bytes are no request.
 */
export function decodeControlRequest(body: Uint8Array): ControlRequest {
  const { method, params } = decodeObject(body);
  if (typeof method !== "string" || method.length > METHOD_LENGTH_MAX) {
    throw new FormatError("A request must name its method");
  }
  return { method, params };
}

/** Writes the frame of an answer. A result that is undefined becomes null. */
export function writeControlResponse(writer: ByteWriter, response: ControlResponse): void {
  const start = beginFrame(writer, "control_response");
  const value = "error" in response
    ? { error: errorFields(response.error) }
    : { result: response.result ?? null };
  writer.raw(encoder.encode(JSON.stringify(value)));
  endFrame(writer, start);
}

/**
 * Reads the body of an answer.
 *
 * @throws {FormatError} when the bytes are no answer.
 */
export function decodeControlResponse(body: Uint8Array): ControlResponse {
  const { result, error } = decodeObject(body);
  if (error === undefined) return { result };
  if (!isObject(error)) throw new FormatError("An answer's error is no object");
  return { error: errorOf(error) };
}

function errorFields(error: DatabaseError): Record<string, unknown> {
  const { code, message, outcome, hint, leader } = error;
  return { code, message, outcome, hint, leader };
}

function errorOf(fields: Record<string, unknown>): DatabaseError {
  const { code, message, outcome, hint, leader } = fields;
  const isKnown = typeof code === "string" && Object.hasOwn(ERROR_CODES, code);
  return new DatabaseError(isKnown ? code as ErrorCode : "PROTOCOL", String(message ?? code), {
    ...(outcome === "rejected" || outcome === "unknown" ? { outcome: outcome as Outcome } : {}),
    ...(typeof hint === "string" ? { hint } : {}),
    ...(typeof leader === "string" ? { leader } : {}),
  });
}

function decodeObject(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch (error) {
    throw new FormatError("A control frame holds no JSON", { cause: error });
  }
  if (!isObject(value)) throw new FormatError("A control frame holds no JSON object");
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
