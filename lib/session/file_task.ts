/** Work on the pages of the database file, done by a worker for the node itself. */
import type { Connection } from "../database/connection.ts";
import {
  damagedPages,
  type PageSet,
  readPages,
  repairPages,
  type Scrubbed,
  scrubPages,
} from "../database/page_integrity.ts";

/** What there is to do. */
export type FileTask =
  /** Verifies `count` pages from `first` on. */
  | { readonly type: "scrub"; readonly first: number; readonly count: number }
  /** Lists pages that are known to be damaged. */
  | { readonly type: "damaged"; readonly max: number }
  /** Reads pages for another node. */
  | { readonly type: "read"; readonly pages: readonly number[]; readonly bytesMax: number }
  /** Writes pages over damaged ones. */
  | { readonly type: "repair"; readonly set: PageSet };

/** What comes of each task. */
export interface FileTaskResults {
  readonly scrub: Scrubbed;
  readonly damaged: readonly number[];
  readonly read: PageSet;
  /** Pages written; undefined while a checkpoint runs. */
  readonly repair: number | undefined;
}

/** Any of {@linkcode FileTaskResults}. */
export type FileTaskResult = FileTaskResults[FileTask["type"]];

/**
 * Does a task on a connection that is outside a transaction.
 *
 * @throws {DatabaseError} `SQLITE` when the file cannot be read or written.
 */
export function runFileTask(connection: Connection, task: FileTask): FileTaskResult {
  switch (task.type) {
    case "scrub":
      return scrubPages(connection, task.first, task.count);
    case "damaged":
      return damagedPages(connection, task.max);
    case "read":
      return readPages(connection, task.pages, task.bytesMax);
    case "repair":
      return repairPages(connection, task.set);
  }
}
