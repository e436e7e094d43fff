/**
 * An HTTP/1.1 client over plain sockets. The `fetch` of Deno sends a request again when a kept
 * connection breaks, which would run a write twice; this one knows what was sent and never does.
 */
import { connect, type Socket } from "node:net";
import { messageOf } from "../base/errors.ts";
import {
  PROXY_CONNECTIONS_MAX,
  PROXY_IDLE_MS,
  PROXY_QUEUE_MAX,
  RESPONSE_BYTES_MAX,
} from "../base/limits.ts";
import type { Clock } from "./clock.ts";
import {
  type HttpClient,
  HttpClientError,
  type HttpClientReply,
  type HttpClientRequest,
} from "./http.ts";
import { HttpResponseParser } from "./http_response.ts";

/** A reply carries its results and the frame around them. */
const REPLY_BYTES_MAX = 2 * RESPONSE_BYTES_MAX;
/** Time to open a connection; a machine that is gone does not even refuse it. */
const CONNECT_TIMEOUT_MS = 1_000;
const encoder = new TextEncoder();

interface Callbacks<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: HttpClientError) => void;
}

/** A connection and the request on it; at most one at a time. */
class Connection {
  readonly #socket: Socket;
  readonly #onIdle: (connection: Connection) => void;
  #callbacks: Callbacks<HttpClientReply> | undefined;
  #parser: HttpResponseParser | undefined;
  closed = false;
  idleSinceMs = 0;

  constructor(
    socket: Socket,
    onIdle: (connection: Connection) => void,
    onClose: (connection: Connection) => void,
  ) {
    this.#socket = socket;
    this.#onIdle = onIdle;
    socket.on("data", (piece: Uint8Array) => this.#receive(piece));
    socket.on("error", (error) => this.cut(error));
    socket.on("end", () => this.cut());
    socket.on("close", () => {
      this.cut();
      onClose(this);
    });
  }

  /** Sends a request; from here on it counts as sent, whatever happens. */
  send(request: HttpClientRequest): Promise<HttpClientReply> {
    this.#parser = new HttpResponseParser(REPLY_BYTES_MAX);
    return new Promise((resolve, reject) => {
      this.#callbacks = { resolve, reject };
      this.#socket.write(encodeRequest(request));
    });
  }

  cut(cause?: unknown): void {
    if (this.closed) return;
    this.closed = true;
    this.#socket.destroy();
    const callbacks = this.#callbacks;
    this.#callbacks = undefined;
    const reason = cause === undefined ? "it was closed" : messageOf(cause);
    callbacks?.reject(new HttpClientError(`The connection broke: ${reason}`, true, cause));
  }

  #receive(piece: Uint8Array): void {
    const callbacks = this.#callbacks;
    if (callbacks === undefined || this.#parser === undefined) {
      return this.cut(new Error("it said something that was not asked"));
    }
    try {
      const reply = this.#parser.push(piece);
      if (reply === undefined) return;
      this.#callbacks = undefined;
      if (this.#parser.keepAlive) this.#onIdle(this);
      else this.cut();
      callbacks.resolve(reply);
    } catch (error) {
      this.cut(error);
    }
  }
}

/** The connections to one node. */
class Pool {
  readonly #hostname: string;
  readonly #port: number;
  readonly #clock: Clock;
  readonly #all = new Set<Connection>();
  readonly #idle: Connection[] = [];
  readonly #waiting: Callbacks<Connection>[] = [];
  #opening = 0;
  #cancelExpiry: (() => void) | undefined;
  #closed = false;

  constructor(hostname: string, port: number, clock: Clock) {
    this.#hostname = hostname;
    this.#port = port;
    this.#clock = clock;
  }

