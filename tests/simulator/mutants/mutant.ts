/** A mistake, as a small change of the source. */

/** One change of one file. Its search text must occur exactly once. */
export interface Edit {
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

/** One mistake. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Whether it shows only over real SQLite. */
  readonly sqlite?: boolean;
}

/** A mistake, by the file, the text and its replacement of each edit. */
export function mutant(
  name: string,
  ...edits: readonly (readonly [file: string, search: string, replace: string])[]
): Mutant {
  return { name, edits: edits.map(([file, search, replace]) => ({ file, search, replace })) };
}

/** A mistake that shows only over real SQLite. */
export function sqliteMutant(...parts: Parameters<typeof mutant>): Mutant {
  return { ...mutant(...parts), sqlite: true };
}
