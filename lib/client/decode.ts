/** Hrana results as JSON, checked, in the values that users see. */
import { ClientError } from "./error.ts";
import { type RawResult, resultSet } from "./result_set.ts";
import type { IntMode, ResultSet, Value } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

/** A step of a batch: what it gave, or its error, or undefined when it was skipped. */
export type StepOutcome = ResultSet | ClientError | undefined;

/**
 * The response to one request of a pipeline.
 *
 * @throws {ClientError} the error that the server answered with, or `HRANA_PROTO_ERROR`.
 */
export function decodeResponse(result: unknown, type: string): Json {
  const object = asObject(result, "a result");
  if (object["type"] === "error") throw decodeError(object["error"]);
  const response = asObject(object["response"], "the response of a result");
  if (response["type"] !== type) {
    throw protocolError(`answered ${String(response["type"])} to a request of type ${type}`);
  }
  return response;
}

/** An error as the server sent it. */
export function decodeError(json: unknown): ClientError {
  const object = asObject(json, "an error");
  const code = typeof object["code"] === "string" ? object["code"] : "UNKNOWN";
  const { outcome, hint, leader } = object;
  return new ClientError(code, String(object["message"] ?? code), {
    ...(outcome === "rejected" || outcome === "unknown" ? { outcome } : {}),
    ...(typeof hint === "string" ? { hint } : {}),
    ...(typeof leader === "string" ? { leader } : {}),
  });
}

/** The result of a statement. */
export function decodeResult(json: unknown, intMode: IntMode): ResultSet {
  const object = asObject(json, "the result of a statement");
  const columns: string[] = [];
  const columnTypes: string[] = [];
  for (const column of asArray(object["cols"], "cols")) {
    const { name, decltype } = asObject(column, "a column");
    columns.push(typeof name === "string" ? name : "");
    columnTypes.push(typeof decltype === "string" ? decltype : "");
  }
  const rows = asArray(object["rows"], "rows").map((row) =>
    asArray(row, "a row").map((value) => decodeValue(value, intMode))
  );
  const rowid = object["last_insert_rowid"];
  const raw: RawResult = {
    columns,
    columnTypes,
    rows,
    rowsAffected: Number(object["affected_row_count"] ?? 0),
    lastInsertRowid: typeof rowid === "string" ? asInteger(rowid) : undefined,
  };
  return resultSet(raw);
}

/** The outcome of each step of a batch. */
export function decodeBatch(json: unknown, steps: number, intMode: IntMode): StepOutcome[] {
  const object = asObject(json, "the result of a batch");
  const results = asArray(object["step_results"], "step_results");
  const errors = asArray(object["step_errors"], "step_errors");
  if (results.length !== steps || errors.length !== steps) {
    throw protocolError(`answered ${results.length} steps of a batch of ${steps}`);
  }
  return results.map((result, i): StepOutcome => {
    if (isPresent(errors[i])) return decodeError(errors[i]);
    return isPresent(result) ? decodeResult(result, intMode) : undefined;
  });
}

/**
 * @throws {RangeError} when an integer is above 2^53 and `intMode` asks for numbers: rounding it
 * would hand out a wrong value.
 */
export function decodeValue(json: unknown, intMode: IntMode): Value {
  const object = json as { type?: unknown; value?: unknown; base64?: unknown } | null;
  switch (object?.type) {
    case "null":
      return null;
    case "integer":
      return decodeInteger(object.value, intMode);
    case "float":
      if (typeof object.value === "number") return object.value;
      break;
    case "text":
      if (typeof object.value === "string") return object.value;
      break;
    case "blob":
      if (typeof object.base64 === "string") return decodeBlob(object.base64);
  }
  throw protocolError(`sent ${JSON.stringify(json)?.slice(0, 100)} in place of a value`);
}

function decodeInteger(value: unknown, intMode: IntMode): Value {
  if (typeof value !== "string") throw protocolError("sent an integer that is not a string");
  if (intMode === "string") return value;
  if (intMode === "bigint") return asInteger(value);
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  asInteger(value);
  throw new RangeError(
    `Cannot represent the integer ${value} as a number without loss: ` +
      'connect with intMode "bigint" or "string"',
  );
}

function decodeBlob(base64: string): ArrayBuffer {
  try {
    // Servers differ in whether they pad.
    return Uint8Array.fromBase64(base64).buffer;
  } catch (error) {
    throw protocolError("sent a blob that is not base64", error);
  }
}

/** Complains of a server that does not keep to the protocol. What it did is not known. */
export function protocolError(what: string, cause?: unknown): ClientError {
  return new ClientError("HRANA_PROTO_ERROR", `The server ${what}`, { outcome: "unknown", cause });
}

/** @throws {ClientError} `HRANA_PROTO_ERROR` when `json` is not an object. */
export function asObject(json: unknown, what: string): Json {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Json;
  throw protocolError(`sent something else than an object as ${what}`);
}

/** @throws {ClientError} `HRANA_PROTO_ERROR` when `json` is not an array. */
export function asArray(json: unknown, what: string): readonly unknown[] {
  if (Array.isArray(json)) return json;
  throw protocolError(`sent something else than an array as ${what}`);
}

function asInteger(text: string): bigint {
  if (/^-?\d{1,19}$/.test(text)) return BigInt(text);
  throw protocolError(`sent "${text.slice(0, 40)}" in place of an integer`);
}

function isPresent(json: unknown): boolean {
  return json !== null && json !== undefined;
}