  /** A connection for one request: an idle one, a new one, or the next that gets free. */
  async take(): Promise<Connection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.closed) return idle;
    }
    if (this.#all.size + this.#opening < PROXY_CONNECTIONS_MAX) return await this.#open();
    if (this.#waiting.length >= PROXY_QUEUE_MAX) {
      const message = `${PROXY_QUEUE_MAX} requests wait for a connection already`;
      throw new HttpClientError(message, false);
    }
    return await new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.#closed = true;
    this.#cancelExpiry?.();
    for (const connection of this.#all) connection.cut();
    for (const waiting of this.#waiting.splice(0)) {
      waiting.reject(new HttpClientError("The client was closed", false));
    }
  }

  async #open(): Promise<Connection> {
    this.#opening += 1;
    try {
      const socket = await openSocket(this.#hostname, this.#port, this.#clock);
      const connection = new Connection(
        socket,
        (connection) => this.#release(connection),
        (connection) => this.#forget(connection),
      );
      this.#all.add(connection);
      this.#opening -= 1;
      if (this.#closed) connection.cut();
      return connection;
    } catch (error) {
      this.#opening -= 1;
      this.#openForWaiting();
      throw error;
    }
  }

  /** Every connection that ends, or fails to open, makes room for one that waits. */
  #openForWaiting(): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) this.#open().then(waiting.resolve, waiting.reject);
  }

  #release(connection: Connection): void {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return waiting.resolve(connection);
    connection.idleSinceMs = this.#clock.nowMs();
    this.#idle.push(connection);
    this.#cancelExpiry ??= this.#clock.after(PROXY_IDLE_MS, () => this.#expire());
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#openForWaiting();
  }

  /** The oldest idle connections come first, since the newest are used first. */
  #expire(): void {
    this.#cancelExpiry = undefined;
    const limitMs = this.#clock.nowMs() - PROXY_IDLE_MS;
    while (this.#idle.length > 0 && this.#idle[0]!.idleSinceMs <= limitMs) {
      this.#idle.shift()!.cut();
    }
    if (this.#idle.length > 0) {
      this.#cancelExpiry = this.#clock.after(PROXY_IDLE_MS, () => this.#expire());
    }
  }
}

/** The client of the machine's network. */
export class SocketHttpClient implements HttpClient {
  readonly #clock: Clock;
  readonly #pools = new Map<string, Pool>();
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async send(request: HttpClientRequest): Promise<HttpClientReply> {
    const connection = await this.#pool(request.url).take();
    const signal = request.signal;
    if (connection.closed || signal?.aborted) {
      connection.cut();
      throw new HttpClientError("The request was given up before it was sent", false);
    }
    const onAbort = () => connection.cut(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    try {
      return await connection.send(request);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  close(): void {
    this.#closed = true;
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
  }

  #pool(url: string): Pool {
    if (this.#closed) throw new HttpClientError("The client was closed", false);
    const { protocol, hostname, port, origin } = new URL(url);
    if (protocol !== "http:") {
      throw new HttpClientError(`Cannot send to ${url}: only http: is supported`, false);
    }
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
      pool = new Pool(host, port === "" ? 80 : Number(port), this.#clock);
      this.#pools.set(origin, pool);
    }
    return pool;
  }
}

function openSocket(hostname: string, port: number, clock: Clock): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port, noDelay: true });
    const fail = (reason: string, cause?: unknown) => {
      cancel();
      socket.destroy();
      const message = `Cannot connect to ${hostname}:${port}: ${reason}`;
      reject(new HttpClientError(message, false, cause));
    };
    const cancel = clock.after(CONNECT_TIMEOUT_MS, () => {
      fail(`no answer within ${CONNECT_TIMEOUT_MS} ms`);
    });
    const onError = (error: Error) => fail(messageOf(error), error);
    socket.once("error", onError);
    socket.once("connect", () => {
      cancel();
      socket.off("error", onError);
      resolve(socket);
    });
  });
}

function encodeRequest(request: HttpClientRequest): Uint8Array {
  const { host, pathname, search } = new URL(request.url);
  let head = `${request.method} ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (const [name, value] of Object.entries(request.headers)) head += `${name}: ${value}\r\n`;
  head += `content-length: ${request.body.length}\r\n\r\n`;
  const headBytes = encoder.encode(head);
  const bytes = new Uint8Array(headBytes.length + request.body.length);
  bytes.set(headBytes);
  bytes.set(request.body, headBytes.length);
  return bytes;
}
