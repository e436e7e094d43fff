/** HTTP/1.1, as the server and the proxy between nodes use it. */
import type { WebSocketUpgrade } from "./websocket.ts";

/** One request that arrived. */
export interface HttpRequest {
  /** In upper case. */
  readonly method: string;
  /** The path as it was sent, without the query, such as `/v2/pipeline`. */
  readonly path: string;
  /** What followed the first `?`, without it; empty when there was none. */
  readonly query: string;
  /** Aborts when the client goes away before it has its reply; under Deno it never aborts. */
  readonly signal: AbortSignal;
  /** The value of a header. @param name In lower case. */
  header(name: string): string | undefined;
  /**
   * Reads the body; at most once. It comes at once when it is there already.
   *
   * @throws {DatabaseError} TOO_LARGE above `HTTP_BODY_BYTES_MAX`; PROTOCOL when it is cut short.
   */
  body(): Promise<Uint8Array> | Uint8Array;
}

/** The reply to a request. */
export interface HttpReply {
  readonly status: number;
  /** Sent as it is: some clients compare the whole header. */
  readonly contentType: string;
  /**
   * A stream is asked for more only as fast as the client takes it, is cancelled when the client
   * goes away, and by an error cuts the connection, so that the client knows that it is not whole.
   */
  readonly body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Further headers; undefined for most replies, which then cost less. */
  readonly headers?: Readonly<Record<string, string>>;
  /** With the status 101 alone: turns the connection into a WebSocket. */
  readonly upgrade?: WebSocketUpgrade;
}

/** Answers requests. It answers errors of the client itself; what it throws is a bug. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpReply> | HttpReply;

/** What a server listens on and calls. */
export interface HttpListenOptions {
  /** A name or address of this machine, such as `127.0.0.1`. */
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly handler: HttpHandler;
  /** Told what the handler threw; the client gets a reply of status 500. */
  readonly onFailure: (error: unknown) => void;
}

/** A server that listens. */
export interface HttpServer {
  readonly hostname: string;
  readonly port: number;
  /**
   * Resolves when the requests under way are answered, and then takes no more connections. The
   * handler refuses what still arrives meanwhile.
   */
  stop(): Promise<void>;
  /** Cuts every connection at once. */
  abort(): void;
}

/** A request to another node. */
export interface HttpClientRequest {
  readonly method: string;
  /** An absolute URL of scheme `http:`. */
  readonly url: string;
  /** `host` and `content-length` are added to these. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Gives the request up; it counts as sent when any of it was. */
  readonly signal?: AbortSignal;
}

/** The reply of another node. */
export interface HttpClientReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** Sends requests over connections that are kept for the next ones. It never sends one twice. */
export interface HttpClient {
  /** @throws {HttpClientError} when there is no whole reply. */
  send(request: HttpClientRequest): Promise<HttpClientReply>;
  /** Cuts all connections; what is under way fails. */
  close(): void;
}

/** Thrown when a request to another node got no whole reply. */
export class HttpClientError extends Error {
  override readonly name = "HttpClientError";
  /** Whether any of the request may have reached the other node. */
  readonly sent: boolean;

  constructor(message: string, sent: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.sent = sent;
  }
}
