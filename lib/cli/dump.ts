/** `dqlite dump`: the database of a cluster as SQL, as of one moment. */
import { writeBackup } from "../backup_file.ts";
import { DatabaseError } from "../base/errors.ts";
import { systemClock } from "../io/clock.ts";
import type { Disk } from "../io/disk.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { NewFile } from "../io/new_file.ts";
import { temporaryFolder } from "../io/process.ts";
import { FileQuery } from "../file_query.ts";
import { dumpAll, quotedName } from "../shell/dump.ts";
import { interruptOf, newCalls, newProgress } from "./backup.ts";
import { type Call, EXIT } from "./command.ts";
import type { DUMP_OPTIONS } from "./options.ts";

/** Text that is kept before it is written. */
const KEPT_CHARS = 64 * 1024;

/**
 * Takes a backup into a temporary folder and writes it down as SQL: no node works for a reader that
 * is slow, and memory stays small whatever there is to write.
 *
 * @throws {DatabaseError} why there is no dump; no file is left behind then.
 */
export async function dump(
  { settings, rest, program }: Call<typeof DUMP_OPTIONS>,
): Promise<number> {
  const [path] = rest;
  if (rest.length > 1) {
    throw new DatabaseError("CONFIG", `dump takes one file, not ${rest.length}`);
  }
  const disk = new NodeDisk();
  const signal = interruptOf(program);
  const folder = temporaryFolder("dqlite-dump-");
  const progress = newProgress(program);
  try {
    using file = path === undefined
      ? undefined
      : new NewFile(disk, path, { replace: settings.force });
    const copy = `${folder.path}/main.db`;
    await writeBackup({
      disk,
      calls: newCalls(settings.url, signal),
      path: copy,
      database: settings.db,
      replace: false,
      stale: false,
      // Its checksum holds, and the dump reads all of it.
      verify: false,
      onProgress: (done, whole) => progress.show("dump", done, whole),
    });
    progress.end();
    const encoder = new TextEncoder();
    const write = (text: string) =>
      file === undefined ? program.stdout(text) : file.write(encoder.encode(text));
    await dumpFile(disk, copy, write, signal);
    file?.publish();
    return EXIT.ok;
  } finally {
    progress.end();
    folder.remove();
  }
}

async function dumpFile(
  disk: Disk,
  path: string,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  using database = await FileQuery.open(disk, path);
  let kept = "";
  const flush = () => {
    write(kept);
    kept = "";
  };
  await dumpAll({
    query: (sql, args) => Promise.resolve(database.query(sql, args as string[])),
    async *rows(table, columns) {
      const sql = `SELECT ${columns.map(quotedName).join(",")} FROM ${quotedName(table)}`;
      for (const rows of database.rows(sql)) {
        yield* rows;
        // Ctrl-C is heard only between two turns of the loop.
        await new Promise<void>((resolve) => void systemClock.after(0, resolve));
        if (signal.aborted) throw new DatabaseError("CLOSED", "Interrupted");
      }
    },
    print(text) {
      kept += text;
      if (kept.length >= KEPT_CHARS) flush();
    },
  }, "%");
  flush();
}
