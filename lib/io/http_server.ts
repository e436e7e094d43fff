/** Chooses the HTTP server of the runtime at hand. */
import type { HttpListenOptions, HttpServer } from "./http.ts";

/**
 * Listens for HTTP.
 *
 * @throws {DatabaseError} ADDRESS when the address is taken or not of this machine.
 */
export async function listenHttp(options: HttpListenOptions): Promise<HttpServer> {
  if ("Bun" in globalThis) {
    const { listenSockets } = await import("./http_socket.ts");
    const { bunNetwork } = await import("./network_bun.ts");
    return await listenSockets(bunNetwork, options);
  }
  const { listenDeno } = await import("./http_deno.ts");
  return listenDeno(options);
}

/** The URL of an address, without a path. An address that means all of them is shown as local. */
export function httpUrl(hostname: string, port: number): string {
  const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
