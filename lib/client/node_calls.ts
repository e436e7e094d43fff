/** Calls of what nodes offer beside SQL: streams that are read, and requests that change them. */
import { DatabaseError, ERROR_CODES, type ErrorCode, messageOf } from "../base/errors.ts";
import { NODE_CALL_TIMEOUT_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Fetch } from "./http_transport.ts";

/** Bytes of an error that are read. */
const ERROR_BYTES_MAX = 64 * 1024;

/** How to talk to nodes. */
export interface NodeCallsOptions {
  /** HTTP addresses of one node or several. */
  readonly urls: readonly string[];
  readonly fetch: Fetch;
  readonly clock: Clock;
  /** Gives everything up that is under way. */
  readonly signal: AbortSignal;
}

/** An answer whose body is read as it comes. */
export interface NodeStream {
  /** The node that answers. */
  readonly url: string;
  readonly headers: Headers;
  /** @throws {DatabaseError} `CONNECTION_LOST` when it breaks off, or stands still for too long. */
  readonly parts: AsyncIterable<Uint8Array<ArrayBuffer>>;
}

/** See the file comment. */
export class NodeCalls {
  readonly #options: NodeCallsOptions;

  constructor(options: NodeCallsOptions) {
    this.#options = options;
  }

  /**
   * Asks one node after another, until one answers; a node that names the leader in its refusal is
   * taken at its word.
   *
   * @param path Such as `cluster/backup`.
   * @throws {DatabaseError} the refusal of the last one, or `CONNECTION_LOST` when none answers.
   */
  async open(path: string): Promise<NodeStream> {
    const urls = [...this.#options.urls];
    const failures: string[] = [];
    let refusal: DatabaseError | undefined;
    for (let at = 0; at < urls.length; at++) {
      const url = urls[at]!;
      try {
        return await this.#open(url, path);
      } catch (error) {
        if (!(error instanceof DatabaseError) || this.#options.signal.aborted) throw error;
        failures.push(`${url}: ${error.message}`);
        if (error.code !== "CONNECTION_LOST") refusal = error;
        if (error.leader !== undefined && !urls.includes(error.leader)) urls.push(error.leader);
      }
    }
    if (refusal !== undefined) throw refusal;
    throw new DatabaseError("CONNECTION_LOST", `No node answers: ${failures.join("; ")}`, {
      outcome: "rejected",
      hint: "Name a node that runs with --url",
    });
  }

  /** The names of all databases. @throws {DatabaseError} like {@linkcode open}. */
  async databases(): Promise<{ readonly name: string }[]> {
    const { url, parts } = await this.open("cluster/databases");
    const decoder = new TextDecoder();
    let text = "";
    for await (const part of parts) text += decoder.decode(part, { stream: true });
    const { databases } = jsonOf(url, text + decoder.decode());
    if (Array.isArray(databases)) return databases as { name: string }[];
    throw new DatabaseError("PROTOCOL", `${url} does not answer as a node does`);
  }

  /**
   * Asks the first node that answers to change something; it passes that on to the leader.
   *
   * @throws {DatabaseError} the refusal; `CONNECTION_LOST` when none answers.
   */
  async change(method: "POST" | "DELETE", path: string, body: unknown): Promise<unknown> {
    let last: unknown;
    for (const url of this.#options.urls) {
      try {
        return await this.#send(method, url, path, JSON.stringify(body));
      } catch (error) {
        last = error;
        if (!(error instanceof DatabaseError) || error.code !== "CONNECTION_LOST") break;
      }
    }
    throw last;
  }

  /**
   * Sends one request to one node, once.
   *
   * @returns The JSON of the answer.
   * @throws {DatabaseError} the refusal; `CONNECTION_LOST` when there is no whole answer, with the
   * outcome `unknown`.
   */
  post(url: string, path: string, body: Uint8Array<ArrayBuffer> | string): Promise<unknown> {
    return this.#send("POST", url, path, body);
  }

  async #send(
    method: string,
    url: string,
    path: string,
    body: Uint8Array<ArrayBuffer> | string,
  ): Promise<unknown> {
    const call = this.#newCall();
    try {
      // A runtime may send a text or bytes again by itself when a connection breaks; not a blob.
      const init = { method, body: new Blob([body]), signal: call.signal };
      const response = await this.#options.fetch(endpoint(url, path), init);
      const text = await response.text();
      if (response.status !== 200) throw refusalOf(response, text);
      return JSON.parse(text);
    } catch (error) {
      throw this.#explain(url, error);
    } finally {
      call.end();
    }
  }

  async #open(url: string, path: string): Promise<NodeStream> {
    const call = this.#newCall();
    try {
      const response = await this.#options.fetch(endpoint(url, path), { signal: call.signal });
      if (response.status !== 200 || response.body === null) {
        throw refusalOf(response, (await response.text()).slice(0, ERROR_BYTES_MAX));
      }
      return { url, headers: response.headers, parts: this.#parts(url, response.body, call) };
    } catch (error) {
      call.end();
      throw this.#explain(url, error);
    }
  }

  async *#parts(
    url: string,
    body: ReadableStream<Uint8Array<ArrayBuffer>>,
    call: Call,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const reader = body.getReader();
    try {
      for (;;) {
        call.restart();
        const { done, value } = await reader.read();
        call.pause();
        if (done) return;
        yield value;
      }
    } catch (error) {
      throw this.#explain(url, error);
    } finally {
      call.end();
      reader.cancel().catch(() => {});
    }
  }

