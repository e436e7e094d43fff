/**
 * Reads the JSON of Hrana requests. Guards are written by hand since every request of every client
 * passes here; each error names the place (`requests[0].stmt.sql`), the rule and the value.
 * Unknown members are ignored, as the protocol demands.
 */
import { DatabaseError } from "../../base/errors.ts";
import {
  BATCH_STEPS_MAX,
  CONDITION_DEPTH_MAX,
  PIPELINE_REQUESTS_MAX,
  SQL_LENGTH_MAX,
} from "../../base/limits.ts";
import { parseJson } from "../json.ts";
import type {
  Batch,
  BatchCondition,
  BatchStep,
  NamedArg,
  PipelineBody,
  SqlSource,
  Statement,
  StreamRequest,
  Value,
} from "./types.ts";

type JsonObject = Readonly<Record<string, unknown>>;

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;
const INTEGER = /^-?[0-9]{1,19}$/;
const VALUE_LENGTH_SHOWN = 60;
const REQUEST_TYPES = "close, execute, batch, sequence, describe, store_sql, close_sql, " +
  "get_autocommit";
const CONDITION_TYPES = "ok, error, not, and, or, is_autocommit";
const VALUE_TYPES = "null, integer, float, text, blob";
const NO_ARGS: readonly never[] = [];

/**
 * Decodes the body of `POST /v2/pipeline` or `POST /v3/pipeline`.
 *
 * @throws {DatabaseError} PROTOCOL when it is not JSON or not of the protocol's form; TOO_LARGE
 * when it holds more requests, steps or SQL than is allowed.
 */
export function decodePipeline(text: string): PipelineBody {
  const decoder = new Decoder();
  return decoder.pipeline(parseJson(text, "The body"));
}

/**
 * Decodes one request of a stream that was parsed already.
 *
 * @throws {DatabaseError} as {@linkcode decodePipeline}.
 */
export function decodeStreamRequest(json: unknown): StreamRequest {
  return new Decoder().request(json);
}

/** Decodes one document. It holds the path to the value at hand, which only errors look at. */
class Decoder {
  readonly #path: (string | number)[] = [];

  pipeline(json: unknown): PipelineBody {
    const body = this.#object(json);
    const baton = body.baton;
    if (baton !== undefined && baton !== null && typeof baton !== "string") {
      this.#refuse("baton", "must be a string or null", baton);
    }
    const requests = this.#array(body, "requests", PIPELINE_REQUESTS_MAX);
    const decoded = this.#each("requests", requests, (request) => this.request(request));
    return { baton: baton ?? undefined, requests: decoded };
  }

  request(json: unknown): StreamRequest {
    const request = this.#object(json);
    const type = request.type;
    switch (type) {
      case "close":
      case "get_autocommit":
        return { type };
      case "execute":
        return { type, stmt: this.#in("stmt", () => this.#statement(request.stmt)) };
      case "batch":
        return { type, batch: this.#in("batch", () => this.#batch(request.batch)) };
      case "sequence":
      case "describe":
        return { type, sql: this.#sqlSource(request) };
      case "store_sql":
        return { type, sqlId: this.#sqlId(request.sql_id), sql: this.#sql(request.sql) };
      case "close_sql":
        return { type, sqlId: this.#sqlId(request.sql_id) };
      default:
        return this.#refuse("type", `must be one of ${REQUEST_TYPES}`, type);
    }
  }

  #statement(json: unknown): Statement {
    const statement = this.#object(json);
    const sql = this.#sqlSource(statement);
    const wantRows = statement.want_rows ?? true;
    if (typeof wantRows !== "boolean") {
      this.#refuse("want_rows", "must be true or false", wantRows);
    }
    return {
      sql,
      args: this.#optional(statement, "args", (value) => this.#value(value)),
      namedArgs: this.#optional(statement, "named_args", (value) => this.#namedArg(value)),
      wantRows,
    };
  }

  /** Exactly one of `sql` and `sql_id` is given. */
  #sqlSource(owner: JsonObject): SqlSource {
    const sql = owner.sql ?? undefined;
    const sqlId = owner.sql_id ?? undefined;
    if (sqlId === undefined) return this.#sql(sql);
    if (sql !== undefined) this.#refuse("sql_id", "must be absent when sql is given", sqlId);
    return this.#sqlId(sqlId);
  }

  #sql(sql: unknown): string {
    if (typeof sql !== "string") this.#refuse("sql", "must be a string", sql);
    if (sql.length > SQL_LENGTH_MAX) {
      this.#tooLarge("sql", `may have ${SQL_LENGTH_MAX} characters, not ${sql.length}`);
    }
    return sql;
  }

  #sqlId(sqlId: unknown): number {
    if (!isInteger(sqlId, INT32_MIN, INT32_MAX)) {
      this.#refuse("sql_id", "must be an integer of 32 bits", sqlId);
    }
    return sqlId;
  }

  #namedArg(json: unknown): NamedArg {
    const arg = this.#object(json);
    const name = arg.name;
    if (typeof name !== "string" || name === "") {
      this.#refuse("name", "must be a string that is not empty", name);
    }
    return { name, value: this.#in("value", () => this.#value(arg.value)) };
  }

  #value(json: unknown): Value {
    const owner = this.#object(json);
    const value = owner.value;
    switch (owner.type) {
      case "null":
        return null;
      case "text":
        if (typeof value !== "string") this.#refuse("value", "must be a string", value);
        return value;
      case "integer":
        return this.#integer(value);
      case "float":
        if (typeof value !== "number") this.#refuse("value", "must be a number", value);
        return value;
      case "blob":
        return this.#blob(owner.base64);
      default:
        return this.#refuse("type", `must be one of ${VALUE_TYPES}`, owner.type);
    }
  }

