/** Where the files of databases are in a data folder. */
import { MAIN_DATABASE_ID } from "../wire/command.ts";

export const PAGE_HASHES_SUFFIX = ".page_hashes";

/** The folder of all databases but the first. */
export function databasesFolder(folder: string): string {
  return `${folder}/databases`;
}

/** The database file. */
export function databasePath(folder: string, id = MAIN_DATABASE_ID): string {
  return id === MAIN_DATABASE_ID ? `${folder}/main.db` : `${databasesFolder(folder)}/${id}.db`;
}

/** What its pages should hold. */
export function pageHashesPath(folder: string, id = MAIN_DATABASE_ID): string {
  return id === MAIN_DATABASE_ID
    ? `${folder}/page_hashes`
    : `${databasesFolder(folder)}/${id}${PAGE_HASHES_SUFFIX}`;
}

/** All files that a database may have. */
export function databaseFiles(folder: string, id: number): string[] {
  const path = databasePath(folder, id);
  return [path, `${path}-wal`, `${path}-shm`, pageHashesPath(folder, id)];
}
