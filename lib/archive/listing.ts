/** Which points of an archive can be restored, as people want to see it. */
import type { LogIndex } from "../raft/types.ts";
import type { BaseObject, Catalog } from "./catalog.ts";
import { type Run, runsOf } from "./run.ts";

/** Points without a gap. */
export interface Range {
  /** The first and the last entry after which the database can be restored. */
  readonly first: LogIndex;
  readonly last: LogIndex;
  /** Times of transactions; 0 where none is known. */
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  readonly bases: number;
  /** Size of the log's objects. */
  readonly sizeBytes: number;
}

/** A part of the log that is of no use: it has no base to begin with. */
export interface Unusable {
  readonly first: LogIndex;
  readonly last: LogIndex;
}

/** See the file comment. */
export interface Listing {
  readonly ranges: readonly Range[];
  /** What cannot be restored between the ranges. */
  readonly gaps: readonly Unusable[];
}

/** Looks at all names. */
export async function listingOf(catalog: Catalog): Promise<Listing> {
  const bases = await catalog.bases();
  const ranges: Range[] = [];
  const gaps: Unusable[] = [];
  let next = 1;
  for await (const run of runsOf(catalog.entriesFrom(1))) {
    const range = rangeOf(run, bases);
    const first = range?.first ?? run.last + 1;
    if (first > next) gaps.push({ first: next, last: first - 1 });
    if (range !== undefined) ranges.push(range);
    next = run.last + 1;
  }
  return { ranges, gaps };
}

function rangeOf(run: Run, all: readonly BaseObject[]): Range | undefined {
  const bases = all.filter(({ index, fuzzyIndex }) =>
    index >= run.first - 1 && fuzzyIndex <= run.last
  );
  const [base] = bases;
  const common = {
    last: run.last,
    lastTimeMs: run.timeMs,
    bases: bases.length,
    sizeBytes: run.sizeBytes,
  };
  if (run.first === 1) return { first: 1, firstTimeMs: run.firstTimeMs, ...common };
  if (base === undefined) return undefined;
  return { first: base.fuzzyIndex, firstTimeMs: base.timeMs, ...common };
}
