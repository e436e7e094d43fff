/** Which databases a node has, as it tells another one. */
import { type ByteReader, type ByteWriter, FormatError } from "../base/bytes.ts";
import { DATABASES_MAX } from "../base/limits.ts";
import type { LogIndex } from "../raft/types.ts";
import { MAIN_DATABASE_ID, MAIN_DATABASE_NAME } from "./command.ts";
import { isDatabaseName } from "./database_name.ts";

/** A database, as the log knows it. */
export interface DatabaseEntry {
  readonly id: number;
  readonly name: string;
  /** The entry that created it. */
  readonly createdIndex: LogIndex;
}

/** All databases at one moment. */
export interface DatabaseList {
  /** The highest id that was ever given. */
  readonly lastId: number;
  /** By id, ascending; the first one is always there. */
  readonly databases: readonly DatabaseEntry[];
}

/** The databases of a node before any was created beside the first. */
export const MAIN_ALONE: DatabaseList = {
  lastId: MAIN_DATABASE_ID,
  databases: [{ id: MAIN_DATABASE_ID, name: MAIN_DATABASE_NAME, createdIndex: 0 }],
};

/** Writes `u32 last id · u16 count · count × (u32 id · text name · u53 created index)`. */
export function writeDatabaseList(writer: ByteWriter, { lastId, databases }: DatabaseList): void {
  writer.u32(lastId).u16(databases.length);
  for (const { id, name, createdIndex } of databases) writer.u32(id).text(name).u53(createdIndex);
}

/** @throws {FormatError} when no node can have such databases. */
export function readDatabaseList(reader: ByteReader): DatabaseList {
  const [lastId, count] = [reader.u32(), reader.u16()];
  if (count > DATABASES_MAX) throw new FormatError(`${count} databases`);
  const databases: DatabaseEntry[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const entry = { id: reader.u32(), name: reader.text(), createdIndex: reader.u53() };
    const isNext = entry.id > (databases.at(-1)?.id ?? 0) && entry.id <= lastId;
    if (!isNext || !isDatabaseName(entry.name) || names.has(entry.name)) {
      throw new FormatError(`Database ${entry.id} of ${lastId} is out of place`);
    }
    names.add(entry.name);
    databases.push(entry);
  }
  if (databases[0]?.id !== MAIN_DATABASE_ID) throw new FormatError("The first database is missing");
  return { lastId, databases };
}
