/** Pipelines over HTTP, by `fetch`. */
import { ERROR_CODES } from "../base/errors.ts";
import { RESPONSE_BYTES_MAX } from "../base/limits.ts";
import type { PipelineBody, StreamRequest } from "../wire/hrana/types.ts";
import { asArray, asObject, decodeError, protocolError } from "./decode.ts";
import { requestToJson } from "./encode.ts";
import { ClientError, withDetails } from "./error.ts";
import type { ClusterView, PipelineReply, PipelineTransport } from "./transport.ts";

/** The part of `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * A transport over HTTP.
 *
 * @param database The name of a database; undefined for the first one.
 */
export function httpTransport(fetch: Fetch, database?: string): PipelineTransport {
  const prefix = database === undefined ? "" : `db/${database}/`;
  return {
    async send(baseUrl, body, signal) {
      const version = body.requests.some(needsVersion3) ? "v3" : "v2";
      const path = `${prefix}${version}/pipeline`;
      const text = await post(fetch, endpoint(baseUrl, path), body, signal);
      return decodeReply(text, body.requests.length);
    },
    async cluster(baseUrl, signal) {
      const response = await attempt(() => fetch(endpoint(baseUrl, "cluster"), { signal }));
      const text = await bodyText(response);
      if (response.status === 404) return undefined;
      if (response.status !== 200) throw failure(response, text);
      return decodeCluster(parseJson(text));
    },
  };
}

/** Whether a request is of a form that Hrana 2 does not have. */
function needsVersion3(request: StreamRequest): boolean {
  if (request.type === "get_autocommit") return true;
  // The batches of this client ask whether a transaction is open.
  return request.type === "batch";
}

async function post(
  fetch: Fetch,
  url: string,
  body: PipelineBody,
  signal: AbortSignal,
): Promise<string> {
  const json = JSON.stringify({
    baton: body.baton ?? null,
    requests: body.requests.map(requestToJson),
  });
  // A body that is a string or bytes may be sent a second time by the runtime (Deno does) when a
  // kept connection breaks, also after the server acted on it. It cannot do so with a blob.
  const response = await attempt(() =>
    fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: new Blob([json]),
      signal,
    })
  );
  const text = await bodyText(response);
  if (response.status === 200) return text;
  throw failure(response, text);
}

/** The address of a path under a base URL, whether that ends in a slash or not. */
function endpoint(baseUrl: string, path: string): string {
  return baseUrl.endsWith("/") ? baseUrl + path : `${baseUrl}/${path}`;
}

async function attempt(send: () => Promise<Response>): Promise<Response> {
  try {
    return await send();
  } catch (error) {
    throw connectionError(error);
  }
}

/** Reads a body, up to the bound. @throws {ClientError} when it breaks off or is too long. */
async function bodyText(response: Response): Promise<string> {
  const length = Number(response.headers.get("content-length") ?? NaN);
  try {
    if (length <= RESPONSE_BYTES_MAX) return await response.text();
    const decoder = new TextDecoder();
    let text = "";
    let bytes = 0;
    for await (const part of response.body ?? []) {
      bytes += part.length;
      if (bytes > RESPONSE_BYTES_MAX) break;
      text += decoder.decode(part, { stream: true });
    }
    if (bytes <= RESPONSE_BYTES_MAX) return text + decoder.decode();
  } catch (error) {
    throw connectionError(error);
  }
  throw new ClientError(
    "RESPONSE_TOO_LARGE",
    `The answer exceeds ${RESPONSE_BYTES_MAX} bytes`,
    { outcome: "unknown", hint: "Ask for fewer rows, with LIMIT" },
  );
}

/** Whether nothing was sent is told only by the runtime's words for it, and they differ. */
const NOT_SENT_CODES = new Set([
  "ECONNREFUSED",
  "ConnectionRefused",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "FailedToOpenSocket",
]);
const NOT_SENT_TEXT = /client error \(Connect\)|connection refused|dns error|port \d+ are blocked/i;

function connectionError(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  const message = describe(error);
  if (wasNotSent(error)) {
    return new ClientError("CONNECTION_REFUSED", `No connection: ${message}`, {
      outcome: "rejected",
      cause: error,
    });
  }
  return new ClientError("CONNECTION_LOST", `The connection broke before the answer: ${message}`, {
    outcome: "unknown",
    cause: error,
  });
}

function wasNotSent(error: unknown): boolean {
  for (let e = error; e instanceof Error; e = e.cause) {
    if (NOT_SENT_CODES.has(String((e as { code?: unknown }).code))) return true;
    if (NOT_SENT_TEXT.test(e.message)) return true;
  }
  return false;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** The error of an answer whose status is not 200. */
function failure(response: Response, text: string): ClientError {
  // Below 500 the request was refused as a whole. From 500 on nothing is sure, unless the code
  // says so.
  const outcome = response.status < 500 ? "rejected" : "unknown";
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (typeof json === "object" && json !== null && "code" in json && "message" in json) {
    const error = decodeError(json);
    return Object.hasOwn(ERROR_CODES, error.code) ? error : withDetails(error, { outcome });
  }
  const detail = text.trim().slice(0, 300);
  return new ClientError(
    "SERVER_ERROR",
    `The server answered HTTP status ${response.status}${detail === "" ? "" : `: ${detail}`}`,
    { outcome },
  );
}

function decodeReply(text: string, requests: number): PipelineReply {
  const reply = asObject(parseJson(text), "the answer to a pipeline");
  const results = asArray(reply["results"], "results");
  if (results.length !== requests) {
    throw protocolError(`answered ${results.length} of ${requests} requests`);
  }
  return {
    baton: textOrUndefined(reply["baton"]),
    baseUrl: textOrUndefined(reply["base_url"]),
    results,
  };
}

function decodeCluster(json: unknown): ClusterView {
  const status = asObject(json, "the state of the cluster");
  const leader = status["leader"] as { httpUrl?: unknown } | null | undefined;
  const memberUrls = asArray(status["members"], "members")
    .map((member) => textOrUndefined(asObject(member, "a member")["httpUrl"]))
    .filter((url) => url !== undefined);
  const leaderUrl = textOrUndefined(leader?.httpUrl);
  return { term: Number(status["term"]), leaderUrl, memberUrls, status };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw protocolError("answered with a text that is not JSON", error);
  }
}

function textOrUndefined(json: unknown): string | undefined {
  return typeof json === "string" && json !== "" ? json : undefined;
}
