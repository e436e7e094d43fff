/** What kind of statement a text begins with, guessed from its words alone: a hint for routing. */

/** Blanks, comments and empty statements. */
const BLANK = /(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[^]*?(?:\*\/|$))*/y;
/** A comment, a string, a quoted name, a word, or any other character. */
const TOKEN = new RegExp(
  [
    /--[^\n]*/,
    /\/\*[^]*?(?:\*\/|$)/,
    /'(?:[^']|'')*'?/,
    /"(?:[^"]|"")*"?/,
    /`(?:[^`]|``)*`?/,
    /\[[^\]]*\]?/,
    /\w+/,
    /[^]/,
  ].map((token) => token.source).join("|"),
  "g",
);

/** Statements of a WITH clause that write. */
const WRITES = new Set(["INSERT", "UPDATE", "DELETE", "REPLACE"]);

/** PRAGMAs that only read, also when they have an argument. */
const READING_PRAGMAS = new Set([
  "foreign_key_check",
  "foreign_key_list",
  "function_list",
  "index_info",
  "index_list",
  "index_xinfo",
  "integrity_check",
  "quick_check",
  "table_info",
  "table_list",
  "table_xinfo",
]);

/** PRAGMAs that do something, also when they have no argument. */
const DOING_PRAGMAS = new Set([
  "incremental_vacuum",
  "optimize",
  "shrink_memory",
  "wal_checkpoint",
]);

/** The first word of a text in upper case, comments passed over; empty when there is none. */
export function leadingKeyword(sql: string): string {
  return /^\w*/.exec(withoutBlank(sql))![0].toUpperCase();
}

/**
 * Whether the first statement of a text is most likely a read. SQLite has the last word: where this
 * errs, the statement is refused on a node that cannot write, or waits in vain for its turn.
 */
export function looksReadOnly(sql: string): boolean {
  switch (leadingKeyword(sql)) {
    case "SELECT":
    case "VALUES":
    case "EXPLAIN":
      return true;
    case "WITH":
      return !hasWritingWord(sql);
    case "PRAGMA":
      return pragmaReads(withoutBlank(sql));
    default:
      return false;
  }
}

function withoutBlank(sql: string): string {
  BLANK.lastIndex = 0;
  BLANK.test(sql);
  return sql.slice(BLANK.lastIndex);
}

/** Quoted names and strings do not count, and neither does the function `replace(…)`. */
function hasWritingWord(sql: string): boolean {
  let word = "";
  for (const [token] of sql.matchAll(TOKEN)) {
    if (/^(?:\s|--|\/\*)/.test(token)) continue;
    if (word !== "" && token !== "(") return true;
    word = WRITES.has(token.toUpperCase()) ? token : "";
  }
  return false;
}

function pragmaReads(sql: string): boolean {
  const match = /^PRAGMA\s+(?:\w+\s*\.\s*)?(\w+)\s*(.?)/is.exec(sql);
  if (match === null) return false;
  const name = match[1]!.toLowerCase();
  const next = match[2];
  if (READING_PRAGMAS.has(name)) return true;
  return !DOING_PRAGMAS.has(name) && next !== "=" && next !== "(";
}
