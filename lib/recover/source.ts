/** What a new cluster can be made of: the longest history in a folder that its database fits. */
import { DatabaseError } from "../base/errors.ts";
import type { EntryTable } from "../log/entry_table.ts";
import type { LogPoint } from "../log/batch.ts";
import { EMPTY_CONFIGURATION } from "../raft/configuration.ts";
import type { Configuration, LogIndex, Term } from "../raft/types.ts";
import type { CheckpointRecord } from "../replica/checkpoint_record.ts";
import { CHAIN_START, chainEquals } from "../wire/chain.ts";

/** See the file comment. */
export interface Source {
  /** What comes before the first entry of the new log. */
  readonly base: LogPoint;
  /** Entries that follow it, one table after the other. */
  readonly tables: readonly EntryTable[];
  /** The database files hold every entry up to here. */
  readonly completeIndex: LogIndex;
  /** The database files count for nothing: they are made anew from the first entry on. */
  readonly freshDatabase: boolean;
  /** The database file differed from those of the others after this entry; some pages are wrong. */
  readonly diverged?: LogIndex | undefined;
  /** The last entry, from which back to the base nothing is missing. */
  readonly last: LogPoint;
  /** The latest configuration up to the last entry; nobody is in it when none can be read. */
  readonly configuration: Configuration;
}

/** What the files of a folder tell. */
export interface FolderFiles {
  readonly dir: string;
  /** The entries that can be read; more than one table when damage hides what is between. */
  readonly tables: readonly EntryTable[];
  /** The error when its record is damaged. */
  readonly checkpoint: CheckpointRecord | DatabaseError;
  /** Whether the files of all databases are there. */
  readonly hasDatabase: boolean;
}

/**
 * Finds the source in a folder.
 *
 * @throws {DatabaseError} `CORRUPT` when nothing can be made of what is there.
 */
export function findSource({ dir, tables, checkpoint, hasDatabase }: FolderFiles): Source {
  const fromStart = tables.some((table) => table.base.index === 0 && table.lastIndex > 0);
  // While a snapshot comes into the file, nothing in it counts.
  const freshDatabase = checkpoint instanceof DatabaseError || !hasDatabase ||
    checkpoint.installing === true;
  if (freshDatabase && !fromStart) {
    if (checkpoint instanceof DatabaseError) throw checkpoint;
    throw hopeless(dir, "it has neither its first entry nor a database file");
  }
  const { completeIndex, fuzzyIndex, installed, diverged } = freshDatabase
    ? { completeIndex: 0, fuzzyIndex: 0 } as CheckpointRecord
    : checkpoint;
  const at = tables.findLastIndex((table) =>
    table.base.index <= completeIndex && completeIndex <= table.lastIndex && table.lastIndex > 0
  );
  if (at < 0 && completeIndex === 0) {
    throw hopeless(dir, "it has neither its first entry nor a checkpoint");
  }
  const used = at < 0 ? [] : joined(tables.slice(at));
  const before: LogPoint = installed ??
    { index: completeIndex, term: termBefore(tables, completeIndex), chain: CHAIN_START };
  const last = used.at(-1)?.last ?? before;
  if (fuzzyIndex > last.index) {
    const what =
      `its last checkpoint was cut off, and not all entries up to ${fuzzyIndex} can be read`;
    throw hopeless(dir, what);
  }
  return {
    base: used[0]?.base ?? before,
    tables: used,
    completeIndex,
    freshDatabase,
    diverged,
    last,
    configuration: used.length === 0
      ? installed?.configuration ?? configurationBefore(tables, completeIndex)
      : configurationOf(used),
  };
}

/** The entry at `index`, or what the source begins after; undefined when it is neither. */
export function pointAt({ tables }: Pick<Source, "tables">, index: LogIndex): LogPoint | undefined {
  const table = tables.find(({ base, lastIndex }) => base.index <= index && index <= lastIndex);
  return table?.pointAt(index);
}

/** The first table, and those that follow without a gap: what is damaged in between was empty. */
function joined(tables: readonly EntryTable[]): readonly EntryTable[] {
  const used: EntryTable[] = [tables[0]!];
  for (const next of tables.slice(1)) {
    const { index, chain } = used.at(-1)!.last;
    if (next.base.index !== index || !chainEquals(next.base.chain, chain)) break;
    used.push(next);
  }
  return used;
}

function configurationOf(tables: readonly EntryTable[]): Configuration {
  const told = tables.map((table) => table.configuration);
  return told.findLast(({ members }) => members.length > 0) ?? EMPTY_CONFIGURATION;
}

function configurationBefore(tables: readonly EntryTable[], index: LogIndex): Configuration {
  return configurationOf(tables.filter((table) => table.lastIndex <= index));
}

/** The term of the last entry up to `index` that is known. */
function termBefore(tables: readonly EntryTable[], index: LogIndex): Term {
  const before = tables.filter((table) => table.lastIndex <= index);
  return Math.max(1, ...before.map((table) => table.last.term));
}

function hopeless(dir: string, missing: string): DatabaseError {
  return new DatabaseError("CORRUPT", `${dir} cannot be recovered: ${missing}`, {
    hint: "Nothing was changed. The database file may still be read by SQLite's own tools.",
  });
}
