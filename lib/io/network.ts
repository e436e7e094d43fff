/**
 * Byte streams between nodes. Two implementations: TCP (`network_node.ts`) and, for tests and the
 * simulator, streams inside one process that can be delayed, cut and broken (`network_memory.ts`).
 */
import type { HostPort } from "./address.ts";

/**
 * What happens on a connection. No method is called from within a call of the connection, the
 * network or the listener; none is called after `onClose`.
 */
export interface ConnectionHandler {
  /** A dialled connection is there; bytes may be written from now on. Never for accepted ones. */
  onOpen(): void;
  /** The next bytes of the stream, at least one. They belong to the receiver from now on. */
  onData(bytes: Uint8Array): void;
  /** After `write` returned false: what was written has left. */
  onDrain(): void;
  /**
   * The connection is gone, or never came about. Called exactly once, and last.
   *
   * @param error Why, when it did not end in an orderly way.
   */
  onClose(error: Error | undefined): void;
}

/** Takes note of nothing; stands in until the right handler is there. */
export const IGNORE: ConnectionHandler = { onOpen() {}, onData() {}, onDrain() {}, onClose() {} };

/** A stream of bytes in both directions: in order, nothing twice, nothing invented. */
export interface Connection {
  /** `HOST:PORT` of the other side, for logs. */
  readonly remote: string;
  /** Who is told of what happens; may be replaced at any time. */
  handler: ConnectionHandler;
  /**
   * Sends bytes, without waiting for more to share a packet. The bytes belong to the connection
   * from now on and must not be changed. After the end nothing happens.
   *
   * @returns False when the writer should wait for `onDrain`; the bytes are taken all the same.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops `onData` until `resume`; bytes that are on their way already may still arrive. */
  pause(): void;
  resume(): void;
  /** Closes once what was written has left, or {@linkcode LINGER_MS} have passed. */
  end(): void;
  /** Closes at once, and `onData` comes no more. What was written may be lost. */
  destroy(): void;
  /** Calls `callback` when the connection has closed, whoever its handler is by then. */
  whenClosed(callback: () => void): void;
}

/** Time that an ended connection has for its last bytes. */
export const LINGER_MS = 1_000;

/** An open port. */
export interface Listener {
  /** Where it listens, with the port that the system chose. */
  readonly address: HostPort;
  /** Accepts no more; what was accepted stays open. */
  close(): void;
}

/** Dials and listens. */
export interface Network {
  /** Dials `address`. There is no time limit: who dials destroys what takes too long. */
  connect(address: HostPort, handler: ConnectionHandler): Connection;
  /**
   * Opens a port.
   *
   * @param accept Called for every connection; sets its handler before it returns.
   * @throws {DatabaseError} `ADDRESS` when the address is taken or is not this machine's.
   */
  listen(
    address: HostPort,
    accept: (connection: Connection) => void,
  ): Promise<Listener>;
}
