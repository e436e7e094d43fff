/** A connection that a server holds, whatever is spoken on it. */
export interface ServedConnection {
  /** Takes nothing new, and closes once what is under way is done. */
  end(): void;
  /** Cuts the connection. */
  destroy(): void;
  /** So much time has passed; a client that did nothing for too long is cut off. */
  period(elapsedMs: number): void;
}
