/** One suite over every implementation of the network. */
import { describe, expect, test } from "bun:test";
import { concat } from "../../lib/base/bytes.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import type { HostPort } from "../../lib/io/address.ts";
import { systemClock } from "../../lib/io/clock.ts";
import type { Connection, ConnectionHandler, Listener, Network } from "../../lib/io/network.ts";
import { bunNetwork } from "../../lib/io/network_bun.ts";
import { MemoryNetwork } from "../../lib/io/network_memory.ts";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import { until } from "../transport/harness.ts";

const HOST = "127.0.0.1";
const ANY: HostPort = { host: HOST, port: 0 };

function memoryNetwork(): Network {
  const random = new SeededRandom(5);
  const wires = { delayMinMs: 0, delayMaxMs: 3, segmentBytesMax: 4_096 };
  return new MemoryNetwork({ clock: systemClock, random, ...wires }).host(HOST);
}

const IMPLEMENTATIONS: readonly (readonly [string, () => Network])[] = [
  ["tcp", () => tcpNetwork],
  ["tcp of Bun", () => bunNetwork],
  ["memory", memoryNetwork],
];

/** One side of a connection that notes what happened to it. */
class Side implements ConnectionHandler {
  readonly chunks: Uint8Array[] = [];
  readonly events: string[] = [];
  error: Error | undefined;
  #connection: Connection | undefined;

  static dialled(network: Network, address: HostPort): Side {
    const side = new Side();
    side.#connection = network.connect(address, side);
    return side;
  }

  static accepted(connection: Connection): Side {
    const side = new Side();
    side.#connection = connection;
    connection.handler = side;
    return side;
  }

  get connection(): Connection {
    if (this.#connection === undefined) throw new Error("The side has no connection");
    return this.#connection;
  }

  get received(): Uint8Array {
    return concat(this.chunks);
  }

  has(event: string): boolean {
    return this.events.includes(event);
  }

  onOpen(): void {
    this.events.push("open");
  }

  onData(bytes: Uint8Array): void {
    this.chunks.push(bytes);
  }

  onDrain(): void {
    this.events.push("drain");
  }

  onClose(error: Error | undefined): void {
    this.error = error;
    this.events.push("close");
  }
}

/** A listener, and both sides of one connection to it. */
async function withPair(
  network: Network,
  body: (near: Side, far: Side, listener: Listener) => Promise<void>,
): Promise<void> {
  const accepted: Side[] = [];
  const listener = await network.listen(ANY, (connection) => {
    accepted.push(Side.accepted(connection));
  });
  const near = Side.dialled(network, listener.address);
  try {
    await until(() => near.has("open") && accepted.length === 1, "the connection");
    await body(near, accepted[0]!, listener);
  } finally {
    listener.close();
    near.connection.destroy();
    for (const side of accepted) side.connection.destroy();
  }
}

function pattern(length: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed);
  return new Uint8Array(length).map(() => random.next());
}

async function thrownBy(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("Nothing was thrown");
}

