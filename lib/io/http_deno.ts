/** The HTTP server of Deno. */
import type { HttpListenOptions, HttpServer } from "./http.ts";
import { addressError, failureResponse, toResponse, WebHttpRequest } from "./http_request.ts";

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
    handler: (request: Request) => Promise<Response>,
  ): DenoServer;
}

interface DenoServer {
  readonly addr: { readonly hostname: string; readonly port: number };
  shutdown(): Promise<void>;
}

/** @throws {DatabaseError} ADDRESS when the address is taken or not of this machine. */
export function listenDeno(options: HttpListenOptions): HttpServer {
  const { Deno } = globalThis as unknown as { readonly Deno: DenoRuntime };
  const { handler, hostname, port } = options;
  const cut = new AbortController();
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
      async (request) => toResponse(await handler(new WebHttpRequest(request))),
    );
  } catch (error) {
    throw addressError(hostname, port, error);
  }
  return {
    hostname: server.addr.hostname,
    port: server.addr.port,
    stop: () => server.shutdown(),
    abort: () => cut.abort(),
  };
}
