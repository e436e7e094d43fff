/**
 * Digests of the database at entries of the log, as this node found them: what a follower holds a
 * leader's claim against, and what nodes tell each other when two of them differ.
 */
import { DIGESTS_KEPT } from "../base/limits.ts";
import type { LogIndex } from "../raft/types.ts";
import type { PageDigest } from "../wire/command.ts";

interface Noted {
  readonly index: LogIndex;
  /** Undefined when there was none, as not every page was known. */
  readonly digest: PageDigest | undefined;
}

/** See the file comment. */
export class DigestHistory {
  /** By index, ascending; a ring once it is full. */
  readonly #noted: Noted[] = [];
  #oldest = 0;

  /** The database changed at an entry; later than those before. */
  note(index: LogIndex, digest: PageDigest | undefined): void {
    if (this.#noted.length < DIGESTS_KEPT) this.#noted.push({ index, digest });
    else {
      this.#noted[this.#oldest] = { index, digest };
      this.#oldest = (this.#oldest + 1) % DIGESTS_KEPT;
    }
  }

  /** The digest after an entry: that of the last change up to there. Undefined when not known. */
  at(index: LogIndex): PageDigest | undefined {
    let low = 0;
    let high = this.#noted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).index <= index) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : this.#at(low - 1).digest;
  }

  /** What came before does not go on here: changes may be missing in between. */
  clear(): void {
    this.#noted.length = 0;
    this.#oldest = 0;
  }

  #at(place: number): Noted {
    return this.#noted[(this.#oldest + place) % this.#noted.length]!;
  }
}

/** Whether two databases held the same. */
export function isSameDigest(one: PageDigest, other: PageDigest): boolean {
  return one.low === other.low && one.high === other.high && one.pages === other.pages;
}