describe.each(IMPLEMENTATIONS)("%s network", (_, implementation) => {
  test("carries bytes in both directions, in order and unchanged", async () => {
    await withPair(implementation(), async (near, far) => {
      const there = [1, 70_000, 3, 1_000_000, 9].map(pattern);
      const back = [500_000, 2, 65_536].map(pattern);
      for (const bytes of there) near.connection.write(bytes.slice());
      for (const bytes of back) far.connection.write(bytes.slice());
      await until(() => far.received.length === 1_070_013, "all bytes there");
      await until(() => near.received.length === 565_538, "all bytes back");
      expect(Buffer.compare(far.received, concat(there))).toBe(0);
      expect(Buffer.compare(near.received, concat(back))).toBe(0);
    });
  });

  test("asks a writer to wait and tells when it may go on", async () => {
    await withPair(implementation(), async (near, far) => {
      far.connection.pause();
      let written = 0;
      while (near.connection.write(new Uint8Array(100_000))) {
        written += 100_000;
        expect(written).toBeLessThan(100_000_000);
      }
      near.connection.write(new Uint8Array(30_000_000));
      expect(near.has("drain")).toBe(false);
      far.connection.resume();
      await until(() => near.has("drain"), "the drain");
    });
  });

  test("holds bytes back while the reader is paused", async () => {
    await withPair(implementation(), async (near, far) => {
      near.connection.pause();
      far.connection.write(pattern(10, 1));
      near.connection.write(pattern(20, 2));
      await until(() => far.received.length === 20, "the other direction");
      near.connection.resume();
      await until(() => near.received.length === 10, "the bytes held back");
    });
  });

  test("delivers what was written before an orderly end, then closes both sides", async () => {
    await withPair(implementation(), async (near, far) => {
      near.connection.write(pattern(300_000, 1));
      near.connection.end();
      near.connection.write(pattern(10, 2));
      await until(() => near.has("close") && far.has("close"), "the end");
      expect(far.received.length).toBe(300_000);
      expect([near.error, far.error]).toEqual([undefined, undefined]);
      expect(near.events.filter((event) => event === "close")).toEqual(["close"]);
    });
  });

  test("an end that the other side does not take is cut short", async () => {
    await withPair(implementation(), async (near, far) => {
      far.connection.pause();
      near.connection.write(new Uint8Array(30_000_000));
      near.connection.end();
      await until(() => near.has("close"), "the end");
    });
  });

  test("calls nothing from within destroy, and nothing but close after it", async () => {
    await withPair(implementation(), async (near, far) => {
      far.connection.write(pattern(10, 1));
      let closed = 0;
      near.connection.whenClosed(() => closed++);
      near.connection.destroy();
      expect(near.has("close")).toBe(false);
      await until(() => near.has("close") && far.has("close"), "both ends");
      expect(near.received.length).toBe(0);
      expect(closed).toBe(1);
      expect(near.connection.write(pattern(10, 2))).toBe(true);
    });
  });

  test("tells why a dial failed", async () => {
    const network = implementation();
    const listener = await network.listen(ANY, () => {});
    listener.close();
    const side = Side.dialled(network, listener.address);
    expect(side.events).toEqual([]);
    await until(() => side.has("close"), "the refusal");
    expect(side.error).toBeInstanceOf(Error);
    expect(side.has("open")).toBe(false);
  });

  test("a dial that is given up closes and is never opened", async () => {
    const network = implementation();
    const listener = await network.listen(ANY, (connection) => void Side.accepted(connection));
    const side = Side.dialled(network, listener.address);
    side.connection.destroy();
    await until(() => side.has("close"), "the close");
    expect(side.events).toEqual(["close"]);
    listener.close();
  });

  test("refuses an address that is taken and one of another machine", async () => {
    const network = implementation();
    const listener = await network.listen(ANY, () => {});
    const { port } = listener.address;
    const taken = await thrownBy(network.listen({ host: HOST, port }, () => {}));
    expect(taken).toBeInstanceOf(DatabaseError);
    expect((taken as DatabaseError).code).toBe("ADDRESS");
    expect((taken as DatabaseError).message).toContain(`${HOST}:${port} is taken`);
    const foreign = await thrownBy(network.listen({ host: "203.0.113.9", port: 4000 }, () => {}));
    expect((foreign as DatabaseError).code).toBe("ADDRESS");
    expect((foreign as DatabaseError).message).toContain("203.0.113.9:4000");
    listener.close();
  });

  test("a closed listener gives its port back and leaves connections alone", async () => {
    const network = implementation();
    await withPair(network, async (near, far, listener) => {
      listener.close();
      const again = await network.listen(listener.address, () => {});
      near.connection.write(pattern(10, 1));
      await until(() => far.received.length === 10, "bytes on the open connection");
      again.close();
    });
  });
});
