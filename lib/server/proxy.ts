/**
 * Passes requests that only the leader can answer on to it. A request is sent again only while it
 * is certain that no node began to run it; the client learns of everything else.
 */
import { DatabaseError } from "../base/errors.ts";
import { concat } from "../base/bytes.ts";
import { LEADER_WAIT_MS, PROXY_STALE_LEADER_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import {
  type HttpClient,
  HttpClientError,
  type HttpClientReply,
  type HttpReply,
  type HttpRequest,
} from "../io/http.ts";
import type { NodeId } from "../raft/types.ts";
import { NAMESPACE_HEADER } from "./database_path.ts";
import { JSON_TYPE } from "./replies.ts";
import type { Leadership } from "./types.ts";

/** Names the node that passed a request on; such a request is not passed on again. */
export const FORWARDED_HEADER = "x-dqlite-forwarded";

const RETRY_FIRST_MS = 10;
const RETRY_MAX_MS = 200;
const WATCH_INTERVAL_MS = 500;
/** The start of a reply to a pipeline, up to what says where the stream goes on. */
const PIPELINE_HEAD = /^\{"baton":(null|"[^"\\]*"),"base_url":null,/;
const PIPELINE_HEAD_BYTES_MAX = 1_024;
/** Refusals after which another node may take the same request. */
const REFUSED_BY_ROLE = new Set(["NOT_LEADER", "NO_LEADER", "SHUTTING_DOWN"]);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What is passed on of a request. */
export type Forwarded = Pick<HttpRequest, "method" | "path" | "signal" | "header">;

/** What came of one attempt: a reply for the client, or a reason to try again. */
type Attempt =
  | { readonly done: true; readonly reply: HttpReply }
  | { readonly done: false; readonly leader: string | undefined };

/** Runs requests here, or at the leader. */
export class Proxy {
  readonly #nodeId: NodeId;
  readonly #client: HttpClient;
  readonly #leadership: Leadership;
  readonly #clock: Clock;

  constructor(nodeId: NodeId, client: HttpClient, leadership: Leadership, clock: Clock) {
    this.#nodeId = nodeId;
    this.#client = client;
    this.#leadership = leadership;
    this.#clock = clock;
  }

  /**
   * Runs a request here; when this node does not lead, at the leader; and when there is none, waits
   * for one, up to `LEADER_WAIT_MS`.
   *
   * @param body The bytes of the request, which are passed on as they are, or what makes them.
   * @param local Runs it here, and may be called again after it threw NOT_LEADER.
   * @returns What `local` came to, or the reply of the leader.
   * @throws {DatabaseError} what `local` throws; NO_LEADER; CONNECTION_LOST when the leader took
   * the request and did not answer, so that its fate is unknown.
   */
  async run<Local>(
    request: Forwarded,
    body: Uint8Array | (() => Uint8Array),
    local: () => Promise<Local>,
  ): Promise<Local | HttpReply> {
    try {
      return await local();
    } catch (error) {
      const elsewhere = isNotLeader(error) && request.header(FORWARDED_HEADER) === undefined;
      if (!elsewhere) throw error;
      const bytes = typeof body === "function" ? body() : body;
      return await this.#runElsewhere(request, bytes, local, error.leader);
    }
  }

  /**
   * Sends a request to the one node that can answer it, as a stream lives there.
   *
   * @throws {DatabaseError} TRANSACTION_LOST when that node did not take it; CONNECTION_LOST when
   * it did, and did not answer.
   */
  async sendTo(url: string, request: Forwarded, body: Uint8Array): Promise<HttpReply> {
    const attempt = await this.#forward(url, request, body);
    if (attempt.done) return attempt.reply;
    throw new DatabaseError(
      "TRANSACTION_LOST",
      `The stream ended, and its transaction was rolled back: ${url} does not take it any more`,
    );
  }

  async #runElsewhere<Local>(
    request: Forwarded,
    body: Uint8Array,
    local: () => Promise<Local>,
    knownLeader: string | undefined,
  ): Promise<Local | HttpReply> {
    const deadlineMs = this.#clock.nowMs() + LEADER_WAIT_MS;
    let hint = knownLeader;
    let delayMs = RETRY_FIRST_MS;
    for (;;) {
      const url = this.#leadership.leaderUrl() ?? hint;
      hint = undefined;
      if (url !== undefined) {
        const attempt = await this.#forward(url, request, body);
        if (attempt.done) return attempt.reply;
        // What the other node says of the leader may be newer than what this one knows.
        if (attempt.leader !== url) hint = attempt.leader;
      } else if (!await this.#leadership.waitForLeader(deadlineMs)) {
        throw noLeader();
      }
      if (this.#clock.nowMs() + delayMs >= deadlineMs) throw noLeader();
      await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
      delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
      // This node may lead by now.
      try {
        return await local();
      } catch (error) {
        if (!isNotLeader(error)) throw error;
        hint ??= error.leader;
      }
    }
  }

  async #forward(url: string, request: Forwarded, body: Uint8Array): Promise<Attempt> {
    const abort = new AbortController();
    const onGone = () => abort.abort(new Error("the client went away"));
    const signal = request.signal;
    signal.addEventListener("abort", onGone);
    const stopWatching = this.#watch(url, abort);
    try {
      const reply = await this.#client.send({
        method: request.method,
        url: new URL(request.path, url).href,
        headers: this.#headersOf(request),
        body,
        signal: abort.signal,
      });
      return this.#judge(url, reply);
    } catch (error) {
      if (!(error instanceof HttpClientError)) throw error;
      if (!error.sent) return { done: false, leader: undefined };
      throw new DatabaseError(
        "CONNECTION_LOST",
        `The leader at ${url} took the request and did not answer: ${error.message}`,
        { hint: "It may have happened: read before you send it again.", cause: error },
      );
    } finally {
      stopWatching();
      signal.removeEventListener("abort", onGone);
    }
  }

  #headersOf(request: Forwarded): Record<string, string> {
    const database = request.header(NAMESPACE_HEADER);
    return {
      "content-type": JSON_TYPE,
      [FORWARDED_HEADER]: String(this.#nodeId),
      ...database !== undefined && { [NAMESPACE_HEADER]: database },
    };
  }

  #judge(url: string, reply: HttpClientReply): Attempt {
    const { status, contentType, body } = reply;
    if (status === 200) {
      return { done: true, reply: { status, contentType, body: withBaseUrl(body, url) } };
    }
    const error = status === 503 ? parseError(body) : undefined;
    if (error?.code !== undefined && REFUSED_BY_ROLE.has(error.code)) {
      return { done: false, leader: error.leader };
    }
    return { done: true, reply: { status, contentType, body } };
  }

  /**
   * Gives a request up when its node leads no longer and still does not answer. A node that merely
   * lost its leadership says so; one that lost its power says nothing, for many minutes.
   */
  #watch(url: string, abort: AbortController): () => void {
    let staleSinceMs: number | undefined;
    let cancel = () => {};
    const check = () => {
      const leader = this.#leadership.leaderUrl();
      const nowMs = this.#clock.nowMs();
      if (leader === url) staleSinceMs = undefined;
      else staleSinceMs ??= nowMs;
      if (staleSinceMs !== undefined && nowMs - staleSinceMs >= PROXY_STALE_LEADER_MS) {
        abort.abort(new Error("it leads no longer"));
      } else {
        cancel = this.#clock.after(WATCH_INTERVAL_MS, check);
      }
    };
    cancel = this.#clock.after(WATCH_INTERVAL_MS, check);
    return () => cancel();
  }
}

