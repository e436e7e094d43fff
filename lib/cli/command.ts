import type { Program } from "../io/program.ts";
import type { OptionTable, Settings } from "./options.ts";

/** Exit statuses: all is well, it failed, it was called wrongly, the node was removed for good. */
export const EXIT = { ok: 0, failure: 1, usage: 2, removed: 3 } as const;

/** A command of the executable. */
export interface Command<Table extends OptionTable = OptionTable> {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly options: Table;
  /** What may follow the options; without it nothing may. */
  readonly rest?: { readonly name: string; readonly description: string };
  /** Ends with the exit status. */
  readonly run: (call: Call<Table>) => Promise<number>;
}

/** One call of a command. */
export interface Call<Table extends OptionTable = OptionTable> {
  readonly settings: Settings<Table>;
  readonly rest: readonly string[];
  readonly program: Program;
}
