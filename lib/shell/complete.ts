/** What the tab key offers; pure. */
import { DOT_COMMANDS } from "./dot_commands.ts";
import { KEYWORDS } from "./keywords.ts";
import { MODE_NAMES } from "./modes.ts";
import { identifier } from "./value_text.ts";

/** The names of a database. */
export interface Names {
  readonly tables: readonly string[];
  readonly columns: readonly string[];
}

/** Candidates that are offered at once. */
const CANDIDATES_MAX = 200;
/** Words that a name of a table follows. */
const BEFORE_TABLE = /\b(?:from|join|into|update|table|on)\s+$/i;
/** Commands that a name of a table follows. */
const TABLE_COMMANDS = /^\.(?:schema|tables|indexes|dump)\s+$/;

/**
 * The candidates for the word at the end of a line.
 *
 * @param line What was typed, up to the cursor.
 * @returns The candidates, and the part of the line that they take the place of.
 */
export function complete(line: string, names: Names): [string[], string] {
  const word = /[\w$\u0080-\uffff]*$/.exec(line)![0];
  const before = line.slice(0, line.length - word.length);
  if (before === ".") return offer(DOT_COMMANDS.map(({ name }) => name), word);
  if (/^\.mode\s+$/.test(before)) return offer(MODE_NAMES, word);
  if (TABLE_COMMANDS.test(before)) return offer(names.tables, word);
  if (line.startsWith(".")) return [[], word];
  const tables = names.tables.map(identifier);
  if (BEFORE_TABLE.test(before)) return offer(tables, word);
  if (word === "") return [[], word];
  const columns = names.columns.map(identifier);
  // Keywords in the case in which they were begun.
  const lower = word === word.toLowerCase();
  const keywords = [...KEYWORDS].map((keyword) => lower ? keyword.toLowerCase() : keyword);
  return offer([...tables, ...columns, ...keywords], word);
}

function offer(candidates: readonly string[], word: string): [string[], string] {
  const start = word.toLowerCase();
  const fitting = candidates.filter((candidate) => candidate.toLowerCase().startsWith(start));
  return [[...new Set(fitting)].sort().slice(0, CANDIDATES_MAX), word];
}
