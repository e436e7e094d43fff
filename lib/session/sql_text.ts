/** What a session does to SQL text before SQLite sees it. */
import { beginsReadOnly } from "./routing.ts";

const BEGIN_CONCURRENT = /^\s*begin\s+concurrent(\s+transaction)?\s*;?\s*$/i;
const BLANK = /^(?:\s|;|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$))*$/;

/** Whether the text holds no statement: only white space, comments and semicolons. */
export function isBlank(sql: string): boolean {
  return BLANK.test(sql);
}

/**
 * Puts the transaction forms that libSQL clients send, and SQLite does not know, into SQLite's
 * words.
 */
export function translate(sql: string): string {
  if (beginsReadOnly(sql)) return "BEGIN DEFERRED";
  if (BEGIN_CONCURRENT.test(sql)) return "BEGIN IMMEDIATE";
  return sql;
}
