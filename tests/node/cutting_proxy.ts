/** Stands before the cluster port of a node, and cuts connections for pages when it is told to. */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { FRAME_HEADER_BYTES } from "../../lib/wire/frame.ts";
import { MAGIC_BYTES, PURPOSES } from "../../lib/wire/handshake.ts";

/** Where the first bytes of a connection say what it is for: behind two versions. */
const PURPOSE_AT = MAGIC_BYTES + FRAME_HEADER_BYTES + 4;

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** See the file comment. */
export class CuttingProxy {
  readonly address: string;
  /** Bytes after which connections for pages are cut, one for each. */
  readonly cutsAfterBytes: number[] = [];
  /** What every connection for pages brought so far, in bytes. */
  readonly broughtBytes: number[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
  }

  static async start(targetPort: number): Promise<CuttingProxy> {
    const server = createServer();
    const proxy = new CuttingProxy(server, await listen(server));
    server.on("connection", (client) => proxy.#join(client, connect(targetPort, "127.0.0.1")));
    return proxy;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #join(client: Socket, target: Socket): void {
    let early = Buffer.alloc(0);
    let place: number | undefined;
    let cutAfterBytes = Infinity;
    const cut = () => {
      client.destroy();
      target.destroy();
    };
    for (const socket of [client, target]) {
      this.#sockets.add(socket);
      socket.on("error", cut);
      socket.on("close", cut);
    }
    client.on("data", (bytes) => {
      if (early.length <= PURPOSE_AT) {
        early = Buffer.concat([early, bytes as Buffer]);
        if (early[PURPOSE_AT] === PURPOSES.pages) {
          place = this.broughtBytes.push(0) - 1;
          cutAfterBytes = this.cutsAfterBytes.shift() ?? Infinity;
        }
      }
      target.write(bytes);
    });
    target.on("data", (bytes) => {
      client.write(bytes);
      if (place === undefined) return;
      this.broughtBytes[place]! += bytes.length;
      if (this.broughtBytes[place]! > cutAfterBytes) cut();
    });
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