  #integer(value: unknown): bigint {
    const rule = "must be a string of decimal digits within 64 bits";
    if (typeof value !== "string" || !INTEGER.test(value)) this.#refuse("value", rule, value);
    const integer = BigInt(value);
    if (integer < INT64_MIN || integer > INT64_MAX) this.#refuse("value", rule, value);
    return integer;
  }

  #blob(base64: unknown): Uint8Array {
    if (typeof base64 !== "string") this.#refuse("base64", "must be a string", base64);
    try {
      return Uint8Array.fromBase64(base64);
    } catch {
      return this.#refuse("base64", "must be base64, with or without padding", base64);
    }
  }

  #batch(json: unknown): Batch {
    const batch = this.#object(json);
    const steps = this.#array(batch, "steps", BATCH_STEPS_MAX);
    return { steps: this.#each("steps", steps, (step, at) => this.#step(step, at)) };
  }

  #step(json: unknown, at: number): BatchStep {
    const step = this.#object(json);
    const condition = step.condition;
    return {
      condition: condition === undefined || condition === null
        ? undefined
        : this.#in("condition", () => this.#condition(condition, at, 1)),
      stmt: this.#in("stmt", () => this.#statement(step.stmt)),
    };
  }

  /** @param stepAt The position of the step whose condition it is: it names only earlier ones. */
  #condition(json: unknown, stepAt: number, depth: number): BatchCondition {
    if (depth > CONDITION_DEPTH_MAX) {
      this.#tooLarge("", `may be nested ${CONDITION_DEPTH_MAX} deep, not deeper`);
    }
    const owner = this.#object(json);
    const type = owner.type;
    const inner = (cond: unknown) => this.#condition(cond, stepAt, depth + 1);
    switch (type) {
      case "ok":
      case "error": {
        const step = owner.step;
        if (!isInteger(step, 0, stepAt - 1)) {
          this.#refuse("step", `must be the position of a step before ${stepAt}`, step);
        }
        return { type, step };
      }
      case "not":
        return { type, cond: this.#in("cond", () => inner(owner.cond)) };
      case "and":
      case "or": {
        const conds = this.#array(owner, "conds", BATCH_STEPS_MAX);
        return { type, conds: this.#each("conds", conds, inner) };
      }
      case "is_autocommit":
        return { type };
      default:
        return this.#refuse("type", `must be one of ${CONDITION_TYPES}`, type);
    }
  }

  #optional<T>(owner: JsonObject, key: string, decode: (value: unknown) => T): readonly T[] {
    const list = owner[key];
    if (list === undefined || list === null) return NO_ARGS;
    if (!Array.isArray(list)) this.#refuse(key, "must be an array", list);
    return list.length === 0 ? NO_ARGS : this.#each(key, list, decode);
  }

  #object(json: unknown): JsonObject {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      this.#refuse("", "must be an object", json);
    }
    return json as JsonObject;
  }

  #array(owner: JsonObject, key: string, countMax: number): readonly unknown[] {
    const list = owner[key];
    if (!Array.isArray(list)) this.#refuse(key, "must be an array", list);
    if (list.length > countMax) {
      this.#tooLarge(key, `may have ${countMax} elements, not ${list.length}`);
    }
    return list;
  }

  #each<T>(
    key: string,
    list: readonly unknown[],
    decode: (value: unknown, at: number) => T,
  ): T[] {
    const path = this.#path;
    path.push(key, 0);
    const last = path.length - 1;
    const decoded: T[] = [];
    for (let at = 0; at < list.length; at++) {
      path[last] = at;
      decoded.push(decode(list[at], at));
    }
    path.length = last - 1;
    return decoded;
  }

  #in<T>(key: string, decode: () => T): T {
    this.#path.push(key);
    const decoded = decode();
    this.#path.pop();
    return decoded;
  }

  #refuse(key: string, rule: string, value: unknown): never {
    throw new DatabaseError("PROTOCOL", `${this.#place(key)} ${rule}; it is ${show(value)}`);
  }

  #tooLarge(key: string, rule: string): never {
    throw new DatabaseError("TOO_LARGE", `${this.#place(key)} ${rule}`);
  }

  #place(key: string): string {
    let place = "";
    for (const part of key === "" ? this.#path : [...this.#path, key]) {
      if (typeof part === "number") place += `[${part}]`;
      else place += place === "" ? part : `.${part}`;
    }
    return place === "" ? "The body" : place;
  }
}

function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
}

/** A value as an error shows it: its JSON, cut short. */
function show(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  // Cut before it is encoded: the value may be as long as the body.
  if (typeof value === "string" && value.length > VALUE_LENGTH_SHOWN) {
    return `${JSON.stringify(value.slice(0, VALUE_LENGTH_SHOWN))}… (${value.length} characters)`;
  }
  return JSON.stringify(value);
}