function isNotLeader(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && error.code === "NOT_LEADER";
}

function noLeader(): DatabaseError {
  return new DatabaseError(
    "NO_LEADER",
    `No leader answered within ${LEADER_WAIT_MS} ms`,
    { hint: "A majority of the voters must run and reach each other; GET /cluster shows them." },
  );
}

/**
 * Puts the leader's URL into its reply to a pipeline, so that the client goes there for the rest of
 * the stream. Any other body stays as it is.
 */
function withBaseUrl(body: Uint8Array<ArrayBuffer>, url: string): Uint8Array<ArrayBuffer> {
  const head = decoder.decode(body.subarray(0, PIPELINE_HEAD_BYTES_MAX));
  const match = PIPELINE_HEAD.exec(head);
  if (match === null) return body;
  // A client resolves `v2/pipeline` against it, so it ends in a slash.
  const base = url.endsWith("/") ? url : `${url}/`;
  const changed = `{"baton":${match[1]},"base_url":${JSON.stringify(base)},`;
  const matchedBytes = encoder.encode(match[0]).length;
  return concat([encoder.encode(changed), body.subarray(matchedBytes)]);
}

function parseError(body: Uint8Array): { code?: string; leader?: string } | undefined {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(body));
  } catch {
    return undefined;
  }
  if (typeof json !== "object" || json === null) return undefined;
  const { code, leader } = json as { code?: unknown; leader?: unknown };
  return {
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof leader === "string" ? { leader } : {}),
  };
}
