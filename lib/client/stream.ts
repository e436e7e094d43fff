import type { StreamRequest } from "../wire/hrana/types.ts";
import { ClientError } from "./error.ts";
import { mayRetry } from "./retry.ts";
import type { Router } from "./router.ts";
import type { PipelineReply } from "./transport.ts";

/** Refusals of a whole pipeline after which the stream goes on as if it had not been sent. */
const HARMLESS = new Set(["BUSY", "TOO_LARGE", "PROTOCOL"]);

/**
 * A stream of requests that share a connection to the database on one node. Pipelines run one
 * after another.
 */
export class Stream {
  readonly #router: Router;
  readonly #timeoutMs: number;
  /** Where the stream is open, and under which name; undefined when it is not. */
  #place: { readonly url: string; readonly baton: string } | undefined;
  /** Settles when the last pipeline is answered. Never rejects. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(router: Router, timeoutMs: number) {
    this.#router = router;
    this.#timeoutMs = timeoutMs;
  }

  /** Whether the node keeps state for this stream. */
  get open(): boolean {
    return this.#place !== undefined;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Sends a pipeline after those before it are answered. It opens the stream when it is not open,
   * and that may be tried again elsewhere; in an open stream nothing is sent twice.
   *
   * @param decode Makes the result of the answer.
   * @param idempotent The pipeline only reads, and leaves nothing in the stream.
   * @throws {ClientError} the stream is not open any more when the pipeline as a whole failed.
   */
  async send<T>(
    requests: readonly StreamRequest[],
    decode: (results: readonly unknown[]) => T,
    idempotent = false,
  ): Promise<T> {
    const sent = this.#turn.then(() => this.#sendNow(requests, decode, idempotent));
    this.#turn = sent.catch(() => {});
    return await sent;
  }

  /** Ends the stream, and with it a transaction that is open, without waiting for the node. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#turn = this.#turn.then(() => this.abandon());
  }

  /** Gives up what the node keeps for this stream; the next pipeline opens it anew. */
  abandon(): void {
    if (this.#place === undefined) return;
    const { url, baton } = this.#place;
    this.#place = undefined;
    this.#router.dismiss(url, { baton, requests: [{ type: "close" }] });
  }

  async #sendNow<T>(
    requests: readonly StreamRequest[],
    decode: (results: readonly unknown[]) => T,
    idempotent: boolean,
  ): Promise<T> {
    const place = this.#place;
    if (place === undefined) {
      const options = { timeoutMs: this.#timeoutMs, idempotent };
      return await this.#router.call({ baton: undefined, requests }, options, (reply, url) => {
        this.#take(reply, url);
        try {
          return decode(reply.results);
        } catch (error) {
          // The call goes on elsewhere, so this stream will not be used.
          if (error instanceof ClientError && mayRetry(error, options)) this.abandon();
          throw error;
        }
      });
    }
    try {
      const body = { baton: place.baton, requests };
      const reply = await this.#router.pinned(place.url, body, this.#timeoutMs);
      this.#take(reply, place.url);
      return decode(reply.results);
    } catch (error) {
      // An error of a single request leaves the stream open under its new name.
      const whole = this.#place === place;
      if (error instanceof ClientError && whole && !HARMLESS.has(error.code)) {
        this.#place = undefined;
      }
      throw error;
    }
  }

  #take(reply: PipelineReply, url: string): void {
    this.#place = reply.baton === undefined
      ? undefined
      : { url: reply.baseUrl ?? url, baton: reply.baton };
  }
}
