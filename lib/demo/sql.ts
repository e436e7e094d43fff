/**
 * One request, one answer, over HTTP and without a second try: the demo has to know exactly what it
 * was told about every write.
 */
import { ERROR_CODES, type ErrorCode, messageOf, type Outcome } from "../base/errors.ts";

/** Time after which an answer is not waited for any longer. */
const REQUEST_TIMEOUT_MS = 20_000;

/** A value as Hrana writes it. */
export type HranaValue =
  | { readonly type: "null" }
  | { readonly type: "integer"; readonly value: string }
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "text"; readonly value: string };

/** What came of a request. */
export type Reply =
  | { readonly type: "ok"; readonly results: readonly StatementResult[] }
  | { readonly type: "error"; readonly outcome: Outcome; readonly message: string };

/** The result of one statement. */
export interface StatementResult {
  readonly rows: readonly (readonly HranaValue[])[];
}

/** A statement of a transaction, with its arguments. */
export interface Statement {
  readonly sql: string;
  readonly args: readonly HranaValue[];
}

interface WireError {
  readonly message: string;
  readonly code?: string;
}

type WireResult =
  | { readonly type: "error"; readonly error: WireError }
  | {
    readonly type: "ok";
    readonly response: {
      readonly type: string;
      readonly result?: StatementResult & {
        readonly step_results?: readonly (StatementResult | null)[];
        readonly step_errors?: readonly (WireError | null)[];
      };
    };
  };

/** An integer as an argument. */
export function integer(value: number): HranaValue {
  return { type: "integer", value: String(value) };
}

/** A text as an argument. */
export function text(value: string): HranaValue {
  return { type: "text", value };
}

/** Runs one statement at the node at `url`. */
export async function query(url: string, sql: string, args: HranaValue[] = []): Promise<Reply> {
  const stmt = { sql, args, named_args: [], want_rows: true };
  return await send(url, [{ type: "execute", stmt }]);
}

/**
 * Runs all statements in one transaction, or none of them. They share one SQL text, which is sent
 * once.
 */
export async function transaction(
  url: string,
  sql: string,
  rows: readonly (readonly HranaValue[])[],
): Promise<Reply> {
  const step = (stmt: object, condition?: object) => ({
    ...(condition === undefined ? {} : { condition }),
    stmt: { args: [], named_args: [], want_rows: false, ...stmt },
  });
  const after = (index: number) => ({ type: "ok", step: index });
  const commit = rows.length + 1;
  const steps = [
    step({ sql: "BEGIN IMMEDIATE" }),
    ...rows.map((args, i) => step({ sql_id: 0, args }, after(i))),
    step({ sql: "COMMIT" }, after(commit - 1)),
    step({ sql: "ROLLBACK" }, { type: "not", cond: after(commit) }),
  ];
  return await send(url, [
    { type: "store_sql", sql_id: 0, sql },
    { type: "batch", batch: { steps } },
  ]);
}

async function send(url: string, requests: readonly object[]): Promise<Reply> {
  let status: number;
  let body: string;
  try {
    const response = await fetch(`${url}/v2/pipeline`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      // Deno sends a text a second time without a word when a kept connection breaks, whether or
      // not the server acted on the first; a blob it cannot.
      body: new Blob([JSON.stringify({ requests: [...requests, { type: "close" }] })]),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    status = response.status;
    body = await response.text();
  } catch (error) {
    const outcome = wasRefused(error) ? "rejected" : "unknown";
    return { type: "error", outcome, message: messageOf(error) };
  }
  return readReply(status, body);
}

/** Reads the answer to a pipeline; what it does not understand has an unknown outcome. */
export function readReply(status: number, body: string): Reply {
  let parsed: { results?: readonly WireResult[]; message?: string; code?: string };
  try {
    parsed = JSON.parse(body);
  } catch {
    return { type: "error", outcome: "unknown", message: `HTTP ${status}: ${body.slice(0, 200)}` };
  }
  if (status !== 200 || parsed.results === undefined) {
    return toError({ message: `HTTP ${status}: ${parsed.message}`, ...codeOf(parsed.code) });
  }
  const results: StatementResult[] = [];
  for (const result of parsed.results) {
    if (result.type === "error") return toError(result.error);
    const found = result.response.result;
    if (found?.step_errors !== undefined) {
      const failed = found.step_errors.find((error) => error !== null);
      if (failed) return toError(failed);
      // COMMIT is the last step but one: ROLLBACK stands behind it, and was skipped.
      if (found.step_results?.at(-2) == null) {
        return { type: "error", outcome: "unknown", message: "COMMIT has no result" };
      }
    } else if (found !== undefined) results.push(found);
  }
  return { type: "ok", results };
}

function codeOf(code: string | undefined): { readonly code?: string } {
  return code === undefined ? {} : { code };
}

function toError(error: WireError): Reply {
  const { code, message } = error;
  return { type: "error", outcome: outcomeOf(code), message: `${code}: ${message}` };
}

/** What the closed list of codes promises; the engine refuses a statement as a whole. */
function outcomeOf(code: string | undefined): Outcome {
  if (code === undefined) return "unknown";
  if (Object.hasOwn(ERROR_CODES, code)) return ERROR_CODES[code as ErrorCode];
  return code.startsWith("SQLITE_") ? "rejected" : "unknown";
}

/** Whether no connection came about: then nothing was sent. Bun gives a code, Deno only words. */
function wasRefused(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { code } = at as { readonly code?: unknown };
    if (code === "ConnectionRefused" || code === "ECONNREFUSED") return true;
    if (at.message.includes("client error (Connect)")) return true;
  }
  return false;
}
