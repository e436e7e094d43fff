/**
 * Where a stream of a WebSocket lives: its session is on this node, or on the leader. Its requests
 * go the way of pipelines over HTTP, batons included, so that every node takes every request here,
 * too, and what a change of leader does to a stream is decided in one place.
 */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply } from "../io/http.ts";
import type { PipelineResponse, Sessions } from "../session/types.ts";
import { encodeErrorBody } from "../wire/hrana/encode.ts";
import { type PipelineReply, splitPipelineReply } from "../wire/hrana/pipeline_reply.ts";
import type { Json, StreamRequest } from "../wire/hrana/types.ts";
import { parseJson } from "../wire/json.ts";
import type { Forwarded, Proxy } from "./proxy.ts";

const OK_STATUS = 200;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What the leader is asked. Whoever closes a WebSocket does not take back what it asked for. */
function callOf(database: string | undefined): Forwarded {
  return {
    method: "POST",
    path: database === undefined ? "/v3/pipeline" : `/db/${database}/v3/pipeline`,
    signal: new AbortController().signal,
    header: () => undefined,
  };
}

/** What requests came to: one result for each, or one error for all, as an object in JSON. */
export type RouteAnswer =
  | { readonly results: readonly Json[]; readonly error?: undefined }
  | { readonly results?: undefined; readonly error: string };

/** See the file comment. */
export class StreamRoute {
  readonly #sessions: Sessions;
  readonly #proxy: Proxy;
  readonly #database: string | undefined;
  readonly #call: Forwarded;
  #baton: string | undefined;
  /** The node that has the session, when it is another one. */
  #url: string | undefined;

  /** @param database Its name; undefined for the first one. */
  constructor(sessions: Sessions, proxy: Proxy, database: string | undefined) {
    this.#sessions = sessions;
    this.#proxy = proxy;
    this.#database = database;
    this.#call = callOf(database);
  }

  /** Whether there is a session somewhere. */
  get isOpen(): boolean {
    return this.#baton !== undefined;
  }

  /**
   * Runs requests, of which a `close` comes last; one run after the other.
   *
   * @param jsons The JSON of each request.
   */
  async run(requests: readonly StreamRequest[], jsons: readonly string[]): Promise<RouteAnswer> {
    const list = `"requests":[${jsons.join(",")}]}`;
    try {
      const answer = this.#url === undefined
        ? await this.#runHere(requests, list)
        : await this.#proxy.sendTo(this.#url, this.#call, this.#bodyOf(list));
      return "status" in answer ? this.#takeReply(answer, requests.length) : this.#take(answer);
    } catch (error) {
      if (error instanceof DatabaseError) return { error: encodeErrorBody(error) };
      throw error;
    }
  }

  #runHere(
    requests: readonly StreamRequest[],
    list: string,
  ): Promise<PipelineResponse | HttpReply> {
    const database = this.#database;
    const local = () =>
      this.#sessions.pipeline({ baton: this.#baton, database, requests, text: `{${list}` });
    return this.#proxy.run(this.#call, () => this.#bodyOf(list), local);
  }

  #bodyOf(list: string): Uint8Array {
    return encoder.encode(`{"baton":${JSON.stringify(this.#baton ?? null)},${list}`);
  }

  #takeReply(reply: HttpReply, count: number): RouteAnswer {
    const body = reply.body as Uint8Array<ArrayBuffer>;
    if (reply.status !== OK_STATUS) return { error: errorOf(reply) };
    const answer = splitPipelineReply(body);
    if (answer.results.length !== count) {
      const message = `The leader gave ${answer.results.length} results for ${count} requests`;
      throw new DatabaseError("PROTOCOL", message, { outcome: "unknown" });
    }
    // The proxy wrote it, with a slash at its end.
    this.#url = answer.baseUrl?.replace(/\/$/, "") ?? this.#url;
    return this.#take(answer);
  }

  #take({ baton, results }: PipelineReply | PipelineResponse): RouteAnswer {
    this.#baton = baton;
    return { results };
  }
}

/** The error of a reply: as the other node told it, where it did. */
function errorOf({ status, contentType, body }: HttpReply): string {
  if (contentType.startsWith("application/json")) {
    const text = decoder.decode(body as Uint8Array<ArrayBuffer>);
    // It is parsed, so that what is malformed stays out of the message around it.
    return JSON.stringify(parseJson(text, "The answer of the leader"));
  }
  const message = `The leader answered with the status ${status}`;
  return encodeErrorBody(new DatabaseError("INTERNAL", message));
}
