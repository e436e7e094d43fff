/**
 * A client's connection to the HTTP server: one request after another, each answered before the
 * next one is read, so that replies keep their order and a client that sends ahead is held back.
 */
import { concat } from "../base/bytes.ts";
import { HTTP_IDLE_MS } from "../base/limits.ts";
import type { HttpReply, HttpRequest } from "./http.ts";
import { HttpBody, HttpBodyError } from "./http_body.ts";
import { HttpHeadError, parseHead, type RequestHead } from "./http_head.ts";
import { bodyHeader, encodeReply, FAILURE, headText, INTERIM, refusalOf } from "./http_reply.ts";
import type { Connection, ConnectionHandler } from "./network.ts";
import type { ServedConnection } from "./served_connection.ts";
import type { WebSocketUpgrade } from "./websocket.ts";
import { SocketWebSocket, switchingHead, type WebSocketHost } from "./websocket_socket.ts";

const HEAD_BYTES_MAX = 64 * 1024;
/** What a client may send ahead before its connection is held back. */
const AHEAD_BYTES_MAX = 64 * 1024;
/** A longer head is not remembered, as there may be many connections. */
const HEAD_CHARS_KEPT = 1_024;
/** Replies of this size leave before the others are there. */
const CORKED_BYTES_MAX = 64 * 1024;
const HEAD_END_BYTES = 4;
const SWITCHING = 101;
const CHUNK_END = "\r\n";
const NO_BYTES = new Uint8Array(0);
const CR = 13;
const LF = 10;
const latin1 = new TextDecoder("latin1");
const encoder = new TextEncoder();

/** What a connection asks of the server. */
export interface HttpConnectionHost extends WebSocketHost {
  handler(request: HttpRequest): Promise<HttpReply> | HttpReply;
  /** A request begins, or is answered. */
  active(change: 1 | -1): void;
  /** From here on the connection speaks another protocol. */
  replaced(connection: ServedConnection, by: ServedConnection): void;
}

/** A request as the handler sees it. */
class Request implements HttpRequest {
  readonly head: RequestHead;
  readonly content: HttpBody;
  readonly #onBodyWanted: () => void;
  #abort: AbortController | undefined;
  #isGone = false;

  constructor(head: RequestHead, content: HttpBody, onBodyWanted: () => void) {
    this.head = head;
    this.content = content;
    this.#onBodyWanted = onBodyWanted;
  }

  get method(): string {
    return this.head.method;
  }

  get path(): string {
    return this.head.path;
  }

  get query(): string {
    return this.head.query;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#isGone) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  header(name: string): string | undefined {
    return this.head.headers.get(name);
  }

  body(): Promise<Uint8Array> | Uint8Array {
    if (this.head.expectsContinue && !this.content.isDone) this.#onBodyWanted();
    return this.content.bytes();
  }

  /** The client went away. */
  gone(): void {
    this.#isGone = true;
    this.content.fail("the client went away");
    this.#abort?.abort();
  }
}

/** See the file comment. */
export class HttpConnection implements ConnectionHandler, ServedConnection {
  readonly #connection: Connection;
  readonly #host: HttpConnectionHost;
  /** What arrived and is not read yet. */
  #ahead: Uint8Array = NO_BYTES;
  /** The request that is being answered. */
  #request: Request | undefined;
  /** The body that still arrives, perhaps after its request was answered. */
  #body: HttpBody | undefined;
  /** The head of an earlier request. */
  #lastText = "";
  #lastHead: RequestHead | undefined;
  #isPaused = false;
  /** The system did not take all of the last reply yet. */
  #isBlocked = false;
  /** What arrived is being read: what is written meanwhile waits for the end of it. */
  #isCorked = false;
  #corked: Uint8Array[] = [];
  #corkedBytes = 0;
  #isClosing = false;
  #isClosed = false;
  #onDrained: (() => void) | undefined;
  #onGone: (() => void) | undefined;
  #silentMs = 0;

  constructor(connection: Connection, host: HttpConnectionHost) {
    this.#connection = connection;
    this.#host = host;
    connection.handler = this;
  }

  onOpen(): void {}

