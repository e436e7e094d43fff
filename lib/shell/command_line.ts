/** The words of a dot-command; pure. */
import { ShellError } from "./host.ts";

/**
 * Splits a command into its words. Single quotes keep everything, double quotes know `\n`, `\t`,
 * `\"` and `\\`.
 *
 * @throws {ShellError} when a quote is not closed.
 */
export function splitCommand(text: string): string[] {
  const words: string[] = [];
  const pattern = /\s*(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|([^\s'"]\S*))/y;
  while (pattern.lastIndex < text.trimEnd().length) {
    const at = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null) throw new ShellError(`Unclosed quote: ${text.slice(at).trim()}`);
    const [, single, double, bare] = match;
    words.push(single ?? bare ?? unescaped(double!));
  }
  return words;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => ESCAPES[char] ?? char);
}
