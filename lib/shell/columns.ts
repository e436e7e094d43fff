import { textWidth } from "./width.ts";

/** Cells that a list of names may take. */
const LINE_WIDTH = 80;

/** Names in columns, read downwards, as `ls` lists files; pure. */
export function nameColumns(names: readonly string[]): string {
  if (names.length === 0) return "";
  const width = Math.max(...names.map(textWidth));
  const perLine = Math.max(1, Math.floor(LINE_WIDTH / (width + 2)));
  const lines = Math.ceil(names.length / perLine);
  let text = "";
  for (let line = 0; line < lines; line++) {
    const row = names.filter((_, i) => i % lines === line);
    text += row.map((name) => name + " ".repeat(width - textWidth(name))).join("  ") + "\n";
  }
  return text;
}
