import { SQL_LENGTH_MAX } from "../base/limits.ts";
import type { ClusterClient } from "../client/client.ts";
import { ClientError } from "../client/error.ts";
import type { Session } from "../client/session.ts";
import type { InArgs, ResultSet } from "../client/types.ts";
import { createTextFile, type TextSink } from "../io/program.ts";
import { runDotCommand } from "./dot_commands.ts";
import { ShellError, type ShellHost, type ShellSettings } from "./host.ts";
import { renderRows, type Rows } from "./modes.ts";
import { type Input, InputReader } from "./parser.ts";

/** Files that may read one another. */
const READ_DEPTH_MAX = 16;

/** What a shell needs. */
export interface ShellOptions {
  /** Makes a client of a database; undefined for the first one. */
  readonly connect: (database: string | undefined) => ClusterClient;
  /** The name of the database to begin with. */
  readonly database?: string | undefined;
  readonly listDatabases: () => Promise<readonly { readonly name: string }[]>;
  readonly interactive: boolean;
  readonly settings: ShellSettings;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly readTextFile: (path: string) => string;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
}

/** Runs statements and dot-commands over one connection of its own. */
export class Shell implements ShellHost {
  readonly settings: ShellSettings;
  #client: ClusterClient;
  readonly #options: ShellOptions;
  #session: Session;
  #file: TextSink | undefined;
  #depth = 0;
  #totalChanges = 0;
  #status: number | undefined;

  constructor(options: ShellOptions) {
    this.#options = options;
    this.#client = options.connect(options.database);
    this.settings = options.settings;
    this.#session = this.#newSession();
  }

  get client(): ClusterClient {
    return this.#client;
  }

  get database(): string {
    return this.#client.database;
  }

  get inTransaction(): boolean {
    return this.#session.inTransaction;
  }

  /** The exit status, once the user asked to leave. */
  get quitStatus(): number | undefined {
    return this.#status;
  }

  print(text: string): void {
    if (this.#file === undefined) this.#options.stdout(text);
    else this.#file.write(text);
  }

  quit(status: number): void {
    this.#status = status;
  }

  setOutput(path: string | undefined): void {
    this.#file?.close();
    this.#file = undefined;
    if (path !== undefined) this.#file = createTextFile(path);
  }

  use(database: string): void {
    const client = this.#options.connect(database);
    this.#session.close();
    this.#client.close();
    this.#client = client;
    this.#session = this.#newSession();
  }

  databases(): Promise<readonly { readonly name: string }[]> {
    return this.#options.listDatabases();
  }

  async query(sql: string, args: InArgs = []): Promise<Rows> {
    return rowsOf(await this.#session.execute({ sql, args }));
  }

  async readFile(path: string): Promise<void> {
    if (this.#depth >= READ_DEPTH_MAX) {
      throw new ShellError(`Cannot read "${path}": more than ${READ_DEPTH_MAX} files deep`);
    }
    const text = this.#options.readTextFile(path);
    this.#depth++;
    try {
      const good = await this.runScript(text.split(/\r?\n/));
      // The line of the error in the file was told already.
      if (!good && this.settings.bail) throw new ShellError(`Stopped reading "${path}"`);
    } finally {
      this.#depth--;
    }
  }

  /**
   * Runs lines of statements and commands.
   *
   * @returns False when something failed; with `bail` on, nothing was run after it.
   */
  async runScript(lines: Iterable<string> | AsyncIterable<string>): Promise<boolean> {
    const reader = new InputReader();
    let good = true;
    const runAll = async (inputs: readonly Input[]) => {
      for (const input of inputs) {
        if (this.#status !== undefined || (!good && this.settings.bail)) return;
        if (!await this.run(input)) good = false;
      }
    };
    for await (const line of lines) {
      await runAll(reader.push(line));
      if (this.#status !== undefined || (!good && this.settings.bail)) return good;
    }
    await runAll(reader.finish());
    return good;
  }

  /** Runs one statement or command. @returns False when it failed; the error was shown. */
  async run(input: Input): Promise<boolean> {
    const session = this.#session;
    const began = session.inTransaction;
    try {
      if (input.type === "command") await runDotCommand(this, input.text);
      else await this.#runStatement(input.text);
      return true;
    } catch (error) {
      // What was interrupted has nothing to tell any more.
      if (session !== this.#session) return false;
      this.#showError(error, input);
      if (began && !session.inTransaction && !isLoss(error)) {
        this.#options.stderr("The open transaction was rolled back.\n");
      }
      return false;
    }
  }

  /** Gives up the statement that runs; its transaction, if any, is rolled back. */
  interrupt(): void {
    const lost = this.#session.inTransaction;
    this.#session.close();
    this.#session = this.#newSession();
    this.#options.stderr(
      "Interrupted: the statement may still run" +
        (lost ? ". The open transaction is rolled back.\n" : ".\n"),
    );
  }

  close(): void {
    this.#session.close();
    this.#client.close();
    this.#file?.close();
    this.#file = undefined;
  }

  async #runStatement(sql: string): Promise<void> {
    if (sql.length > SQL_LENGTH_MAX) {
      throw new ShellError(`A statement of ${sql.length} characters exceeds ${SQL_LENGTH_MAX}`);
    }
    const session = this.#session;
    const startMs = this.#options.nowMs();
    const result = await session.execute(sql);
    const tookMs = this.#options.nowMs() - startMs;
    if (session !== this.#session) return;
    const { mode, nullText, table } = this.settings;
    const headers = this.settings.headers ?? (this.#options.interactive || mode === "column");
    this.print(renderRows(rowsOf(result), { mode, headers, nullText, table }));
    this.#totalChanges += result.rowsAffected;
    if (this.settings.changes) {
      this.print(`changes: ${result.rowsAffected}   total_changes: ${this.#totalChanges}\n`);
    }
    if (this.settings.timer) this.print(`Run Time: real ${(tookMs / 1000).toFixed(3)}\n`);
  }

  #showError(error: unknown, input: Input): void {
    if (!(error instanceof Error)) throw error;
    const known = error instanceof ClientError || error instanceof ShellError ||
      "code" in error || error instanceof RangeError;
    if (!known) throw error;
    const where = this.#options.interactive && this.#depth === 0 ? "" : ` near line ${input.line}`;
    this.#options.stderr(`Error: ${error.message.replace(/^SQLite error: /, "")}${where}\n`);
    if (!(error instanceof ClientError)) return;
    if (error.outcome === "unknown") {
      this.#options.stderr("It is not known whether the statement took effect.\n");
    }
    if (error.hint !== undefined) this.#options.stderr(`Hint: ${error.hint}\n`);
  }

  #newSession(): Session {
    return this.#client.session({ intMode: "bigint" });
  }
}

function rowsOf(result: ResultSet): Rows {
  const { columns } = result;
  const rows = result.rows.map((row) => Array.from({ length: columns.length }, (_, i) => row[i]!));
  return { columns, rows };
}

function isLoss(error: unknown): boolean {
  return error instanceof ClientError && error.code === "TRANSACTION_LOST";
}