  #newCall(): Call {
    const { clock, signal } = this.#options;
    return new Call(clock, signal);
  }

  #explain(url: string, error: unknown): unknown {
    if (error instanceof DatabaseError) return error;
    if (this.#options.signal.aborted) {
      return new DatabaseError("CLOSED", "Interrupted", { cause: error });
    }
    return new DatabaseError(
      "CONNECTION_LOST",
      `The connection to ${url} broke: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** One request under way, which is given up when the other side says nothing for too long. */
class Call {
  readonly #abort = new AbortController();
  readonly #clock: Clock;
  readonly #outer: AbortSignal;
  readonly #onOuter = () => this.#abort.abort(new Error("Interrupted"));
  #cancel: () => void = () => {};

  constructor(clock: Clock, outer: AbortSignal) {
    this.#clock = clock;
    this.#outer = outer;
    if (outer.aborted) this.#onOuter();
    outer.addEventListener("abort", this.#onOuter);
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** From now on the other side has its time again. */
  restart(): void {
    this.#cancel();
    const late = new Error(`no answer within ${NODE_CALL_TIMEOUT_MS / 1_000} s`);
    this.#cancel = this.#clock.after(NODE_CALL_TIMEOUT_MS, () => this.#abort.abort(late));
  }

  /** Nothing is expected of the other side. */
  pause(): void {
    this.#cancel();
  }

  end(): void {
    this.#cancel();
    this.#outer.removeEventListener("abort", this.#onOuter);
  }
}

function jsonOf(url: string, text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new DatabaseError("PROTOCOL", `${url} does not answer as a node does`, { cause: error });
  }
}

function endpoint(url: string, path: string): string {
  return url.endsWith("/") ? url + path : `${url}/${path}`;
}

/** The error of an answer whose status is not 200. */
function refusalOf(response: Response, text: string): DatabaseError {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  const { code, message, outcome, hint, leader } = (json ?? {}) as Record<string, unknown>;
  if (typeof code !== "string" || typeof message !== "string") {
    const status = `The server answered with HTTP status ${response.status}`;
    return new DatabaseError("PROTOCOL", `${status}: is it a node of dqlite?`);
  }
  return new DatabaseError(
    Object.hasOwn(ERROR_CODES, code) ? code as ErrorCode : "SQLITE",
    message,
    {
      ...(outcome === "unknown" || outcome === "rejected" ? { outcome } : {}),
      ...(typeof hint === "string" ? { hint } : {}),
      ...(typeof leader === "string" ? { leader } : {}),
    },
  );
}
