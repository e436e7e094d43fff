/** What users hand in, as Hrana values; and Hrana requests as JSON. */
import type { Statement, StreamRequest, Value } from "../wire/hrana/types.ts";
import type { InArgs, InStatement, InValue } from "./types.ts";

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** A statement in any form that the calls of a client take. */
export type AnyStatement = InStatement | readonly [sql: string, args?: InArgs];

/**
 * @throws {TypeError} when an argument is of no type that SQL knows.
 * @throws {RangeError} when a number is not finite, or an integer does not fit 64 bits.
 */
export function encodeStatement(statement: AnyStatement): Statement {
  const [sql, given] = partsOf(statement);
  if (typeof sql !== "string") {
    throw new TypeError(`Cannot use ${describe(sql)} as SQL: must be a string`);
  }
  const args = Array.isArray(given) ? given.map(encodeValue) : [];
  const namedArgs = given === undefined || Array.isArray(given)
    ? []
    : Object.entries(given).map(([name, value]) => ({ name, value: encodeValue(value) }));
  return { sql, args, namedArgs, wantRows: true };
}

/**
 * A number is a REAL, a bigint an INTEGER, a boolean 1 or 0, a date its milliseconds since 1970.
 *
 * @throws {TypeError} when the value is of no type that SQL knows.
 * @throws {RangeError} when a number is not finite, or an integer does not fit 64 bits.
 */
export function encodeValue(value: InValue): Value {
  if (value === null || typeof value === "string") return value;
  if (typeof value === "number") return finite(value);
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "bigint") {
    if (value >= INT64_MIN && value <= INT64_MAX) return value;
    throw new RangeError(`Cannot bind ${value}: must fit a signed integer of 64 bits`);
  }
  if (value instanceof Date) return finite(value.getTime());
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new TypeError(
    `Cannot bind ${describe(value)}: ` +
      "must be null, string, number, bigint, boolean, Date, Uint8Array or ArrayBuffer",
  );
}

/** A request in the form of Hrana over HTTP, ready for `JSON.stringify`. */
export function requestToJson(request: StreamRequest): unknown {
  switch (request.type) {
    case "close":
    case "get_autocommit":
      return { type: request.type };
    case "execute":
      return { type: "execute", stmt: statementToJson(request.stmt) };
    case "batch":
      return {
        type: "batch",
        batch: {
          steps: request.batch.steps.map((step) => ({
            // The decoded form of a condition is also its form in JSON.
            condition: step.condition ?? null,
            stmt: statementToJson(step.stmt),
          })),
        },
      };
    case "sequence":
    case "describe":
      return { type: request.type, ...sourceToJson(request.sql) };
    case "store_sql":
      return { type: "store_sql", sql_id: request.sqlId, sql: request.sql };
    case "close_sql":
      return { type: "close_sql", sql_id: request.sqlId };
  }
}

function statementToJson(statement: Statement): unknown {
  return {
    ...sourceToJson(statement.sql),
    args: statement.args.map(valueToJson),
    named_args: statement.namedArgs.map(({ name, value }) => ({ name, value: valueToJson(value) })),
    want_rows: statement.wantRows,
  };
}

function sourceToJson(sql: string | number): { sql: string } | { sql_id: number } {
  return typeof sql === "string" ? { sql } : { sql_id: sql };
}

function valueToJson(value: Value): unknown {
  if (value === null) return { type: "null" };
  if (typeof value === "bigint") return { type: "integer", value: value.toString() };
  if (typeof value === "number") return { type: "float", value };
  if (typeof value === "string") return { type: "text", value };
  return { type: "blob", base64: value.toBase64() };
}

function partsOf(statement: AnyStatement): readonly [sql: unknown, args?: InArgs | undefined] {
  if (typeof statement === "string") return [statement];
  if (Array.isArray(statement)) return statement as unknown as [string, InArgs?];
  const { sql, args } = statement as Exclude<InStatement, string>;
  return [sql, args];
}

function finite(value: number): number {
  if (Number.isFinite(value)) return value;
  throw new RangeError(`Cannot bind ${value}: must be a finite number`);
}

function describe(value: unknown): string {
  if (value === undefined) return "undefined";
  return typeof value === "object" && value !== null
    ? `a value of class ${value.constructor?.name ?? "Object"}`
    : `a value of type ${typeof value}`;
}
