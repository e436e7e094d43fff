/** The shell at a terminal. */
import type { LineEditor } from "../io/terminal.ts";
import type { Names } from "./complete.ts";
import type { History } from "./history.ts";
import { InputReader, oneLine } from "./parser.ts";
import type { Shell } from "./shell.ts";

const PROMPT = "dqlite> ";
const CONTINUATION = "   ...> ";
/** Names that completion asks for. */
const NAMES_MAX = 10_000;

/**
 * Reads statements and commands until the user leaves.
 *
 * @returns The exit status.
 */
export async function runInteractive(
  shell: Shell,
  editor: LineEditor,
  history: History,
): Promise<number> {
  const reader = new InputReader();
  /** The lines that the statement at hand was typed in. */
  let typed: string[] = [];
  while (shell.quitStatus === undefined) {
    const event = await editor.read(reader.pending === "" ? PROMPT : CONTINUATION);
    if (event.type === "end") break;
    if (event.type === "interrupt") {
      reader.discard();
      typed = [];
      continue;
    }
    typed.push(event.text);
    const inputs = reader.push(event.text);
    if (reader.pending === "") {
      // One entry for the whole statement, in place of one for each of its lines.
      history.add(oneLine(typed.join("\n")));
      editor.setHistory(history.entries);
      typed = [];
    }
    for (const input of inputs) {
      if (!await finished(shell.run(input), shell, editor)) break;
      if (shell.quitStatus !== undefined) break;
    }
  }
  return shell.quitStatus ?? 0;
}

/** The names that the database has now, for completion. */
export async function databaseNames(shell: Shell): Promise<Names> {
  const tables = await shell.query(
    `SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') LIMIT ${NAMES_MAX}`,
  );
  const columns = await shell.query(
    `SELECT DISTINCT c.name FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
      WHERE t.type IN ('table', 'view') LIMIT ${NAMES_MAX}`,
  );
  return {
    tables: tables.rows.map(([name]) => String(name)),
    columns: columns.rows.map(([name]) => String(name)),
  };
}

/** Waits for a statement, or for Ctrl-C. @returns False when it was interrupted. */
async function finished(
  running: Promise<boolean>,
  shell: Shell,
  editor: LineEditor,
): Promise<boolean> {
  const interrupted = editor.interrupted().then(() => "interrupted" as const);
  if (await Promise.race([running, interrupted]) !== "interrupted") return true;
  shell.interrupt();
  return false;
}
