/** Depth-first search over everything that can happen, each state once. */
import type { Bounds, Move, Start, Successor } from "./model.ts";
import type { Nodes } from "./node.ts";
import { Fingerprints, successors } from "./world.ts";

/** What a search found out. */
export interface SearchResult {
  /** Different states that were looked at. */
  readonly states: number;
  /** Steps from state to state. */
  readonly steps: number;
  /** The deepest state; when below the bound, nothing was left out. */
  readonly depth: number;
  readonly isComplete: boolean;
  readonly elapsedMs: number;
  /** What was broken, and how it came about. */
  readonly violation: { readonly rule: string; readonly moves: readonly Move[] } | undefined;
}

export interface SearchOptions {
  readonly depth: number;
  readonly secondsMax?: number;
}

/** The states that were seen, each with the most moves that were left there. */
class Seen {
  #keys = new Float64Array(1 << 16);
  #left = new Uint8Array(1 << 16);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Whether `key` was not seen with so many moves left; remembers it. `key` is not 0. */
  add(key: number, left: number): boolean {
    if (this.#count * 2 > this.#keys.length) this.#grow();
    const at = this.#place(key);
    if (this.#keys[at] === key) {
      if (this.#left[at]! >= left) return false;
    } else {
      this.#keys[at] = key;
      this.#count++;
    }
    this.#left[at] = left;
    return true;
  }

  #place(key: number): number {
    const mask = this.#keys.length - 1;
    let at = (key % 0x1_0000_0000) & mask;
    while (this.#keys[at] !== 0 && this.#keys[at] !== key) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const { 0: keys, 1: left } = [this.#keys, this.#left];
    this.#keys = new Float64Array(keys.length * 2);
    this.#left = new Uint8Array(keys.length * 2);
    keys.forEach((key, from) => {
      if (key === 0) return;
      const at = this.#place(key);
      this.#keys[at] = key;
      this.#left[at] = left[from]!;
    });
  }
}

/** Looks at every state within `depth` moves of the start, until a rule is broken. */
export function search(
  nodes: Nodes,
  start: Start,
  bounds: Bounds,
  { depth, secondsMax = Infinity }: SearchOptions,
): SearchResult {
  const startMs = performance.now();
  const fingerprints = new Fingerprints();
  const seen = new Seen();
  seen.add(fingerprints.of(start.world), depth);
  const path: Move[] = [];
  const stack: Iterator<Successor>[] = [successors(nodes, start.world, bounds, start)];
  let deepest = 0;
  let steps = 0;
  let isComplete = true;
  let violation: SearchResult["violation"];
  while (stack.length > 0) {
    const { value, done } = stack.at(-1)!.next();
    if (done === true) {
      stack.pop();
      path.pop();
      continue;
    }
    const { move, world } = value;
    steps++;
    if (value.violation !== undefined) {
      violation = { rule: value.violation, moves: [...path, move] };
      isComplete = false;
      break;
    }
    const left = depth - stack.length;
    if (!seen.add(fingerprints.of(world), left)) continue;
    deepest = Math.max(deepest, stack.length);
    if (left === 0) {
      isComplete = false;
      continue;
    }
    if ((steps & 0xfff) === 0 && performance.now() - startMs > secondsMax * 1000) {
      isComplete = false;
      break;
    }
    path.push(move);
    stack.push(successors(nodes, world, bounds, start));
  }
  const elapsedMs = performance.now() - startMs;
  const states = seen.count;
  return { states, steps, depth: deepest, isComplete, elapsedMs, violation };
}
