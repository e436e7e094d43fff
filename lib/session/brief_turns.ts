/**
 * One-shot requests that hold the write turn and may be brief. They wait until the sockets that are
 * ready were dealt with, so that what came at the same time shares one entry of the log; then they
 * run in this thread, one after another, for as long as sockets may wait.
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
    if (!pendings.every(({ job }) => brief.mayRun(job.requests))) {
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
      const left = this.#runSome(granted.pendings, results, untilMs);
      if (left.length > 0) {
        this.#granted = undefined;
        this.#events.dispatch(left, granted.grant);
        break;
      }
      this.#events.releaseGrant(granted.grant);
      if (this.#granted === granted) this.#granted = undefined;
    }
    this.#events.done(results);
  }

  /** Returns those that are left. */
  #runSome(
    pendings: readonly Pending[],
    results: JobResult[],
    untilMs: number,
  ): readonly Pending[] {
    const brief = this.#brief();
    for (let at = 0; at < pendings.length; at++) {
      if (this.#clock.nowMs() > untilMs) return pendings.slice(at);
      const pending = pendings[at]!;
      pending.dispatched = true;
      const result = brief.run(pending.job);
      if (result === undefined) return pendings.slice(at);
      results.push(result);
    }
    return [];
  }
}
