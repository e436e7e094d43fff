/**
 * How a node whose database differs from those of the others comes by the right one: its replica
 * takes the pages that differ from the leader, and this file says so. A node that differs again
 * soon, or before it was seen to agree once, has a cause that no copying removes: it stops.
 */
import { DatabaseError } from "../base/errors.ts";
import { HEALED_AGAIN_MS_MIN } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex } from "../raft/types.ts";

/** The last time that this node healed, or heals. */
export interface HealingStatus {
  /** The entry after which it was found to differ. */
  readonly index: LogIndex;
  readonly done: boolean;
  /** Pages that differed, and were fetched, since this start of the node. */
  readonly fetchedPages: number;
}

/** What healing takes. */
export interface HealingOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Found by an earlier start, and not healed yet. */
  readonly unfinished: LogIndex | undefined;
  /** Whether somebody else can lead, or leads. */
  readonly mayHeal: () => boolean;
  /** Has the database replaced; false when that is under way already. */
  readonly heal: (index: LogIndex) => boolean;
  /** Pages that snapshots brought since the start. */
  readonly takenPages: () => number;
  /** The last entry after which this node held the same as the leader; 0 since it was replaced. */
  readonly verifiedIndex: () => LogIndex;
  /** The node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

/** See the file comment. */
export class Healing {
  readonly #options: HealingOptions;
  #index: LogIndex | undefined;
  #isDone = true;
  #takenBefore: number;
  #takenPages = 0;
  #healedMs: number | undefined;

  constructor(options: HealingOptions) {
    this.#options = options;
    const { log, unfinished, takenPages } = options;
    this.#takenBefore = takenPages();
    if (unfinished === undefined) return;
    this.#index = unfinished;
    this.#isDone = false;
    log.warn("goes on to heal a database that differs", { index: unfinished });
  }

  /** Undefined when it never had to. */
  get status(): HealingStatus | undefined {
    const index = this.#index;
    if (index === undefined) return undefined;
    return { index, done: this.#isDone, fetchedPages: this.#fetchedPages };
  }

  get #fetchedPages(): number {
    return this.#isDone ? this.#takenPages : this.#options.takenPages() - this.#takenBefore;
  }

  /**
   * This node held other pages than the others after an entry: it heals, or stops.
   *
   * @returns False when its database is being replaced already.
   */
  found(index: LogIndex): boolean {
    const { log, mayHeal, heal, takenPages, onFatal } = this.#options;
    const obstacle = this.#obstacle() ?? (mayHeal() ? undefined : "and no other node can lead");
    if (obstacle !== undefined) {
      onFatal(differs(index, obstacle));
      return true;
    }
    this.#takenBefore = takenPages();
    if (!heal(index)) return false;
    this.#index = index;
    this.#isDone = false;
    log.error(
      "this node's database is not what the others hold: it answers nothing, and fetches the " +
        "pages that differ",
      { index },
    );
    return true;
  }

  /** The database is what the source held. */
  healed(): void {
    const { clock, log } = this.#options;
    this.#takenPages = this.#fetchedPages;
    this.#isDone = true;
    this.#healedMs = clock.nowMs();
    log.warn("healed: this node holds again what the others hold", {
      index: this.#index,
      fetchedPages: this.#takenPages,
    });
  }

  /** Why healing again would not help. */
  #obstacle(): string | undefined {
    const { clock, verifiedIndex } = this.#options;
    if (this.#healedMs === undefined) return undefined;
    const elapsedMs = clock.nowMs() - this.#healedMs;
    const seconds = Math.round(elapsedMs / 1_000);
    const why = `although it was healed ${seconds} s ago`;
    if (verifiedIndex() === 0) return `${why}, and never agreed since`;
    return elapsedMs < HEALED_AGAIN_MS_MIN ? why : undefined;
  }
}

function differs(index: LogIndex, why: string): DatabaseError {
  return new DatabaseError(
    "CORRUPT",
    `This node's database is not what the others hold: it differed after entry ${index}, ${why}`,
    {
      hint: "Remove this node from the cluster and add it again with an empty data folder; " +
        "keep a copy of the old one to find out why",
    },
  );
}
