/**
 * One-shot requests that hold the write turn and may be brief. They wait until the sockets that are
 * ready were dealt with; then they run in this thread, for as long as sockets may wait. What came
 * at the same time shares one transaction of SQLite and one entry of the log.
 */
import { BRIEF_TURN_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { BriefRunner } from "./brief_runner.ts";
import type { Pending } from "./pending.ts";
import type { JobResult } from "./worker_messages.ts";

/** What is done with requests and their results. */
export interface BriefTurnsEvents {
  /** Leaves requests that hold the turn to a worker: they are not brief, or time is up. */
  dispatch(pendings: readonly Pending[], grant: number): void;
  /** Requests that came meanwhile and share the turn of `grant` from now on. */
  share(grant: number): readonly Pending[];
  /** Gives the turn back; what was granted next comes in before this returns. */
  releaseGrant(grant: number): void;
  done(results: readonly JobResult[]): void;
}

interface Granted {
  readonly pendings: readonly Pending[];
  readonly grant: number;
}

/** See the file comment. */
export class BriefTurns {
  readonly #brief: () => BriefRunner;
  readonly #clock: Clock;
  readonly #events: BriefTurnsEvents;
  #granted: Granted | undefined;

  constructor(brief: () => BriefRunner, clock: Clock, events: BriefTurnsEvents) {
    this.#brief = brief;
    this.#clock = clock;
    this.#events = events;
  }

  /** Requests got the turn, which they share. */
  take(pendings: readonly Pending[], grant: number): void {
    const brief = this.#brief();
    if (!pendings.every(({ job }) => brief.mayRun(job))) {
      this.#events.dispatch(pendings, grant);
      return;
    }
    const scheduled = this.#granted !== undefined;
    this.#granted = { pendings, grant };
    if (!scheduled) this.#clock.after(0, () => this.#run());
  }

  /** Forgets who waits: the turn was taken from them. */
  clear(): void {
    this.#granted = undefined;
  }

  #run(): void {
    const results: JobResult[] = [];
    const untilMs = this.#clock.nowMs() + BRIEF_TURN_MS;
    for (let granted = this.#granted; granted !== undefined; granted = this.#granted) {
      const { grant } = granted;
      const left = this.#runSome(
        [...granted.pendings, ...this.#events.share(grant)],
        results,
        untilMs,
      );
      if (left.length > 0) {
        this.#granted = undefined;
        this.#events.dispatch(left, grant);
        break;
      }
      this.#events.releaseGrant(grant);
      if (this.#granted === granted) this.#granted = undefined;
    }
    this.#events.done(results);
  }

  /** Returns those that are left: they are not brief, stand behind one that is not, or are late. */
  #runSome(
    pendings: readonly Pending[],
    results: JobResult[],
    untilMs: number,
  ): readonly Pending[] {
    const brief = this.#brief();
    const long = pendings.findIndex(({ job }) => !brief.mayRun(job));
    const jobs = (long < 0 ? pendings : pendings.slice(0, long)).map(({ job }) => job);
    let done = 0;
    if (jobs.length > 1) {
      const together = brief.runTogether(jobs, untilMs);
      results.push(...together);
      done = together.length;
    }
    // Alone, or one after another when they would not go together.
    while (done < jobs.length && this.#clock.nowMs() <= untilMs) {
      const result = brief.run(jobs[done]!);
      if (result === undefined) break;
      results.push(result);
      done++;
    }
    for (let at = 0; at < done; at++) pendings[at]!.dispatched = true;
    return pendings.slice(done);
  }
}
