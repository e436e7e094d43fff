/** Tables of plain text, readable as Markdown too. */

/** The first line holds the headings; the first `left` columns are texts, the others numbers. */
export function textTable(lines: readonly (readonly string[])[], left: number): string {
  const widths = lines[0]!.map((_, column) => {
    return Math.max(...lines.map((line) => line[column]!.length));
  });
  const format = (line: readonly string[]) => {
    const cells = line.map((cell, column) => {
      return column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
    });
    return `| ${cells.join(" | ")} |`;
  };
  const rule = `|${
    widths.map((width, column) => "-".repeat(width + 1) + (column < left ? "-" : ":")).join("|")
  }|`;
  return [format(lines[0]!), rule, ...lines.slice(1).map(format)].join("\n");
}

/** A number with a sensible number of digits; empty when it is not known. */
export function figure(value: number | undefined): string {
  if (value === undefined || value === null || Number.isNaN(value)) return "";
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 4);
}
