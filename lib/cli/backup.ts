/** `dqlite backup FILE`: the database of a cluster as a plain SQLite file. */
import { writeBackup } from "../backup_file.ts";
import { DatabaseError } from "../base/errors.ts";
import { NodeCalls } from "../client/node_calls.ts";
import { systemClock } from "../io/clock.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { standardError } from "../io/process.ts";
import type { Program } from "../io/program.ts";
import { type Call, EXIT } from "./command.ts";
import type { BACKUP_OPTIONS } from "./options.ts";
import { Progress, sizeText } from "./progress.ts";

/**
 * Takes the backup.
 *
 * @throws {DatabaseError} why there is none; nothing is left behind then.
 */
export async function backup(
  { settings, rest, program }: Call<typeof BACKUP_OPTIONS>,
): Promise<number> {
  const [path] = rest;
  if (path === undefined || rest.length > 1) {
    throw new DatabaseError("CONFIG", `backup takes one file, not ${rest.length}`);
  }
  const progress = newProgress(program);
  try {
    const { url, index, sizeBytes } = await writeBackup({
      disk: new NodeDisk(),
      calls: newCalls(settings.url, interruptOf(program)),
      path,
      database: settings.db,
      replace: settings.force,
      verify: !settings.noVerify,
      stale: settings.stale,
      onProgress: (done, whole) => progress.show("backup", done, whole),
    });
    progress.end();
    const checked = settings.noVerify ? "" : ", verified";
    program.stdout(`${path}: ${sizeText(sizeBytes)} as of entry ${index}, from ${url}${checked}\n`);
    return EXIT.ok;
  } finally {
    progress.end();
  }
}

/** Progress on the terminal, if standard error is one. */
export function newProgress(program: Program): Progress {
  const { isTerminal } = standardError;
  return new Progress({ clock: systemClock, isTerminal, write: (text) => program.stderr(text) });
}

/** Aborts when the program is asked to end, such as by Ctrl-C. */
export function interruptOf(program: Program): AbortSignal {
  const interrupt = new AbortController();
  program.onStopRequest(() => interrupt.abort());
  return interrupt.signal;
}

/** Calls of the nodes, until the signal. */
export function newCalls(urls: readonly string[], signal: AbortSignal): NodeCalls {
  const fetch: typeof globalThis.fetch = globalThis.fetch;
  return new NodeCalls({
    urls,
    fetch: (url, init) => fetch(url, init),
    clock: systemClock,
    signal,
  });
}
