/** A point in time out of an archive, as a plain SQLite file. */
import { openLibrary } from "../ffi/open.ts";
import { Catalog } from "./archive/catalog.ts";
import { type Listing, listingOf } from "./archive/listing.ts";
import { planOf } from "./archive/plan.ts";
import type { Point } from "./archive/point.ts";
import { DamagedStart, rebuild, type RebuildOptions, type Rebuilt } from "./archive/rebuild.ts";
import { DatabaseError, messageOf } from "./base/errors.ts";
import { checkIntegrity, openDatabaseFile } from "./database/database_file.ts";
import type { Disk } from "./io/disk.ts";
import { isDiskFull } from "./io/disk_full.ts";
import { parentFolder } from "./io/folder.ts";
import { randomHex } from "./io/entropy.ts";
import { openObjectStore } from "./io/object_store_open.ts";

/** Which archive is meant. */
export interface ArchiveChoice {
  /** A folder, or `s3://BUCKET/PREFIX`. */
  readonly where: string;
  /** Which cluster, when it holds several. */
  readonly clusterId?: string | undefined;
  /** Where credentials are; that of the process by default. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** What restoring needs. */
export interface RestoreArchiveOptions {
  readonly catalog: Catalog;
  readonly point: Point;
  readonly disk: Disk;
  /** The file to make. */
  readonly path: string;
  /** Whether a file that is there already is replaced. */
  readonly replace: boolean;
  readonly onProgress: RebuildOptions["onProgress"];
  /** Something is damaged, but the point can be rebuilt without it. */
  readonly onDamage: (error: DatabaseError) => void;
  readonly signal: AbortSignal;
}

/**
 * The archive of one cluster.
 *
 * @throws {DatabaseError} `CONFIG` when it holds none, or several and none is named; those of the
 * store.
 */
export async function openArchive({ where, clusterId, env }: ArchiveChoice): Promise<Catalog> {
  const store = env === undefined ? openObjectStore(where) : openObjectStore(where, env);
  const clusters = await Catalog.clusters(store);
  if (clusterId !== undefined && clusters.includes(clusterId)) return new Catalog(store, clusterId);
  if (clusterId === undefined && clusters.length === 1) return new Catalog(store, clusters[0]!);
  if (clusters.length === 0) throw new DatabaseError("CONFIG", `${store.where} holds no archive`);
  const problem = clusterId === undefined
    ? `holds the archives of ${clusters.length} clusters`
    : `holds nothing of the cluster ${clusterId}`;
  throw new DatabaseError("CONFIG", `${store.where} ${problem}`, {
    hint: `Name one with --cluster: ${clusters.join(", ")}`,
  });
}

/** Which points an archive can restore. */
export function listArchive(catalog: Catalog): Promise<Listing> {
  return listingOf(catalog);
}

/**
 * Rebuilds a point, has SQLite look for damage, and gives the file its name.
 *
 * @throws {DatabaseError} `CONFIG` when the point is not in the archive, or the file is there;
 * `CORRUPT`, naming the object, when something is missing or damaged; `CLOSED` after the signal. No
 * file is left behind.
 */
export async function restoreArchive(options: RestoreArchiveOptions): Promise<Rebuilt> {
  const { catalog, point, disk, path } = options;
  requireFree(options);
  const plan = await planOf(catalog, point);
  const library = await openLibrary();
  let firstDamage: DatabaseError | undefined;
  for (const start of plan.starts) {
    const folder = `${path}.partial-${randomHex(4)}`;
    try {
      disk.createFolder(folder);
      const rebuilt = await rebuild({ ...options, start, index: plan.index, library, folder });
      {
        using connection = openDatabaseFile(library, disk, rebuilt.path);
        checkIntegrity(connection, "integrity_check");
      }
      disk.rename(rebuilt.path, path);
      disk.syncFolder(parentFolder(path));
      return rebuilt;
    } catch (error) {
      if (!(error instanceof DamagedStart)) throw explain(path, error);
      firstDamage ??= error.reason;
      options.onDamage(error.reason);
    } finally {
      disk.removeFolder(folder);
    }
  }
  throw firstDamage!;
}

function requireFree({ disk, path, replace }: RestoreArchiveOptions): void {
  if (disk.exists(path) && !replace) {
    throw new DatabaseError("CONFIG", `${path} exists already`, {
      hint: "Name another file, or replace that one with --force",
    });
  }
  // SQLite would take a journal that lies beside the file for one of the new file.
  for (const journal of [`${path}-wal`, `${path}-journal`]) {
    if (!disk.exists(journal)) continue;
    throw new DatabaseError("CONFIG", `${journal} would be taken for a part of the new file`, {
      hint: "A program may use the database there; name another file, or remove both",
    });
  }
}

function explain(path: string, error: unknown): unknown {
  if (error instanceof DatabaseError) {
    if (error.sqliteName !== "SQLITE_FULL") return error;
    return new DatabaseError("DISK_FULL", `The disk is full: ${path} cannot be written`);
  }
  const full = isDiskFull(error);
  return new DatabaseError(
    full ? "DISK_FULL" : "DISK",
    full
      ? `The disk is full: ${path} cannot be written`
      : `Cannot write ${path}: ${messageOf(error)}`,
    { outcome: "rejected", cause: error },
  );
}