  onData(bytes: Uint8Array): void {
    this.#silentMs = 0;
    if (this.#isClosing) return;
    this.#read(this.#ahead.length === 0 ? bytes : concat([this.#ahead, bytes]));
  }

  onDrain(): void {
    this.#silentMs = 0;
    this.#isBlocked = false;
    this.#onDrained?.();
    this.#read(this.#ahead);
  }

  onClose(): void {
    this.#isClosing = true;
    this.#isClosed = true;
    this.#ahead = NO_BYTES;
    this.#isBlocked = false;
    this.#request?.gone();
    this.#onGone?.();
    this.#onDrained?.();
    this.#host.closed(this);
  }

  end(): void {
    if (this.#request === undefined) this.#close();
    else this.#isClosing = true;
  }

  destroy(): void {
    this.#isClosing = true;
    this.#connection.destroy();
  }

  /** Whoever waits for a reply is not blamed for its silence. */
  period(elapsedMs: number): void {
    this.#silentMs += elapsedMs;
    const waits = this.#request === undefined || this.#isBlocked || this.#body !== undefined;
    if (waits && this.#silentMs > HTTP_IDLE_MS) this.destroy();
  }

  /**
   * Reads what has arrived, as far as it may be read now. Replies that come at once meanwhile leave
   * together.
   */
  #read(bytes: Uint8Array): void {
    const isOuter = !this.#isCorked;
    this.#isCorked = true;
    this.#readAll(bytes);
    if (isOuter) {
      this.#isCorked = false;
      this.#flush();
    }
  }

  #readAll(bytes: Uint8Array): void {
    let rest = bytes;
    // A reply that comes at once reads on from here, not from what was kept.
    this.#ahead = NO_BYTES;
    try {
      while (rest.length > 0 && !this.#isClosing) {
        if (this.#body !== undefined) {
          rest = rest.subarray(this.#body.push(rest));
          if (!this.#body.isDone) break;
          this.#body = undefined;
        } else if (this.#request !== undefined || this.#isBlocked) break;
        else {
          const taken = this.#readHead(rest);
          if (taken === 0) break;
          rest = rest.subarray(taken);
        }
      }
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#ahead = this.#isClosing ? NO_BYTES : rest;
    const waits = this.#request !== undefined || this.#isBlocked;
    this.#holdBack(waits && rest.length > AHEAD_BYTES_MAX);
  }

  #holdBack(paused: boolean): void {
    if (paused === this.#isPaused || this.#isClosed) return;
    this.#isPaused = paused;
    if (paused) this.#connection.pause();
    else this.#connection.resume();
  }

  /** Reads the next request and lets it be answered; 0 when its head is not whole. */
  #readHead(bytes: Uint8Array): number {
    let start = 0;
    // Some clients end a body with a line of their own.
    while (bytes[start] === CR || bytes[start] === LF) start++;
    if (start === bytes.length) return start;
    const end = endOfHead(bytes, start);
    const headBytes = (end < 0 ? bytes.length : end) - start;
    if (headBytes > HEAD_BYTES_MAX) throw new HttpHeadError("The head is too long", 431);
    if (end < 0) return 0;
    const head = this.#headOf(latin1.decode(bytes.subarray(start, end)));
    const bodyStart = end + HEAD_END_BYTES;
    const body = new HttpBody(head.bodyBytes);
    const taken = bodyStart + body.push(bytes.subarray(bodyStart));
    if (!body.isDone) this.#body = body;
    this.#answer(new Request(head, body, () => this.#write(INTERIM)));
    return taken;
  }

  /** The head of a text; clients repeat theirs word for word. */
  #headOf(text: string): RequestHead {
    if (this.#lastHead !== undefined && text === this.#lastText) return this.#lastHead;
    const head = parseHead(text);
    if (text.length <= HEAD_CHARS_KEPT) {
      this.#lastHead = head;
      this.#lastText = text;
    }
    return head;
  }

  #answer(request: Request): void {
    this.#request = request;
    this.#host.active(1);
    let reply: Promise<HttpReply> | HttpReply;
    try {
      reply = this.#host.handler(request);
    } catch (error) {
      this.#host.onFailure(error);
      reply = FAILURE;
    }
    if (!(reply instanceof Promise)) return this.#reply(request, reply);
    reply.then(
      (settled) => this.#reply(request, settled),
      (error) => {
        this.#host.onFailure(error);
        this.#reply(request, FAILURE);
      },
    );
  }

  #reply(request: Request, reply: HttpReply): void {
    const { head, content } = request;
    // What is left of a body that nobody read is thrown away, so that the client hears the reply.
    if (!content.isDone) content.discard();
    if (reply.status === SWITCHING && reply.upgrade !== undefined) {
      return this.#upgrade(head, reply.upgrade);
    }
    const keepAlive = head.keepAlive && !this.#isClosing;
    if (reply.body instanceof ReadableStream) {
      const reader = reply.body.getReader();
      this.#onGone = () => void reader.cancel().catch(() => {});
      void this.#stream(head, reply, reader, keepAlive);
      return;
    }
    if (!this.#isClosed) {
      const withBody = head.method !== "HEAD";
      for (const part of encodeReply(reply, { keepAlive, withBody })) this.#write(part);
    }
    this.#replied(keepAlive);
  }

  /** Makes a WebSocket of the connection, once what arrived with the request was put aside. */
  #upgrade(head: RequestHead, upgrade: WebSocketUpgrade): void {
    if (!head.isVersion11 || this.#body !== undefined) {
      this.#request = undefined;
      this.#host.active(-1);
      return this.#fail(new HttpHeadError("Only a GET of HTTP/1.1 becomes a WebSocket"));
    }
    queueMicrotask(() => {
      this.#request = undefined;
      this.#host.active(-1);
      if (this.#isClosed) return;
      if (this.#isClosing) return this.#close();
      const ahead = this.#ahead;
      this.#ahead = NO_BYTES;
      this.#holdBack(false);
      this.#write(switchingHead(upgrade));
      const socket = new SocketWebSocket(this.#connection, this.#host, upgrade);
      this.#host.replaced(this, socket);
      if (ahead.length > 0) socket.onData(ahead);
    });
  }

  /** Sends a body piece by piece, as fast as the client takes it. */
  async #stream(
    head: RequestHead,
    reply: HttpReply,
    reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
    mayKeepAlive: boolean,
  ): Promise<void> {
    const sized = reply.headers?.["content-length"] !== undefined;
    const chunked = head.isVersion11 && !sized;
    // With neither, only the end of the connection tells the end of the body.
    const keepAlive = mayKeepAlive && (chunked || sized);
    try {
      if (this.#isClosed || head.method === "HEAD") await reader.cancel();
      this.#write(encoder.encode(headText(reply, keepAlive) + bodyHeader(chunked)));
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (value.length === 0) continue;
        if (chunked) this.#write(encoder.encode(value.length.toString(16) + CHUNK_END));
        this.#write(value);
        if (chunked) this.#write(encoder.encode(CHUNK_END));
        if (this.#isBlocked) await new Promise<void>((resolve) => this.#onDrained = resolve);
      }
      if (chunked && head.method !== "HEAD") this.#write(encoder.encode("0\r\n\r\n"));
    } catch (error) {
      this.#host.onFailure(error);
      this.destroy();
    }
    this.#onGone = undefined;
    this.#replied(keepAlive);
  }

  /** Reads the next request, or closes. */
  #replied(keepAlive: boolean): void {
    this.#request = undefined;
    this.#host.active(-1);
    if (this.#isClosed) return;
    if (!keepAlive || this.#isClosing) this.#close();
    else if (this.#ahead.length > 0 || this.#isPaused) this.#read(this.#ahead);
  }

  #write(bytes: Uint8Array): void {
    if (this.#isCorked) {
      this.#corked.push(bytes);
      this.#corkedBytes += bytes.length;
      if (this.#corkedBytes < CORKED_BYTES_MAX) return;
      this.#flush();
    } else if (!this.#connection.write(bytes)) this.#isBlocked = true;
  }

  #flush(): void {
    if (this.#corkedBytes === 0) return;
    const bytes = this.#corked.length === 1 ? this.#corked[0]! : concat(this.#corked);
    this.#corked = [];
    this.#corkedBytes = 0;
    if (!this.#connection.write(bytes)) this.#isBlocked = true;
  }

  /** What came is no HTTP; nothing behind it can be understood. */
  #fail(error: unknown): void {
    if (!(error instanceof HttpHeadError || error instanceof HttpBodyError)) throw error;
    this.#ahead = NO_BYTES;
    if (this.#request !== undefined) {
      this.#isClosing = true;
      this.#request.content.fail(error.message);
      return;
    }
    if (error instanceof HttpHeadError) {
      for (const part of encodeReply(refusalOf(error), { keepAlive: false, withBody: true })) {
        this.#write(part);
      }
    }
    this.#close();
  }

  #close(): void {
    this.#isClosing = true;
    this.#flush();
    this.#connection.end();
  }
}

/** Where the empty line begins that ends a head; -1 when it is not there yet. */
function endOfHead(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(CR, start); at >= 0; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at;
  }
  return -1;
}
