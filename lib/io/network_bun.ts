/**
 * TCP through Bun's own sockets. The same as `network_node.ts` at less cost for each message, since
 * no stream stands between the socket and its handler.
 */
import { concat } from "../base/bytes.ts";
import { formatAddress } from "./address.ts";
import { type Connection, type ConnectionHandler, IGNORE, LINGER_MS } from "./network.ts";
import type { Network } from "./network.ts";
import { listenError } from "./listen_error.ts";

/** The part of `Bun` that is used here. */
interface BunTcp {
  connect(options: object): Promise<BunSocket>;
  listen(options: object): { readonly port: number; stop(closeActive: boolean): void };
}

interface BunSocket {
  data: BunConnection;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Bytes that the system took; less than given when its buffer is full; -1 after the end. */
  write(bytes: Uint8Array): number;
  end(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  setNoDelay(on: boolean): boolean;
}

/** The TCP of the machine, under Bun. */
export const bunNetwork: Network = {
  connect(address, handler) {
    const connection = new BunConnection(formatAddress(address), handler);
    void bun().connect({
      hostname: address.host,
      port: address.port,
      socket: {
        ...CALLBACKS,
        open: (socket: BunSocket) => connection.opened(socket),
        connectError: (_: unknown, error: Error) => connection.closed(error),
      },
      data: connection,
      // What `connectError` was told of.
    }).catch((error: Error) => connection.closed(error));
    return connection;
  },

  listen(address, accept) {
    return new Promise((resolve) => {
      try {
        const server = bun().listen({
          hostname: address.host,
          port: address.port,
          exclusive: true,
          socket: {
            ...CALLBACKS,
            open(socket: BunSocket) {
              const { remoteAddress: host, remotePort: port } = socket;
              const connection = new BunConnection(formatAddress({ host, port }), IGNORE);
              socket.data = connection;
              connection.accepted(socket);
              accept(connection);
            },
          },
        });
        resolve({
          address: { host: address.host, port: server.port },
          close: () => server.stop(false),
        });
      } catch (error) {
        throw listenError(address, error as Error);
      }
    });
  },
};

function bun(): BunTcp {
  return (globalThis as unknown as { readonly Bun: BunTcp }).Bun;
}

const CALLBACKS = {
  binaryType: "uint8array",
  data: (socket: BunSocket, bytes: Uint8Array) => socket.data.received(bytes),
  drain: (socket: BunSocket) => socket.data.drained(),
  close: (socket: BunSocket, error?: Error) => socket.data.closed(error),
  error: (socket: BunSocket, error: Error) => socket.data.failed(error),
} as const;

class BunConnection implements Connection {
  readonly remote: string;
  handler: ConnectionHandler;
  #socket: BunSocket | undefined;
  /** What the system did not take yet. */
  #rest: Uint8Array[] = [];
  #error: Error | undefined;
  #ended = false;
  #destroyed = false;
  #closed = false;
  #paused = false;
  readonly #onClosed: (() => void)[] = [];

  constructor(remote: string, handler: ConnectionHandler) {
    this.remote = remote;
    this.handler = handler;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#ended || this.#destroyed || this.#closed) return true;
    if (this.#socket === undefined || this.#rest.length > 0) {
      this.#rest.push(bytes);
      return false;
    }
    const taken = Math.max(0, this.#socket.write(bytes));
    if (taken === bytes.length) return true;
    this.#rest.push(bytes.subarray(taken));
    return false;
  }

  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
  }

  end(): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    if (this.#rest.length === 0) this.#socket?.end();
    const timer = setTimeout(() => this.destroy(), LINGER_MS);
    this.whenClosed(() => clearTimeout(timer));
  }

  destroy(): void {
    if (this.#destroyed || this.#closed) return;
    this.#destroyed = true;
    this.#rest = [];
    this.#socket?.terminate();
  }

  whenClosed(callback: () => void): void {
    if (this.#closed) queueMicrotask(callback);
    else this.#onClosed.push(callback);
  }

  /** The socket of an accepted connection. */
  accepted(socket: BunSocket): void {
    this.#socket = socket;
    socket.setNoDelay(true);
  }

  /** The dialled connection is there. */
  opened(socket: BunSocket): void {
    socket.data = this;
    this.accepted(socket);
    if (this.#destroyed) return socket.terminate();
    if (this.#paused) socket.pause();
    this.handler.onOpen();
    this.drained();
  }

  received(bytes: Uint8Array): void {
    if (!this.#destroyed) this.handler.onData(bytes);
  }

  drained(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#destroyed || this.#rest.length === 0) return;
    const bytes = this.#rest.length === 1 ? this.#rest[0]! : concat(this.#rest);
    const taken = Math.max(0, socket.write(bytes));
    this.#rest = taken === bytes.length ? [] : [bytes.subarray(taken)];
    if (this.#rest.length > 0) return;
    if (this.#ended) socket.end();
    else this.handler.onDrain();
  }

  failed(error: Error): void {
    this.#error = error;
  }

  closed(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    const reason = this.#error ?? error;
    // Bun may close from within a call of ours; the contract is that nobody is told from there.
    queueMicrotask(() => {
      this.handler.onClose(reason);
      for (const callback of this.#onClosed) callback();
    });
  }
}
