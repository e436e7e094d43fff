import { expect, test } from "bun:test";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { LogOutline } from "../../lib/raft/log_outline.ts";

/** The same, kept entry by entry. */
class PlainLog {
  entries: { term: number; size: number }[] = [];
  base = { index: 0, term: 0 };

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  termAt(index: number): number | undefined {
    if (index === this.base.index) return this.base.term;
    return this.entries[index - this.base.index - 1]?.term;
  }

  sizeOf(first: number, last: number): number {
    let size = 0;
    for (let index = first; index <= last; index++) {
      size += this.entries[index - this.base.index - 1]!.size;
    }
    return size;
  }

  lastWithTermAtMost(index: number, term: number): number {
    let at = Math.min(index, this.lastIndex);
    while (at > this.base.index && this.termAt(at)! > term) at--;
    return Math.max(at, this.base.index);
  }

  fit(first: number, entriesMax: number, bytesMax: number): number {
    let last = first;
    while (
      last < this.lastIndex && last - first + 1 < entriesMax &&
      this.sizeOf(first, last + 1) <= bytesMax
    ) last++;
    return last;
  }
}

test("the outline agrees with a plain log under every operation", () => {
  const random = new SeededRandom(4);
  for (let run = 0; run < 40; run++) {
    const outline = new LogOutline(0, 0);
    const plain = new PlainLog();
    let term = 1;
    for (let step = 0; step < 120; step++) {
      const kind = below(random, 10);
      const { base, lastIndex } = plain;
      if (kind < 7) {
        if (below(random, 5) === 0) term += 1 + below(random, 2);
        const size = below(random, 4) === 0 ? 0 : below(random, 50);
        outline.append(term, size);
        plain.entries.push({ term, size });
      } else if (kind < 9 && lastIndex > base.index) {
        const index = base.index + 1 + below(random, lastIndex - base.index);
        outline.truncate(index);
        plain.entries.length = index - base.index - 1;
      } else {
        const firstIndex = base.index + 1 + below(random, lastIndex - base.index + 1);
        const baseTerm = plain.termAt(firstIndex - 1)!;
        outline.compact(firstIndex);
        plain.entries.splice(0, firstIndex - 1 - base.index);
        plain.base = { index: firstIndex - 1, term: baseTerm };
      }
      compare(outline, plain, random);
    }
  }
});

function compare(outline: LogOutline, plain: PlainLog, random: SeededRandom): void {
  const { base, lastIndex } = plain;
  expect([outline.baseIndex, outline.lastIndex]).toEqual([base.index, lastIndex]);
  expect(outline.lastTerm).toBe(plain.termAt(lastIndex)!);
  const span = lastIndex - base.index;
  const index = base.index - 1 + below(random, span + 3);
  expect(outline.termAt(index)).toBe(plain.termAt(index));
  const term = below(random, 40);
  expect(outline.lastWithTermAtMost(index, term)).toBe(plain.lastWithTermAtMost(index, term));
  if (span === 0) return;
  const first = base.index + 1 + below(random, span);
  const last = first + below(random, lastIndex - first + 1);
  expect(outline.sizeOf(first, last)).toBe(plain.sizeOf(first, last));
  const [entries, bytes] = [1 + below(random, 20), below(random, 200)];
  expect(outline.fit(first, entries, bytes)).toBe(plain.fit(first, entries, bytes));
}

test("terms never decrease along the log", () => {
  const outline = new LogOutline(5, 3);
  expect(outline.termAt(5)).toBe(3);
  expect(() => outline.append(2, 0)).toThrow("term 2 follows 3");
  expect(() => outline.truncate(5)).toThrow();
});
