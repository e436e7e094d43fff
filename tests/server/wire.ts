/** A connection of the HTTP server whose other end is the test itself, write by write. */
import type { HttpReply, HttpRequest } from "../../lib/io/http.ts";
import { HttpConnection, type HttpConnectionHost } from "../../lib/io/http_connection.ts";
import { type Connection, type ConnectionHandler, IGNORE } from "../../lib/io/network.ts";
import type { ServedConnection } from "../../lib/io/served_connection.ts";

/** A connection of which a test sees every write. */
export class Wire implements Connection {
  readonly remote = "test";
  handler: ConnectionHandler = IGNORE;
  readonly writes: string[] = [];
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  /** What `write` returns. */
  takes = true;

  write(bytes: Uint8Array): boolean {
    this.writes.push(Buffer.from(bytes).toString("latin1"));
    return this.takes;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }

  whenClosed(): void {}

  /** Something arrives, and is dealt with. */
  async arrive(what: string): Promise<void> {
    this.handler.onData(new Uint8Array(Buffer.from(what, "latin1")));
    // What it leads to may be put off until the turn is over, and may begin only then.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** What was written since the last time. */
  take(): string[] {
    return this.writes.splice(0);
  }
}

/** A server of one connection. */
export class Host implements HttpConnectionHost {
  readonly handler: (request: HttpRequest) => HttpReply | Promise<HttpReply>;
  readonly failures: unknown[] = [];
  served: ServedConnection | undefined;
  requests = 0;

  constructor(handler: (request: HttpRequest) => HttpReply | Promise<HttpReply>) {
    this.handler = handler;
  }

  onFailure(error: unknown): void {
    this.failures.push(error);
  }

  active(change: 1 | -1): void {
    this.requests += change;
  }

  replaced(_: ServedConnection, by: ServedConnection): void {
    this.served = by;
  }

  closed(): void {
    this.served = undefined;
  }
}

/** Serves one connection. */
export function serve(handler: (request: HttpRequest) => HttpReply | Promise<HttpReply>) {
  const wire = new Wire();
  const host = new Host(handler);
  host.served = new HttpConnection(wire, host);
  return { wire, host };
}
