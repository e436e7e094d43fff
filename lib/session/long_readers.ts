/**
 * Readers that keep the WAL from being copied, or from beginning anew. While one keeps looking at
 * an old state of the database, what was written since has to stay in the WAL. So it is told by
 * name after a while, and ended later: at once when the WAL is about to fill the disk. A backup is
 * not ended for the time that it takes, as long as it makes progress, but for the size of the WAL.
 */
import { DatabaseError } from "../base/errors.ts";
import { WAL_FRAMES_MAX, WAL_READER_END_MS, WAL_READER_WARN_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";

/** Who may be looking at an old state of the database. */
export interface Reader {
  readonly databaseId: number;
  /** Tells it from others. */
  readonly key: string;
  /** When its statement or its transaction began. */
  readonly sinceMs: number;
  /** What it runs, or ran last. */
  readonly sql: string;
  /** Set when only the WAL's size ends it: how many frames that may be. */
  readonly walFramesMax?: number | undefined;
  /** Ends it; its client is told why. */
  end(error: DatabaseError): void;
}

/** What looking after readers needs. */
export interface LongReadersOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** All of them at this moment, of a database whose WAL is in question. */
  readonly readers: () => readonly Reader[];
  /** Frames in the WAL of a database. */
  readonly walFrames: (databaseId: number) => number;
  /** Time after which a reader is told of; {@linkcode WAL_READER_WARN_MS} by default. */
  readonly warnMs?: number | undefined;
  /** Time after which it is ended; {@linkcode WAL_READER_END_MS} by default. */
  readonly endMs?: number | undefined;
}

/** See the file comment. */
export class LongReaders {
  readonly #options: LongReadersOptions;
  /** Those that were told of. */
  #told = new Set<string>();

  constructor(options: LongReadersOptions) {
    this.#options = options;
  }

  /** Somebody is in the way of checkpoints. To be called again while that is so. */
  look(): void {
    const { clock, readers, walFrames } = this.#options;
    const { warnMs = WAL_READER_WARN_MS, endMs = WAL_READER_END_MS } = this.#options;
    const nowMs = clock.nowMs();
    const told = new Set<string>();
    for (const reader of readers()) {
      const heldMs = nowMs - reader.sinceMs;
      if (heldMs < warnMs) continue;
      const { walFramesMax } = reader;
      const isLarge = walFrames(reader.databaseId) > (walFramesMax ?? WAL_FRAMES_MAX);
      if (isLarge || walFramesMax === undefined && heldMs >= endMs) this.#end(reader, heldMs);
      else {
        if (!this.#told.has(reader.key)) this.#tell("a reader keeps the WAL", reader, heldMs);
        told.add(reader.key);
      }
    }
    this.#told = told;
  }

  #end(reader: Reader, heldMs: number): void {
    this.#tell("ended a reader that kept the WAL", reader, heldMs);
    const seconds = Math.round(heldMs / 1_000);
    reader.end(
      new DatabaseError(
        "TRANSACTION_TIMEOUT",
        `The read was ended: for ${seconds} s it looked at one state of the database, ` +
          "and everything that was written since had to be kept for it",
        { hint: "Read in several transactions, or at a node that takes fewer writes" },
      ),
    );
  }

  #tell(message: string, { databaseId, key, sql }: Reader, heldMs: number): void {
    const walFrames = this.#options.walFrames(databaseId);
    this.#options.log.warn(message, { reader: key, sql, heldMs: Math.round(heldMs), walFrames });
  }
}
