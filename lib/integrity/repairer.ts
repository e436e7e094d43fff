/**
 * Fetches damaged pages of the database file from other nodes. A page is taken only when it has the
 * very hash that the file should have there, so that it does not matter who gives it, and at which
 * entry that node is: one that has changed meanwhile is not taken, and asked for again, until the
 * change has come here, too, and the next checkpoint writes the page anyway.
 */
import { DatabaseError, messageOf } from "../base/errors.ts";
import {
  DAMAGED_PAGES_LISTED,
  REPAIR_BYTES_MAX,
  REPAIR_PAGES_MAX,
  REPAIR_POLL_MS,
  REPAIR_RETRY_MS_MAX,
} from "../base/limits.ts";
import type { PageSet } from "../database/page_integrity.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { Member } from "../raft/types.ts";
import type { FileTasks } from "../session/file_tasks.ts";
import { Pause } from "../io/pause.ts";

/** What a repair works with. */
export interface RepairerOptions {
  readonly tasks: FileTasks;
  readonly clock: Clock;
  readonly log: Log;
  /** How many pages are known to be damaged. */
  readonly damagedPages: () => number;
  /** Whether the file shows one state. */
  readonly mayRead: () => boolean;
  /** Who may have the pages, in the order in which to ask. */
  readonly sources: () => readonly Member[];
  /** Asks a node for pages. */
  readonly ask: (source: Member, pages: readonly number[]) => Promise<PageSet>;
  /** Copies what is committed into the file. */
  readonly checkpoint: () => Promise<unknown>;
}

/** Page numbers that a line of the log names. */
const NAMED_MAX = 20;

/** See the file comment. */
export class Repairer {
  readonly #options: RepairerOptions;
  readonly #pause: Pause;
  #stopped = false;
  #repairedPages = 0;
  #lastTold = "";

  constructor(options: RepairerOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
  }

  /** Pages that were repaired since the node started. */
  get repairedPages(): number {
    return this.#repairedPages;
  }

  start(): void {
    void this.#keepWatch();
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.cut();
  }

  /** Damage was found: does not wait for its turn. */
  hurry(): void {
    this.#pause.cut();
  }

  async #keepWatch(): Promise<void> {
    const { damagedPages, mayRead, log } = this.#options;
    let waitMs = REPAIR_POLL_MS;
    while (!this.#stopped) {
      await this.#pause.wait(waitMs);
      if (this.#stopped) return;
      if (damagedPages() === 0 || !mayRead()) {
        waitMs = REPAIR_POLL_MS;
        continue;
      }
      const before = this.#repairedPages;
      try {
        await this.#round();
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        log.debug("a repair begins again", { reason: error.message });
      }
      const succeeds = this.#repairedPages > before;
      waitMs = succeeds ? 0 : Math.min(2 * Math.max(waitMs, REPAIR_POLL_MS), REPAIR_RETRY_MS_MAX);
    }
  }

  async #round(): Promise<void> {
    const { log, sources } = this.#options;
    let pages = await this.#recheck();
    if (pages.length === 0) return;
    this.#tell(pages);
    for (const source of sources()) {
      await this.#repairFrom(source, pages);
      pages = await this.#stillDamaged(pages);
      if (pages.length === 0) return;
    }
    log.debug("damaged pages could not be repaired yet", { pages: named(pages) });
  }

  /**
   * What is damaged, of what is known to be. Some may be well again, as the read was at fault;
   * others are written anyway by the next checkpoint.
   */
  async #recheck(): Promise<readonly number[]> {
    const { tasks, log, checkpoint } = this.#options;
    const damaged: number[] = [];
    const inWal: number[] = [];
    for (const first of await tasks.run({ type: "damaged", max: DAMAGED_PAGES_LISTED })) {
      const { damagedPages, skippedPages } = await tasks.run({ type: "scrub", first, count: 1 });
      if (damagedPages > 0) damaged.push(first);
      if (skippedPages > 0) inWal.push(first);
    }
    if (inWal.length === 0) return damaged;
    try {
      await checkpoint();
    } catch (error) {
      log.debug("a checkpoint that mends pages is put off", { reason: messageOf(error) });
    }
    await this.#repairFromWal(inWal.slice(0, REPAIR_PAGES_MAX));
    return damaged;
  }

  /** What was copied before it was damaged is not copied again, but may be in the WAL still. */
  async #repairFromWal(pages: readonly number[]): Promise<void> {
    const { tasks, log } = this.#options;
    const set = await tasks.run({ type: "read", pages, bytesMax: REPAIR_BYTES_MAX });
    if (set.pages.length === 0) return;
    const repaired = await tasks.run({ type: "repair", set }) ?? 0;
    this.#repairedPages += repaired;
    if (repaired > 0) log.warn("repaired damaged pages", { pages: repaired, from: "the WAL" });
  }

  async #repairFrom(source: Member, pages: readonly number[]): Promise<void> {
    const { tasks, ask, log } = this.#options;
    for (let at = 0; at < pages.length;) {
      let set: PageSet;
      try {
        set = await ask(source, pages.slice(at, at + REPAIR_PAGES_MAX));
      } catch (error) {
        log.debug("pages were not sent", { from: source.id, reason: messageOf(error) });
        return;
      }
      // Nothing at all of what is left: it cannot be read there either.
      const last = set.pages.at(-1);
      if (last === undefined || !pages.includes(last, at)) return;
      const repaired = await tasks.run({ type: "repair", set }) ?? 0;
      this.#repairedPages += repaired;
      if (repaired > 0) {
        log.warn("repaired damaged pages", { pages: repaired, from: source.id });
      }
      at = pages.indexOf(last, at) + 1;
    }
  }

  async #stillDamaged(pages: readonly number[]): Promise<readonly number[]> {
    const { tasks } = this.#options;
    const damaged = new Set(await tasks.run({ type: "damaged", max: DAMAGED_PAGES_LISTED }));
    return pages.filter((page) => damaged.has(page));
  }

  /** Says which pages are damaged, once, and what that means when nobody else can have them. */
  #tell(pages: readonly number[]): void {
    const { log, sources, damagedPages } = this.#options;
    const list = named(pages);
    if (list === this.#lastTold) return;
    this.#lastTold = list;
    const count = damagedPages();
    if (sources().length > 0) log.error("pages of the database file are damaged", { count, list });
    else {
      log.error(
        "pages of the database file are damaged, and no other node has them: statements " +
          "that need them are refused, everything else goes on",
        { count, list },
      );
    }
  }
}

function named(pages: readonly number[]): string {
  const list = pages.slice(0, NAMED_MAX).join(", ");
  return pages.length > NAMED_MAX ? `${list}, …` : list;
}
