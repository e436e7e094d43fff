/** The HTTP server of Bun. */
import { HTTP_BODY_BYTES_MAX } from "../base/limits.ts";
import type { HttpListenOptions, HttpReply, HttpServer } from "./http.ts";
import { addressError, failureResponse, toResponse, WebHttpRequest } from "./http_request.ts";

/** The most that Bun allows. A reply that takes longer than this loses its connection. */
const IDLE_TIMEOUT_SECONDS = 255;

/** The part of Bun that is used here, declared so that the file also checks without Bun's types. */
interface BunRuntime {
  serve(options: {
    readonly hostname: string;
    readonly port: number;
    readonly idleTimeout: number;
    readonly maxRequestBodySize: number;
    readonly development: boolean;
    readonly reusePort: boolean;
    readonly fetch: (request: Request) => Promise<Response> | Response;
    readonly error: (error: unknown) => Response;
  }): BunServer;
}

interface BunServer {
  readonly hostname: string;
  readonly port: number;
  stop(abort?: boolean): Promise<void>;
}

/** @throws {DatabaseError} ADDRESS when the address is taken or not of this machine. */
export function listenBun(options: HttpListenOptions): HttpServer {
  const { Bun } = globalThis as unknown as { readonly Bun: BunRuntime };
  const { handler, hostname, port } = options;
  let server: BunServer;
  try {
    server = Bun.serve({
      hostname,
      port,
      idleTimeout: IDLE_TIMEOUT_SECONDS,
      // Above ours, whose error says more than Bun's empty one.
      maxRequestBodySize: 4 * HTTP_BODY_BYTES_MAX,
      development: false,
      // Outside of development Bun 1.4 would share the port with any other program that asks.
      reusePort: false,
      fetch(request) {
        const reply = handler(new WebHttpRequest(request));
        return isReply(reply) ? toResponse(reply) : reply.then(toResponse);
      },
      error(error) {
        options.onFailure(error);
        return failureResponse();
      },
    });
  } catch (error) {
    throw addressError(hostname, port, error);
  }
  return {
    hostname: server.hostname,
    port: server.port,
    stop: () => server.stop(),
    abort: () => void server.stop(true),
  };
}

function isReply(reply: Promise<HttpReply> | HttpReply): reply is HttpReply {
  return !(reply instanceof Promise);
}
