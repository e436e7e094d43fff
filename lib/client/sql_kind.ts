/** What a client can tell of a statement by its words, always in doubt on the safe side; pure. */

/** Statements that cannot write, whatever follows their first word. */
const READS = /^(?:select|values|explain)\b/i;
const WITH = /^with\b/i;
const WRITING_WORDS = /\b(?:insert|update|delete|replace)\b/i;
const SPACE_AND_COMMENTS = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$))+/;

/** Words that can end a transaction by making it last. */
const COMMITTING_WORDS = /\b(?:commit|end|release)\b/i;

/** Whether a text may hold a statement that commits. In doubt it does. */
export function mayCommit(sql: string): boolean {
  return COMMITTING_WORDS.test(sql);
}

/** Whether a statement certainly only reads. In doubt it does not. */
export function isRead(sql: string): boolean {
  const text = sql.replace(SPACE_AND_COMMENTS, "");
  if (READS.test(text)) return true;
  return WITH.test(text) && !WRITING_WORDS.test(text);
}
