/**
 * Reads the database file and the log, round after round, and says what is damaged before somebody
 * needs it. Workers read the file, in slices; the log is read here, where its files are open. It
 * also learns the hashes of pages that are not known, as after the loss of their file.
 */
import { DatabaseError, messageOf } from "../base/errors.ts";
import {
  LEARN_BYTES_PER_S,
  SCRUB_BYTES_PER_S,
  SCRUB_PAUSE_MS,
  SCRUB_SLICE_BYTES,
} from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { RaftLog } from "../log/types.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex } from "../raft/types.ts";
import type { FileTasks } from "../session/file_tasks.ts";
import { Pause } from "../io/pause.ts";

/** What one round found. */
export interface ScrubReport {
  readonly verifiedPages: number;
  /** Pages whose hash was not known before. */
  readonly learntPages: number;
  /** Pages whose newest version was still in the WAL only. */
  readonly skippedPages: number;
  readonly damagedPages: number;
  /** Entries of the log that were read. */
  readonly entries: number;
  /** The first entries that are damaged. */
  readonly damagedEntries: readonly LogIndex[];
  readonly elapsedMs: number;
}

/** How far the scrub is. */
export interface ScrubStatus {
  /** Rounds that are complete since the node started. */
  readonly rounds: number;
  /** The page that comes next in the present round; 0 when the file is done. */
  readonly page: number;
  readonly lastRound: ScrubReport | undefined;
}

/** What a scrub works on. */
export interface ScrubberOptions {
  readonly tasks: FileTasks;
  readonly raftLog: RaftLog;
  readonly clock: Clock;
  readonly log: Log;
  readonly pageBytes: () => number;
  /** Whether the file shows one state. */
  readonly mayRead: () => boolean;
  readonly unknownPages: () => number;
  /** Damaged pages were found. */
  readonly onDamage: () => void;
}

/** How often it looks whether the file may be read. */
const WAIT_MS = 200;
/** Damaged entries that a report names. */
const ENTRIES_NAMED_MAX = 100;

/** A report that is being made. */
interface Findings {
  verifiedPages: number;
  learntPages: number;
  skippedPages: number;
  damagedPages: number;
  entries: number;
  readonly damagedEntries: LogIndex[];
}

/** See the file comment. */
export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #pause: Pause;
  /** Entries that were told to be damaged. */
  readonly #told = new Set<LogIndex>();
  #stopped = false;
  /** Another round begins right after this one. */
  #isHurried = false;
  #rounds = 0;
  #page = 0;
  #lastRound: ScrubReport | undefined;

  constructor(options: ScrubberOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
  }

  get status(): ScrubStatus {
    return { rounds: this.#rounds, page: this.#page, lastRound: this.#lastRound };
  }

  start(): void {
    void this.#goRound();
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.cut();
  }

  /** Another file is there: a round over all of it begins soon. */
  hurry(): void {
    this.#isHurried = true;
    this.#pause.cut();
  }

  /**
   * Goes round once, now, as fast as it goes.
   *
   * @throws {DatabaseError} `BUSY` when the file cannot be read at the moment.
   */
  async run(): Promise<ScrubReport> {
    if (!this.#options.mayRead()) {
      throw new DatabaseError("BUSY", "The database is being brought up to date; try again");
    }
    return await this.#round(() => Promise.resolve());
  }

  async #goRound(): Promise<void> {
    const { clock, log, unknownPages } = this.#options;
    const throttle = async (bytes: number, startMs: number) => {
      const rate = unknownPages() > 0 ? LEARN_BYTES_PER_S : SCRUB_BYTES_PER_S;
      await this.#pause.wait(Math.max(1, bytes / rate * 1000 - (clock.nowMs() - startMs)));
    };
    while (!this.#stopped) {
      this.#isHurried = false;
      try {
        const report = await this.#round(throttle);
        if (this.#stopped) return;
        this.#rounds++;
        this.#lastRound = report;
        const { damagedEntries, ...counts } = report;
        log.debug("scrubbed", { ...counts, damagedEntries: damagedEntries.length });
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        if (!this.#stopped) log.debug("the scrub begins again", { reason: messageOf(error) });
      }
      if (!this.#isHurried) await this.#pause.wait(SCRUB_PAUSE_MS);
    }
  }

  /** @param throttle Called after each slice, with its size and when it began. */
  async #round(throttle: (bytes: number, startMs: number) => Promise<void>): Promise<ScrubReport> {
    const { clock } = this.#options;
    const startMs = clock.nowMs();
    const findings: Findings = {
      verifiedPages: 0,
      learntPages: 0,
      skippedPages: 0,
      damagedPages: 0,
      entries: 0,
      damagedEntries: [],
    };
    await this.#readFile(findings, throttle);
    await this.#readLog(findings, throttle);
    return { ...findings, elapsedMs: Math.round(clock.nowMs() - startMs) };
  }

  async #readFile(
    findings: Findings,
    throttle: (bytes: number, startMs: number) => Promise<void>,
  ): Promise<void> {
    const { tasks, clock, mayRead, onDamage } = this.#options;
    for (let first = 1; first !== 0 && !this.#stopped;) {
      this.#page = first;
      while (!mayRead() && !this.#stopped) await this.#pause.wait(WAIT_MS);
      if (this.#stopped) return;
      const startMs = clock.nowMs();
      const pageBytes = this.#options.pageBytes();
      const count = Math.max(1, Math.floor(SCRUB_SLICE_BYTES / pageBytes));
      const slice = await tasks.run({ type: "scrub", first, count });
      findings.verifiedPages += slice.verifiedPages;
      findings.learntPages += slice.learntPages;
      findings.skippedPages += slice.skippedPages;
      findings.damagedPages += slice.damagedPages;
      if (slice.damagedPages > 0) onDamage();
      first = slice.next;
      const bytes = (slice.verifiedPages + slice.learntPages) * pageBytes;
      if (first !== 0) await throttle(bytes, startMs);
    }
    this.#page = 0;
  }

  async #readLog(
    findings: Findings,
    throttle: (bytes: number, startMs: number) => Promise<void>,
  ): Promise<void> {
    const { raftLog, clock } = this.#options;
    let index = raftLog.firstIndex;
    while (!this.#stopped) {
      // What was compacted meanwhile is no concern any more.
      index = Math.max(index, raftLog.firstIndex);
      if (index > raftLog.durableIndex) return;
      const startMs = clock.nowMs();
      let bytes = 0;
      const endIndex = raftLog.durableIndex;
      while (index <= endIndex && bytes < SCRUB_SLICE_BYTES && clock.nowMs() - startMs < WAIT_MS) {
        bytes += raftLog.bodySizeBytes(index);
        if (!this.#isWhole(index)) findings.damagedEntries.push(index);
        findings.entries++;
        index++;
      }
      findings.damagedEntries.splice(ENTRIES_NAMED_MAX);
      await throttle(bytes, startMs);
      await this.#pause.wait(0);
    }
  }

  #isWhole(index: LogIndex): boolean {
    try {
      this.#options.raftLog.entries(index, index, Infinity);
      return true;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      if (!this.#told.has(index) && this.#told.size < ENTRIES_NAMED_MAX) {
        this.#told.add(index);
        this.#options.log.error("an entry of the log is damaged; a restart makes it good", {
          index,
          reason: error.message,
        });
      }
      return false;
    }
  }
}
