/**
 * How much of the log is kept since it is not in the archive yet. There is a bound: an archive that
 * cannot be reached must not fill the disk, nor may one on a disk that is full.
 */
import { ARCHIVE_HOLD_BYTES_MAX } from "../base/limits.ts";
import type { RaftLog } from "../log/types.ts";
import type { LogIndex } from "../raft/types.ts";

/** See the file comment. */
export class LogHold {
  readonly #log: Pick<RaftLog, "baseIndex" | "lastIndex" | "bodySizeBytes" | "space">;
  readonly #bytesMax: number;
  /** The bodies of the entries behind `from`, up to `to`, take so many bytes. */
  #counted = { from: 0, to: 0, bytes: 0 };
  #isOver = false;

  /** @param bytesMax Bytes of entries that are kept at most. */
  constructor(
    log: Pick<RaftLog, "baseIndex" | "lastIndex" | "bodySizeBytes" | "space">,
    bytesMax: number = ARCHIVE_HOLD_BYTES_MAX,
  ) {
    this.#log = log;
    this.#bytesMax = bytesMax;
  }

  /** Whether entries were let go of that are not in the archive. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Bytes of the entries that are not in the archive. */
  get bytes(): number {
    return this.#counted.bytes;
  }

  /**
   * The entry whose successors are to be kept; infinite when nothing is.
   *
   * @param archivedIndex The last entry that is known to be in the archive.
   */
  keepAfter(archivedIndex: LogIndex): LogIndex {
    const from = Math.max(archivedIndex, this.#log.baseIndex);
    this.#count(from, this.#log.lastIndex);
    this.#isOver = this.#counted.bytes > this.#bytesMax ||
      (this.#log.space === "low" && this.#counted.bytes > 0);
    return this.#isOver ? Infinity : from;
  }

  /** Goes over each entry twice in its life, and not over all of them each time. */
  #count(from: LogIndex, to: LogIndex): void {
    const counted = this.#counted;
    const isCut = counted.from < this.#log.baseIndex || counted.from > from || counted.to > to;
    if (isCut || from >= counted.to) this.#counted = { from, to: from, bytes: 0 };
    const now = this.#counted;
    while (now.from < from) now.bytes -= this.#log.bodySizeBytes(++now.from);
    while (now.to < to) now.bytes += this.#log.bodySizeBytes(++now.to);
  }
}
