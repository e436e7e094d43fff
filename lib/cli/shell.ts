import { VERSION } from "../base/version.ts";
import { connect } from "../client/client.ts";
import { systemClock } from "../io/clock.ts";
import { homePath, readTextIfAny, writePrivateText } from "../io/program.ts";
import { isInteractive, openEditor, stdinLines } from "../io/terminal.ts";
import { complete, type Names } from "../shell/complete.ts";
import { History, HISTORY_MAX, type HistoryFile } from "../shell/history.ts";
import { databaseNames, runInteractive } from "../shell/interactive.ts";
import { Shell } from "../shell/shell.ts";
import { newCalls } from "./backup.ts";
import { type Call, EXIT } from "./command.ts";
import type { SHELL_OPTIONS } from "./options.ts";

/** The file in the home folder that keeps what was typed. */
const HISTORY_FILE = ".dqlite_history";

/** `dqlite shell`: statements from arguments, from a script on stdin, or from a terminal. */
export async function shell(call: Call<typeof SHELL_OPTIONS>): Promise<number> {
  const { settings, rest, program } = call;
  const interactive = rest.length === 0 && isInteractive();
  const connectTo = (database: string | undefined) =>
    connect({
      urls: settings.url,
      timeoutMs: settings.timeout * 1000,
      ...database !== undefined && { database },
    });
  const calls = newCalls(settings.url, new AbortController().signal);
  const shell = new Shell({
    connect: connectTo,
    database: settings.db,
    listDatabases: () => calls.databases(),
    interactive,
    settings: {
      mode: settings.mode ?? (interactive ? "box" : "list"),
      headers: undefined,
      nullText: "",
      table: "table",
      timer: false,
      changes: false,
      bail: !interactive,
    },
    stdout: (text) => program.stdout(text),
    stderr: (text) => program.stderr(text),
    readTextFile: (path) => program.readTextFile(path),
    nowMs: () => systemClock.nowMs(),
  });
  try {
    if (interactive) return await atTerminal(shell, call);
    return await asScript(shell, rest);
  } finally {
    shell.close();
  }
}

async function asScript(shell: Shell, texts: readonly string[]): Promise<number> {
  const scripts = texts.length === 0 ? [stdinLines()] : texts.map((text) => text.split("\n"));
  let good = true;
  for (const lines of scripts) {
    if (!await shell.runScript(lines)) good = false;
    if (shell.quitStatus !== undefined) return shell.quitStatus;
    if (!good && shell.settings.bail) break;
  }
  return good ? EXIT.ok : EXIT.failure;
}

async function atTerminal(
  shell: Shell,
  { settings, program }: Call<typeof SHELL_OPTIONS>,
): Promise<number> {
  program.stdout(`dqlite ${VERSION}, cluster at ${settings.url.join(", ")}\n`);
  program.stdout('Enter ".help" for usage hints.\n');
  const history = new History(historyFile());
  const editor = openEditor({
    history: history.entries,
    historyMax: HISTORY_MAX,
    complete: async (line) => complete(line, await namesOrNone(shell)),
  });
  try {
    return await runInteractive(shell, editor, history);
  } finally {
    editor.close();
  }
}

/** Completion goes on without names when the cluster does not answer. */
async function namesOrNone(shell: Shell): Promise<Names> {
  try {
    return await databaseNames(shell);
  } catch {
    return { tables: [], columns: [] };
  }
}

function historyFile(): HistoryFile {
  const path = homePath(HISTORY_FILE);
  return {
    read: () => path === undefined ? undefined : readTextIfAny(path),
    write: (text) => path === undefined ? undefined : writePrivateText(path, text),
  };
}
