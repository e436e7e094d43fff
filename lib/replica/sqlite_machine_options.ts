import type { OpenDatabaseOptions } from "./open_database.ts";

/** What the machine needs. */
export interface SqliteMachineOptions extends OpenDatabaseOptions {
  /** Bound of a command's payload; {@linkcode ENTRY_PAYLOAD_BYTES_MAX} by default. */
  readonly payloadBytesMax?: number;
  /** Milliseconds since 1970: when a leader's transactions ended; without it none is told. */
  readonly wallMs?: () => number;
  /** A database is gone: whoever uses it must let go, before `closeDropped`. */
  readonly onDropped?: (databaseId: number) => void;
  /** So many databases are open that no other can be; some must be closed. */
  readonly onFull?: () => void;
}
