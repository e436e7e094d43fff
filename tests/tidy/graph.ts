/** The graph of imports: who imports whom, and whether the table of layers allows it. */
import { dirname, posix } from "node:path";
import type { SourceFile } from "./source_file.ts";

/** An import of one file of the repository by another. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly line: number;
}

/** The table of layers, from top to bottom; "everything" stands for all rows. */
export type Layers = ReadonlyMap<string, readonly string[]>;

/** Reads the table between the two markers of ARCHITECTURE.md. */
export function parseLayers(markdown: string): Layers {
  const found = /<!-- layers -->([\s\S]*?)<!-- \/layers -->/.exec(markdown);
  if (found === null) throw new Error("ARCHITECTURE.md has no table between the layers markers");
  const layers = new Map<string, readonly string[]>();
  for (const line of found[1]!.split("\n")) {
    const row = /^\| `([^`]+)` \|(.*)\|$/.exec(line);
    if (row === null) continue;
    const names = row[2]!.trim().replaceAll("`", "");
    layers.set(row[1]!, names === "" ? [] : names.split(/, */));
  }
  return layers;
}

/** Relative imports as edges; files that are only built (`../build/…`) are not in the graph. */
export function edgesOf(files: readonly SourceFile[]): Edge[] {
  return files.flatMap((file) =>
    file.imports
      .filter((one) => one.specifier.startsWith(".") && !one.specifier.startsWith("../build/"))
      .map((one) => ({
        from: file.path,
        to: posix.normalize(posix.join(dirname(file.path), one.specifier)),
        line: one.line,
      }))
  );
}

/**
 * The row of the table that holds for a file: its own, or that of the nearest folder. The row of
 * `lib` holds for the files beside its folders only, so that a new folder needs a row.
 */
export function layerOf(path: string, layers: Layers): string | undefined {
  for (let name = path; name !== "."; name = dirname(name)) {
    if (layers.has(name) && (name !== "lib" || dirname(path) === "lib")) return name;
  }
  return undefined;
}

/** Rows of the table that name something at or above their own place. */
export function layerProblems(layers: Layers): string[] {
  const order = [...layers.keys()];
  const problems: string[] = [];
  for (const [name, allowed] of layers) {
    for (const other of allowed) {
      if (other === "everything") continue;
      if (!layers.has(other)) problems.push(`ARCHITECTURE.md: ${name} names ${other}: add its row`);
      else if (order.indexOf(other) <= order.indexOf(name)) {
        problems.push(`ARCHITECTURE.md: ${name} names ${other}, which does not stand below it`);
      }
    }
  }
  return problems;
}

/** Imports that the table does not allow. */
export function arrowProblems(edges: readonly Edge[], layers: Layers): string[] {
  const problems: string[] = [];
  for (const { from, to, line } of edges) {
    const source = layerOf(from, layers);
    const target = layerOf(to, layers);
    if (source === undefined || target === undefined) {
      const missing = source === undefined ? from : to;
      problems.push(
        `${from}:${line}: ${missing} is in no layer: add its folder to ARCHITECTURE.md`,
      );
      continue;
    }
    const allowed = layers.get(source)!;
    if (source === target || allowed.includes("everything") || allowed.includes(target)) continue;
    problems.push(
      `${from}:${line}: ${source} imports ${target} (${to}): move what is shared further down`,
    );
  }
  return problems;
}

/** Groups of files that import each other in a circle (Tarjan's algorithm, 1972). */
export function cycleProblems(edges: readonly Edge[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const indices = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const problems: string[] = [];
  const visit = (file: string) => {
    const index = indices.size;
    indices.set(file, index);
    low.set(file, index);
    stack.push(file);
    for (const other of next.get(file) ?? []) {
      if (!indices.has(other)) visit(other);
      if (stack.includes(other)) low.set(file, Math.min(low.get(file)!, low.get(other)!));
    }
    if (low.get(file) !== index) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1 || next.get(file)?.includes(file)) {
      problems.push(`${file}:1: imports in a circle with ${group.slice(1).join(", ")}: break it`);
    }
  };
  for (const file of next.keys()) if (!indices.has(file)) visit(file);
  return problems;
}
