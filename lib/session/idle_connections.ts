import { IDLE_CONNECTIONS_MAX } from "../base/limits.ts";
import type { Connection } from "../database/connection.ts";

/** Connections that nobody uses at the moment; of too many, the oldest one is closed. */
export class IdleConnections {
  readonly #connections: Connection[] = [];

  /** A connection to a file; undefined when there is none. */
  take(path: string): Connection | undefined {
    const at = this.#connections.findLastIndex((connection) => connection.path === path);
    return at < 0 ? undefined : this.#connections.splice(at, 1)[0];
  }

  /** Keeps a connection for others. */
  keep(connection: Connection): void {
    this.#connections.push(connection);
    if (this.#connections.length > IDLE_CONNECTIONS_MAX) this.#connections.shift()!.close();
  }

  /** Closes those to one file, or all. */
  close(path?: string): void {
    for (const connection of this.#connections.splice(0)) {
      if (path === undefined || connection.path === path) connection.close();
      else this.#connections.push(connection);
    }
  }
}
