/** The HTTP server of Deno. */
import type { HttpListenOptions, HttpServer } from "./http.ts";
import { addressError, failureResponse, toResponse, WebHttpRequest } from "./http_request.ts";
import { type DenoWebSocketHost, upgradeDeno } from "./websocket_deno.ts";

/** The part of Deno that is used here, declared so that the file also checks without its types. */
interface DenoRuntime {
  serve(
    options: {
      readonly hostname: string;
      readonly port: number;
      readonly signal: AbortSignal;
      readonly onListen: () => void;
      readonly onError: (error: unknown) => Response;
    },
    handler: (
      request: Request,
      info: { readonly completed: Promise<void> },
    ) => Promise<Response>,
  ): DenoServer;
}

interface DenoServer {
  readonly addr: { readonly hostname: string; readonly port: number };
  readonly finished: Promise<void>;
}

/** Deno's own signal of a request also aborts when all went well, so it is not used. */
const NEVER = new AbortController().signal;

/**
 * Listens by `Deno.serve`. Its `shutdown` is not used: after it nothing can cut the connections
 * that remain.
 *
 * @throws {DatabaseError} ADDRESS when the address is taken or not of this machine.
 */
export function listenDeno(options: HttpListenOptions): HttpServer {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoRuntime };
  const { handler, hostname, port } = options;
  const cut = new AbortController();
  const host: DenoWebSocketHost = { sockets: new Set(), onFailure: options.onFailure };
  let active = 0;
  let onIdle = () => {};
  const onReplied = () => {
    active -= 1;
    if (active === 0) onIdle();
  };
  let server: DenoServer;
  try {
    server = Deno.serve(
      {
        hostname,
        port,
        signal: cut.signal,
        // Deno would print a line otherwise.
        onListen: () => {},
        onError(error) {
          options.onFailure(error);
          return failureResponse();
        },
      },
      async (request, { completed }) => {
        active += 1;
        completed.then(onReplied, onReplied);
        const reply = await handler(new WebHttpRequest(request, NEVER));
        return reply.upgrade === undefined
          ? toResponse(reply)
          : upgradeDeno(request, reply.upgrade, host);
      },
    );
  } catch (error) {
    throw addressError(hostname, port, error);
  }
  return {
    hostname: server.addr.hostname,
    port: server.addr.port,
    async stop() {
      if (active > 0) await new Promise<void>((resolve) => onIdle = resolve);
      cut.abort();
      await server.finished;
    },
    abort() {
      for (const socket of host.sockets) socket.cut();
      cut.abort();
    },
  };
}
