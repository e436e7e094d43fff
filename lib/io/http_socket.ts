/** The HTTP server over the sockets of a network: for Bun, at half the cost of its own server. */
import { DatabaseError } from "../base/errors.ts";
import { HTTP_CONNECTIONS_MAX } from "../base/limits.ts";
import { systemClock } from "./clock.ts";
import type { HttpListenOptions, HttpServer } from "./http.ts";
import { HttpConnection, type HttpConnectionHost } from "./http_connection.ts";
import { addressError } from "./http_request.ts";
import type { Connection, Listener, Network } from "./network.ts";
import type { ServedConnection } from "./served_connection.ts";

/** How often it is looked for clients that do nothing. */
const PERIOD_MS = 5_000;

/** @throws {DatabaseError} ADDRESS when the address is taken or not of this machine. */
export async function listenSockets(
  network: Network,
  options: HttpListenOptions,
): Promise<HttpServer> {
  const { hostname, port } = options;
  const server = new SocketServer(options);
  try {
    const address = { host: hostname, port };
    server.listener = await network.listen(address, (connection) => server.accept(connection));
  } catch (error) {
    const cause = error instanceof DatabaseError ? error.cause : error;
    throw addressError(hostname, port, cause);
  }
  return server;
}

class SocketServer implements HttpServer, HttpConnectionHost {
  readonly hostname: string;
  listener: Listener | undefined;
  readonly #options: HttpListenOptions;
  readonly #connections = new Set<ServedConnection>();
  /** Requests that are being answered. */
  #active = 0;
  #onIdle: (() => void) | undefined;
  #cancelPeriod: () => void = () => {};

  constructor(options: HttpListenOptions) {
    this.#options = options;
    this.hostname = options.hostname;
    this.#period();
  }

  get port(): number {
    return this.listener!.address.port;
  }

  accept(connection: Connection): void {
    if (this.#connections.size >= HTTP_CONNECTIONS_MAX) return connection.destroy();
    this.#connections.add(new HttpConnection(connection, this));
  }

  handler(request: Parameters<HttpListenOptions["handler"]>[0]) {
    return this.#options.handler(request);
  }

  onFailure(error: unknown): void {
    this.#options.onFailure(error);
  }

  active(change: 1 | -1): void {
    this.#active += change;
    if (this.#active === 0) this.#onIdle?.();
  }

  closed(connection: ServedConnection): void {
    this.#connections.delete(connection);
  }

  replaced(connection: ServedConnection, by: ServedConnection): void {
    this.#connections.delete(connection);
    this.#connections.add(by);
  }

  async stop(): Promise<void> {
    if (this.#active > 0) await new Promise<void>((resolve) => this.#onIdle = resolve);
    this.#close();
    for (const connection of this.#connections) connection.end();
  }

  abort(): void {
    this.#close();
    for (const connection of this.#connections) connection.destroy();
  }

  #close(): void {
    this.#cancelPeriod();
    this.listener?.close();
  }

  #period(): void {
    this.#cancelPeriod = systemClock.after(PERIOD_MS, () => {
      for (const connection of this.#connections) connection.period(PERIOD_MS);
      this.#period();
    });
  }
}
