import { MAIN_DATABASE_ID } from "../wire/command.ts";
import { BriefRunner, type BriefRunnerOptions } from "./brief_runner.ts";

/** What brief runners need. */
export interface BriefRunnersOptions extends Omit<BriefRunnerOptions, "databasePath"> {
  /** The file of a database. */
  readonly pathOf: (id: number) => string;
}

/** A {@linkcode BriefRunner} for each database that is used. */
export class BriefRunners {
  readonly #options: BriefRunnersOptions;
  readonly #main: BriefRunner;
  readonly #others = new Map<number, BriefRunner>();

  constructor(options: BriefRunnersOptions) {
    this.#options = options;
    this.#main = this.#newRunner(MAIN_DATABASE_ID);
  }

  get(id: number): BriefRunner {
    if (id === MAIN_DATABASE_ID) return this.#main;
    let runner = this.#others.get(id);
    if (runner === undefined) {
      runner = this.#newRunner(id);
      this.#others.set(id, runner);
    }
    return runner;
  }

  /** Lets go of all databases: what was read may be taken back. */
  reset(): void {
    this.#main.reset();
    for (const id of [...this.#others.keys()]) this.forget(id);
  }

  /** Lets go of a database, which is about to be closed. */
  forget(id: number): void {
    this.#others.get(id)?.reset();
    this.#others.delete(id);
  }

  #newRunner(id: number): BriefRunner {
    const { library, clock, pathOf } = this.#options;
    return new BriefRunner({ library, clock, databasePath: pathOf(id) });
  }
}
