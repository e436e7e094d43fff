/**
 * A stream of a WebSocket. What the client sends while a request runs is run together afterwards,
 * as one pipeline; a stream that is opened, used once and closed in one breath costs no session.
 */
import { DatabaseError } from "../base/errors.ts";
import { HTTP_BODY_BYTES_MAX, PIPELINE_REQUESTS_MAX } from "../base/limits.ts";
import { encodeErrorBody } from "../wire/hrana/encode.ts";
import {
  encodeDone,
  encodeRefusal,
  encodeResult,
  isErrorResult,
} from "../wire/hrana/socket_encode.ts";
import type { Json, StreamRequest } from "../wire/hrana/types.ts";
import type { HranaCursor } from "./hrana_cursor.ts";
import type { RouteAnswer, StreamRoute } from "./stream_route.ts";

/** Characters of requests that share a pipeline. */
const PIPELINE_CHARS_MAX = HTTP_BODY_BYTES_MAX / 4;
const CLOSE: StreamRequest = { type: "close" };
const CLOSE_JSON = JSON.stringify(CLOSE);

/** What a stream asks of its connection. */
export interface StreamHost {
  readonly nowMs: () => number;
  /** Whether the client takes its answers, so that more should be made. */
  readonly isFlowing: () => boolean;
  /** Counts a pipeline in. @returns False when the node has too many. */
  readonly admit: () => boolean;
  readonly release: () => void;
  readonly answer: (message: Json) => void;
  readonly onFailure: (error: unknown) => void;
  /** There will be no more of it. */
  readonly closed: (stream: HranaStream) => void;
}

/** A request that waits for its turn. */
interface Task {
  /** Undefined when nobody waits for an answer. */
  readonly requestId: number | undefined;
  readonly request: StreamRequest;
  readonly json: string;
  /** Takes the result in place of the client. */
  readonly cursor: HranaCursor | undefined;
}

/** See the file comment. */
export class HranaStream {
  readonly #host: StreamHost;
  readonly #route: StreamRoute;
  #queue: Task[] = [];
  #isRunning = false;
  /** Why the session is gone, as JSON; whatever is asked from then on is told so. */
  #failure: string | undefined;
  #lastUsedMs: number;
  /** The cursor that is open on it. */
  cursorId: number | undefined;

  constructor(host: StreamHost, route: StreamRoute) {
    this.#host = host;
    this.#route = route;
    this.#lastUsedMs = host.nowMs();
  }

  /** Takes a request, to be run by the next {@linkcode dispatch} or after what runs now. */
  add(requestId: number, request: StreamRequest, json: string, cursor?: HranaCursor): void {
    this.#queue.push({ requestId, request, json, cursor });
  }

  /** Takes the request to close it. */
  close(requestId: number): void {
    this.#queue.push({ requestId, request: CLOSE, json: CLOSE_JSON, cursor: undefined });
  }

  /** The client is gone: what does not run yet never will, and what is open is closed. */
  end(): void {
    this.#queue = [{ requestId: undefined, request: CLOSE, json: CLOSE_JSON, cursor: undefined }];
    this.dispatch();
  }

  /** Runs what waits, unless something runs already or the client takes no answers. */
  dispatch(): void {
    if (this.#isRunning || this.#queue.length === 0) return;
    const clientIsGone = this.#queue[0]!.requestId === undefined;
    if (!clientIsGone && !this.#host.isFlowing()) return;
    const tasks = this.#take();
    const isLast = tasks.at(-1)!.request === CLOSE;
    if (this.#failure !== undefined || (tasks.length === 1 && isLast && !this.#route.isOpen)) {
      const error = this.#failure;
      return this.#finish(tasks, error === undefined ? { results: [] } : { error });
    }
    if (!clientIsGone && !this.#host.admit()) return this.#finish(tasks, { error: BUSY });
    void this.#run(tasks, !clientIsGone);
  }

  /** Keeps the session from expiring while nothing is asked of it. */
  keepAlive(idleMs: number): void {
    if (this.#isRunning || this.#queue.length > 0 || !this.#route.isOpen) return;
    if (this.#failure !== undefined) return;
    if (this.#host.nowMs() - this.#lastUsedMs >= idleMs) void this.#run([], false);
  }

  /** What may share a pipeline, from the front of the queue. */
  #take(): Task[] {
    let count = 0;
    let chars = 0;
    while (count < this.#queue.length && count < PIPELINE_REQUESTS_MAX) {
      chars += this.#queue[count]!.json.length;
      if (count > 0 && chars > PIPELINE_CHARS_MAX) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  async #run(tasks: readonly Task[], admitted: boolean): Promise<void> {
    this.#isRunning = true;
    let answer: RouteAnswer;
    try {
      const requests = tasks.map(({ request }) => request);
      answer = await this.#route.run(requests, tasks.map(({ json }) => json));
    } catch (error) {
      this.#host.onFailure(error);
      answer = { error: INTERNAL };
    }
    if (admitted) this.#host.release();
    this.#isRunning = false;
    this.#lastUsedMs = this.#host.nowMs();
    this.#finish(tasks, answer);
  }

  #finish(tasks: readonly Task[], answer: RouteAnswer): void {
    const isLast = tasks.at(-1)?.request === CLOSE;
    if (answer.error !== undefined) this.#failure ??= answer.error;
    else if (!isLast && !this.#route.isOpen) this.#failure = EXPIRED;
    for (let at = 0; at < tasks.length; at++) {
      this.#answer(tasks[at]!, answer.error ?? "", answer.results?.[at]);
    }
    if (!isLast) return this.dispatch();
    // After a refusal there may still be a session, which nobody waits for.
    if (answer.error !== undefined && this.#route.isOpen) {
      void this.#route.run([CLOSE], [CLOSE_JSON]).catch(this.#host.onFailure);
    }
    this.#host.closed(this);
  }

  /** @param result Undefined for the error. */
  #answer(task: Task, error: string, result: Json | undefined): void {
    const { requestId, request, cursor } = task;
    if (requestId === undefined) return;
    // A stream that failed is closed all the same.
    if (request === CLOSE) return this.#host.answer(encodeDone(requestId, "close_stream"));
    const isOk = result !== undefined && !isErrorResult(result);
    this.#host.answer(
      result === undefined
        ? encodeRefusal(requestId, error)
        : cursor !== undefined && isOk
        ? encodeDone(requestId, "open_cursor")
        : encodeResult(requestId, result),
    );
    cursor?.settle(isOk ? result : undefined);
  }
}

const BUSY = encodeErrorBody(
  new DatabaseError("BUSY", "Too many requests are under way on this node already"),
);
const EXPIRED = encodeErrorBody(
  new DatabaseError("STREAM_EXPIRED", "The stream ended while its last request was answered"),
);
const INTERNAL = encodeErrorBody(
  new DatabaseError("INTERNAL", "The node failed to answer; its log has the reason"),
);
