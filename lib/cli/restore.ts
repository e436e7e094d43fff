/** `dqlite restore`: a SQLite file, or a point in time, becomes the content of a cluster. */
import { DatabaseError } from "../base/errors.ts";
import { SeededRandom } from "../base/random.ts";
import { connect } from "../client/client.ts";
import { systemClock } from "../io/clock.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { randomHex, randomU32 } from "../io/entropy.ts";
import type { Program } from "../io/program.ts";
import { foundFolder } from "../node_founding.ts";
import { restoreFile } from "../restore_file.ts";
import { interruptOf, newCalls, newProgress } from "./backup.ts";
import { type Call, EXIT } from "./command.ts";
import type { RESTORE_OPTIONS } from "./options.ts";
import { sizeText } from "./progress.ts";
import { requireNoArchiveOptions, restoreFromArchive } from "./restore_archive.ts";

/**
 * Restores into a cluster that runs, or into a folder of a new one.
 *
 * @throws {DatabaseError} why it did not take effect, or that this is not known.
 */
export async function restore(call: Call<typeof RESTORE_OPTIONS>): Promise<number> {
  const { settings, rest } = call;
  if (settings.archive !== undefined) {
    return await restoreFromArchive(call, (path) => put(path, call));
  }
  requireNoArchiveOptions(settings);
  const [path] = rest;
  if (path === undefined || rest.length > 1) {
    throw new DatabaseError("CONFIG", `restore takes one file, not ${rest.length}`);
  }
  return await put(path, call);
}

/** Puts a file into a cluster that runs, or into a new folder. */
async function put(
  path: string,
  { settings, program }: Call<typeof RESTORE_OPTIONS>,
): Promise<number> {
  if (settings.dir !== undefined) {
    if (settings.db === undefined) return await found(path, settings.dir, program);
    throw new DatabaseError(
      "CONFIG",
      "A new cluster begins with main: --db does not go with --dir",
    );
  }
  const progress = newProgress(program);
  const calls = newCalls(settings.url, interruptOf(program));
  const { db } = settings;
  const client = connect({ urls: settings.url, ...db !== undefined && { database: db } });
  try {
    const { url, index, sizeBytes } = await restoreFile({
      disk: new NodeDisk(),
      client,
      calls,
      urls: settings.url,
      path,
      database: db,
      force: settings.force,
      onProgress: (done, whole) => progress.show("restore", done, whole),
    });
    progress.end();
    program.stdout(
      `${path}: ${
        sizeText(sizeBytes)
      } are the cluster's database since entry ${index}, by ${url}\n`,
    );
    return EXIT.ok;
  } finally {
    progress.end();
    client.close();
  }
}

/** Makes a folder from which a new cluster of one node starts. */
async function found(path: string, dir: string, program: Program): Promise<number> {
  await foundFolder({
    disk: new NodeDisk(),
    dir,
    path,
    clock: systemClock,
    random: new SeededRandom(randomU32()),
    clusterId: randomHex(16),
  });
  program.stdout(
    `${dir} begins a new cluster of one node with the content of ${path}:\n` +
      `  dqlite serve --dir ${dir}\n`,
  );
  return EXIT.ok;
}
