/** `dqlite restore --archive`: a point in time, into a file, a new folder, or a running cluster. */
import type { Listing, Range } from "../archive/listing.ts";
import { timeText } from "../archive/point.ts";
import { DatabaseError } from "../base/errors.ts";
import { NodeDisk } from "../io/disk_node.ts";
import { temporaryFolder } from "../io/process.ts";
import { listArchive, openArchive, restoreArchive } from "../restore_archive.ts";
import { interruptOf, newProgress } from "./backup.ts";
import { type Call, EXIT } from "./command.ts";
import type { RESTORE_OPTIONS } from "./options.ts";
import { sizeText } from "./progress.ts";

type RestoreSettings = Call<typeof RESTORE_OPTIONS>["settings"];

/**
 * Restores a point, or lists what can be restored.
 *
 * @param put Puts a database file to where the settings say.
 * @throws {DatabaseError} why it cannot be restored.
 */
export async function restoreFromArchive(
  { settings, rest, program }: Call<typeof RESTORE_OPTIONS>,
  put: (path: string) => Promise<number>,
): Promise<number> {
  const { archive, cluster, at, to, dir, list } = settings;
  if (rest.length > 0) throw wrong("A point is restored from --archive, not from a file");
  if (to !== undefined && dir !== undefined) throw wrong("--to and --dir are two places");
  if (!list && at === undefined) {
    throw wrong("Which point?", "Name it with --at: an entry's index, a time, or latest");
  }
  const catalog = await openArchive({ where: archive!, clusterId: cluster, env: program.env });
  if (list) {
    program.stdout(listingText(catalog.clusterId, await listArchive(catalog)));
    return EXIT.ok;
  }
  const place = to === undefined ? temporaryFolder("dqlite-restore-") : undefined;
  const path = to ?? `${place!.path}/point.db`;
  const progress = newProgress(program);
  try {
    const rebuilt = await restoreArchive({
      catalog,
      point: at!,
      disk: new NodeDisk(),
      path,
      replace: settings.force,
      onProgress: (done, whole) => progress.showCount("rebuild: entry", done, whole),
      onDamage: (error) => program.stderr(`Warning: ${error.message}; begins earlier\n`),
      signal: interruptOf(program),
    });
    progress.end();
    const { index, timeMs, verifiedIndex } = rebuilt;
    const time = timeMs === 0 ? "" : `, ${timeText(timeMs)}`;
    const found = verifiedIndex === 0
      ? ""
      : `; the same as the cluster had at entry ${verifiedIndex}`;
    program.stdout(`${to ?? "The point"}: as of entry ${index}${time}, verified${found}\n`);
    return to === undefined ? await put(path) : EXIT.ok;
  } finally {
    progress.end();
    place?.remove();
  }
}

/** @throws {DatabaseError} `CONFIG` when something is asked for that only an archive has. */
export function requireNoArchiveOptions(settings: RestoreSettings): void {
  const { at, to, cluster, list } = settings;
  const [given] = Object.entries({ at, to, cluster, list })
    .filter(([, value]) => value !== undefined && value !== false);
  if (given !== undefined) throw wrong(`--${given[0]} goes with --archive`);
}

function listingText(clusterId: string, { ranges, gaps }: Listing): string {
  const lines = [
    `cluster ${clusterId}`,
    ...ranges.map((range) => ({ at: range.first, text: rangeText(range) }))
      .concat(gaps.map(({ first, last }) => ({
        at: first,
        text: `  entries ${first} to ${last}: missing, or without a base to begin with`,
      })))
      .sort((one, other) => one.at - other.at)
      .map(({ text }) => text),
  ];
  if (ranges.length === 0) lines.push("  nothing that can be restored yet");
  return `${lines.join("\n")}\n`;
}

function rangeText(range: Range): string {
  const { first, last, firstTimeMs, lastTimeMs, bases, sizeBytes } = range;
  const time = (timeMs: number) => timeMs === 0 ? "" : ` (${timeText(timeMs)})`;
  return `  points ${first}${time(firstTimeMs)} to ${last}${time(lastTimeMs)}: ` +
    `${bases} bases, ${sizeText(sizeBytes)} of log`;
}

function wrong(message: string, hint?: string): DatabaseError {
  return new DatabaseError("CONFIG", message, hint === undefined ? {} : { hint });
}
