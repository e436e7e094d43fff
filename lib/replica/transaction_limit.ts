/**
 * Bounds the transactions of a leader. A transaction is in its WAL before it goes into the log, in
 * parts, so it needs its size on the disk twice: what is in the WAL must still fit what is left.
 */
import { messageOf } from "../base/errors.ts";
import {
  LOG_SPACE_LEFT_BYTES,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_SPACE_POLL_MS,
} from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";

/** What is bounded. */
export interface LimitedMachine {
  /** Bytes of pages that a transaction may change at most, and that there is space for. */
  limitTransactions(bytesMax: number, bytesSpace: number): void;
}

/** What limiting needs. */
export interface LimitOptions {
  readonly machine: LimitedMachine;
  readonly clock: Clock;
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
  /** {@linkcode TRANSACTION_BYTES_MAX} by default. */
  readonly bytesMax: number | undefined;
  /** Told when the limit cannot be set any more. */
  readonly onFailure: (error: Error) => void;
}

/**
 * Keeps the bound at what the disk has left, for a transaction that runs as well.
 *
 * @returns A function that ends it.
 */
export function limitTransactions(options: LimitOptions): () => void {
  const { machine, clock, disk, folder, onFailure, bytesMax = TRANSACTION_BYTES_MAX } = options;
  let cancel = () => {};
  const look = () => {
    try {
      const left = disk.freeBytes(folder) - LOG_SPACE_LEFT_BYTES;
      // Zero would be no bound.
      const bytesSpace = Math.min(Math.max(1, left), Number.MAX_SAFE_INTEGER);
      machine.limitTransactions(bytesMax, bytesSpace);
      cancel = clock.after(TRANSACTION_SPACE_POLL_MS, look);
    } catch (error) {
      onFailure(error instanceof Error ? error : new Error(messageOf(error)));
    }
  };
  look();
  return () => cancel();
}
