import { assert } from "../base/assert.ts";
import { concat, toHex } from "../base/bytes.ts";
import { DatabaseError } from "../base/errors.ts";
import { CLUSTER_CONNECTIONS_MAX, HANDSHAKE_TIMEOUT_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Connection } from "../io/network.ts";
import { MAGIC_BYTES } from "../wire/handshake.ts";
import type { PortProtocol } from "./types.ts";

/** What the cluster port needs. */
export interface PortOptions {
  readonly clock: Clock;
  readonly protocols: readonly PortProtocol[];
  onReject(reason: DatabaseError, remote: string): void;
}

/**
 * The cluster port: counts connections, waits for the first eight bytes of each, and hands it to
 * the protocol that they name.
 */
export class Port {
  readonly #options: PortOptions;
  readonly #open = new Set<Connection>();

  constructor(options: PortOptions) {
    for (const { name, magic } of options.protocols) {
      assert(magic.length === MAGIC_BYTES, `the magic of ${name} must have ${MAGIC_BYTES} bytes`);
    }
    this.#options = options;
  }

  /** Takes a connection that the listener accepted. */
  accept(connection: Connection): void {
    if (this.#open.size >= CLUSTER_CONNECTIONS_MAX) {
      const message = `More than ${CLUSTER_CONNECTIONS_MAX} connections to the cluster port`;
      this.#options.onReject(new DatabaseError("BUSY", message), connection.remote);
      connection.destroy();
      return;
    }
    this.#open.add(connection);
    connection.whenClosed(() => void this.#open.delete(connection));
    this.#awaitMagic(connection);
  }

  /** Closes every connection; resolves once they are closed. */
  async closeAll(): Promise<void> {
    await Promise.all([...this.#open].map((connection) =>
      new Promise<void>((resolve) => {
        connection.whenClosed(resolve);
        connection.destroy();
      })
    ));
  }

  #awaitMagic(connection: Connection): void {
    let early: Uint8Array = new Uint8Array(0);
    const reject = (message: string) => {
      cancelTimer();
      this.#options.onReject(new DatabaseError("PROTOCOL", message), connection.remote);
      connection.destroy();
    };
    const cancelTimer = this.#options.clock.after(HANDSHAKE_TIMEOUT_MS, () => {
      reject(`No protocol was named within ${HANDSHAKE_TIMEOUT_MS} ms`);
    });
    connection.handler = {
      onOpen: () => {},
      onData: (bytes) => {
        early = early.length === 0 ? bytes : concat([early, bytes]);
        if (early.length < MAGIC_BYTES) return;
        cancelTimer();
        const magic = early.subarray(0, MAGIC_BYTES);
        const protocol = this.#options.protocols.find((known) => isEqual(known.magic, magic));
        if (protocol === undefined) return reject(`Unknown protocol ${toHex(magic)}`);
        protocol.accept(connection, early.subarray(MAGIC_BYTES));
      },
      onDrain: () => {},
      onClose: cancelTimer,
    };
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
