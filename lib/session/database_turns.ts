/** Who may write to one database at the moment; each has a write turn of its own. */
import { assert } from "../base/assert.ts";
import type { DatabaseError } from "../base/errors.ts";
import type { Clock } from "../io/clock.ts";
import { MAIN_DATABASE_ID } from "../wire/command.ts";
import type { BriefRunner } from "./brief_runner.ts";
import { BriefTurns } from "./brief_turns.ts";
import type { Pending } from "./pending.ts";
import type { JobResult } from "./worker_messages.ts";
import { WriteTurns } from "./write_turns.ts";

/** What is done with turns. */
export interface DatabaseTurnsHost {
  readonly clock: Clock;
  /** Whether a turn may be given at all right now. */
  mayWrite(): boolean;
  /** What runs in this thread. */
  brief(): BriefRunner;
  dispatch(pendings: readonly Pending[], grant: number): void;
  /** A statement that waits in its worker got a turn. */
  onStatement(pending: Pending): void;
  done(results: readonly JobResult[]): void;
}

/** See the file comment. */
export class DatabaseTurns {
  readonly write: WriteTurns;
  readonly #brief: BriefTurns;

  constructor(host: DatabaseTurnsHost) {
    this.#brief = new BriefTurns(() => host.brief(), host.clock, {
      dispatch: (pendings, grant) => host.dispatch(pendings, grant),
      share: (grant) => this.write.share(grant),
      releaseGrant: (grant) => this.write.releaseGrant(grant),
      done: (results) => host.done(results),
    });
    this.write = new WriteTurns({
      mayWrite: () => host.mayWrite(),
      onOneShots: (pendings, grant) => this.#brief.take(pendings, grant),
      onStatement: (pending) => host.onStatement(pending),
    });
  }

  /** Refuses everyone, and forgets who holds the turn. */
  clear(error: DatabaseError): void {
    this.write.clear(error);
    this.#brief.clear();
  }
}

/** The turns of all databases that are written to. */
export class DatabaseTurnsTable {
  readonly #newTurns: (id: number) => DatabaseTurns;
  readonly #main: DatabaseTurns;
  readonly #turns = new Map<number, DatabaseTurns>();

  constructor(newTurns: (id: number) => DatabaseTurns) {
    this.#newTurns = newTurns;
    this.#main = this.of(MAIN_DATABASE_ID);
  }

  /** Those of a database; undefined when nobody writes to it. */
  get(id: number | undefined): DatabaseTurns | undefined {
    return this.#turns.get(id ?? MAIN_DATABASE_ID);
  }

  /** Those of a database that somebody is about to write to. */
  of(id: number | undefined): DatabaseTurns {
    const key = id ?? MAIN_DATABASE_ID;
    let turns = this.#turns.get(key);
    if (turns === undefined) {
      turns = this.#newTurns(key);
      this.#turns.set(key, turns);
    }
    return turns;
  }

  /** There may be room for writes now. */
  next(): void {
    for (const { write } of [...this.#turns.values()]) write.next();
  }

  /** Refuses requests that wait, but not work of the node itself. */
  refuseRequests(error: DatabaseError): void {
    for (const { write } of [...this.#turns.values()]) write.refuseRequests(error);
  }

  /** Refuses those whose time is up. */
  expire(nowMs: number): void {
    for (const { write } of [...this.#turns.values()]) write.expire(nowMs);
  }

  /** Refuses everyone, and forgets who holds a turn. */
  clear(error: DatabaseError): void {
    for (const turns of [...this.#turns.values()]) turns.clear(error);
    this.#turns.clear();
    this.#turns.set(MAIN_DATABASE_ID, this.#main);
  }

  /** The database is about to be closed, or gone. */
  delete(id: number): void {
    assert(id !== MAIN_DATABASE_ID, "the first database is never closed");
    this.#turns.delete(id);
  }
}
