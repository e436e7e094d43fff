/**
 * Where digests of the database at entries of the log are found: what a follower holds a leader's
 * claim against, and what nodes tell each other when two of them differ.
 */
import { DIGESTS_KEPT } from "../base/limits.ts";
import type { LogIndex } from "../raft/types.ts";
import type { PageDigest } from "../wire/command.ts";

/** A digest, or the number of the applied batch after which the library knows it. */
export type DigestSource = PageDigest | number;

interface Noted {
  readonly index: LogIndex;
  readonly source: DigestSource | undefined;
}

/** See the file comment. */
export class DigestHistory {
  /** By index, ascending; a ring once it is full. */
  readonly #noted: Noted[] = [];
  #oldest = 0;

  /**
   * The database changed at an entry, later than those before.
   *
   * @param source Undefined when there is no digest, as not every page is known.
   */
  note(index: LogIndex, source: DigestSource | undefined): void {
    if (this.#noted.length < DIGESTS_KEPT) this.#noted.push({ index, source });
    else {
      this.#noted[this.#oldest] = { index, source };
      this.#oldest = (this.#oldest + 1) % DIGESTS_KEPT;
    }
  }

  /** What was noted last up to an entry: the database did not change in between. */
  at(index: LogIndex): DigestSource | undefined {
    let low = 0;
    let high = this.#noted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).index <= index) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : this.#at(low - 1).source;
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
