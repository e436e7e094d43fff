/** TCP, through `node:net`, which Bun and Deno both have. */
import { createServer, type Server, Socket } from "node:net";
import { formatAddress, type HostPort } from "./address.ts";
import { type Connection, type ConnectionHandler, IGNORE, LINGER_MS } from "./network.ts";
import type { Listener, Network } from "./network.ts";
import { listenError } from "./listen_error.ts";

/** The TCP of the machine, in any runtime. */
export const tcpNetwork: Network = {
  connect(address, handler) {
    const socket = new Socket();
    const connection = new TcpConnection(socket, formatAddress(address), handler);
    socket.once("connect", () => connection.handler.onOpen());
    socket.connect({ host: address.host, port: address.port });
    return connection;
  },

  listen(address, accept) {
    return new Promise<Listener>((resolve, reject) => {
      const server = createServer((socket) => {
        const remote = formatAddress({
          host: socket.remoteAddress ?? "unknown",
          port: socket.remotePort ?? 0,
        });
        accept(new TcpConnection(socket, remote, IGNORE));
      });
      server.once("error", (error) => reject(listenError(address, error)));
      server.listen({ host: address.host, port: address.port, exclusive: true }, () => {
        // A later error concerns one connection that could not be accepted; its dialler sees it.
        server.on("error", () => {});
        resolve({ address: boundAddress(server, address), close: () => void server.close() });
      });
    });
  },
};

class TcpConnection implements Connection {
  readonly remote: string;
  handler: ConnectionHandler;
  readonly #socket: Socket;
  #error: Error | undefined;

  constructor(socket: Socket, remote: string, handler: ConnectionHandler) {
    this.#socket = socket;
    this.remote = remote;
    this.handler = handler;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Uint8Array) => {
      if (!socket.destroyed) this.handler.onData(bytes);
    });
    socket.on("drain", () => this.handler.onDrain());
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => this.handler.onClose(this.#error));
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.writable ? this.#socket.write(bytes) : true;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once("close", () => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  whenClosed(callback: () => void): void {
    this.#socket.once("close", callback);
  }
}

function boundAddress(server: Server, asked: HostPort): HostPort {
  const bound = server.address();
  return { host: asked.host, port: typeof bound === "object" && bound ? bound.port : asked.port };
}
