/** What a session does to SQL text before SQLite sees it. */
import { beginsReadOnly, mayBegin } from "./routing.ts";

const BEGIN_CONCURRENT = /^\s*begin\s+concurrent(\s+transaction)?\s*;?\s*$/i;
const SPACE = /\s/;

/** Whether the text holds no statement: only white space, comments and semicolons. */
export function isBlank(sql: string): boolean {
  let at = 0;
  while (at < sql.length) {
    const next = sql[at]!;
    if (next === ";" || SPACE.test(next)) at++;
    else if (sql.startsWith("--", at)) at = endOf(sql, "\n", at + 2);
    else if (sql.startsWith("/*", at)) at = endOf(sql, "*/", at + 2);
    else return false;
  }
  return true;
}

/** Where a comment ends; one that is never closed ends with the text. */
function endOf(sql: string, end: string, from: number): number {
  const found = sql.indexOf(end, from);
  return found < 0 ? sql.length : found + end.length;
}

/**
 * Puts the transaction forms that libSQL clients send, and SQLite does not know, into SQLite's
 * words.
 */
export function translate(sql: string): string {
  if (!mayBegin(sql)) return sql;
  if (beginsReadOnly(sql)) return "BEGIN DEFERRED";
  if (BEGIN_CONCURRENT.test(sql)) return "BEGIN IMMEDIATE";
  return sql;
}
