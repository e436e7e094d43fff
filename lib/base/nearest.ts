/**
 * The word of `words` that `given` is most likely meant to be; undefined when none is near: more
 * than two edits away, or a third of its length.
 */
export function nearest(given: string, words: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestEdits = Math.max(1, Math.min(2, Math.floor(given.length / 3))) + 1;
  for (const word of words) {
    const edits = word.startsWith(given) && given.length > 1 ? 1 : editDistance(given, word);
    if (edits < bestEdits) {
      best = word;
      bestEdits = edits;
    }
  }
  return best;
}

/**
 * How many insertions, deletions, replacements and swaps of neighbours turn `a` into `b`
 * (optimal string alignment distance).
 */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, beforePrevious[j - 2]! + 1);
      }
      row.push(edits);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length]!;
}
