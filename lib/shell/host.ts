import type { ClusterClient } from "../client/client.ts";
import type { InArgs } from "../client/types.ts";
import type { ModeName, Rows } from "./modes.ts";

/** A command that was called wrongly, or that could not do what it was asked for. */
export class ShellError extends Error {
  override readonly name = "ShellError";
}

/** What the user can set. */
export interface ShellSettings {
  mode: ModeName;
  /** Undefined until the user chose: then the mode decides. */
  headers: boolean | undefined;
  nullText: string;
  /** The table that mode `insert` writes to. */
  table: string;
  timer: boolean;
  changes: boolean;
  /** Whether a script stops at its first error. */
  bail: boolean;
}

/** The shell, as its commands see it. */
export interface ShellHost {
  readonly settings: ShellSettings;
  readonly client: ClusterClient;
  /** Writes to where results go. */
  print(text: string): void;
  /** Runs one statement in the shell's own connection, unseen. */
  query(sql: string, args?: InArgs): Promise<Rows>;
  /** The name of the database that statements run on. */
  readonly database: string;
  /** Goes over to another database, which is made when it is used first. */
  use(database: string): void;
  /** All databases of the cluster. */
  databases(): Promise<readonly { readonly name: string }[]>;
  /** Whether the shell's connection has a transaction open. */
  readonly inTransaction: boolean;
  /** Runs a file of statements and commands. */
  readFile(path: string): Promise<void>;
  /** Sends results to a file, or back to standard output. */
  setOutput(path: string | undefined): void;
  /** Ends the shell with an exit status. */
  quit(status: number): void;
}

/** A command of the shell. */
export interface DotCommand {
  readonly name: string;
  /** What may follow the name. */
  readonly usage: string;
  readonly help: string;
  /** @throws {ShellError} when the arguments are not right. */
  readonly run: (shell: ShellHost, args: readonly string[]) => void | Promise<void>;
}
