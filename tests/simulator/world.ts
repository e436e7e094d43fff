/**
 * Virtual time. Everything that happens is an event on one heap; ties go in the order in which they
 * were scheduled. What an event asks to be done "soon" runs before the next event. All chance comes
 * from one seed, and nothing else is read: the same seed gives the same run on every engine.
 */
import { assert } from "../../lib/base/assert.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";

/** Whose work an event is: one life of a node. The events of a life that ended are dropped. */
export interface Owner {
  readonly nodeId: number;
  alive: boolean;
  /** Stopped as by a signal: its events wait until then. */
  pausedUntilUs: number;
  /** Something was thrown out of an event. Returns whether that was to be expected. */
  threw(error: unknown): boolean;
}

interface Event {
  atUs: number;
  order: number;
  readonly owner: Owner | undefined;
  readonly what: string;
  readonly run: () => void;
  cancelled: boolean;
}

/** A callback that waits for the end of the event at hand. */
interface Soon {
  readonly owner: Owner | undefined;
  readonly run: () => void;
}

/** "Soon" callbacks that one event may lead to. */
const SOON_MAX = 100_000;

/** The one source of time, order and chance. */
export class World {
  readonly random: SeededRandom;
  /** Takes one line for each event; undefined when nobody listens. */
  readonly trace: ((line: string) => void) | undefined;
  nowUs = 0;
  events = 0;
  #order = 0;
  #hash = 0x811c9dc5;
  readonly #heap: Event[] = [];
  #soon: Soon[] = [];
  /** The events of those who stand still. */
  readonly #parked = new Map<Owner, Event[]>();

  constructor(seed: number, trace?: (line: string) => void) {
    this.random = new SeededRandom(seed);
    this.trace = trace;
  }

  /** Names everything that happened so far, in order. */
  get hash(): string {
    return this.#hash.toString(16).padStart(8, "0");
  }

  /** Makes a number part of the hash. */
  note(value: number): void {
    const mixed = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash = (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** An integer drawn evenly from `[0, bound)`. */
  below(bound: number): number {
    return below(this.random, bound);
  }

  /** An integer drawn evenly from `[low, high]`. */
  between(low: number, high: number): number {
    return low + below(this.random, high - low + 1);
  }

  /** True `permille` times out of a thousand. */
  chance(permille: number): boolean {
    return permille > 0 && below(this.random, 1000) < permille;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items.length === 0 ? undefined : items[below(this.random, items.length)];
  }

  /** A delay around `meanUs`, mostly below it, at times many times as long. */
  delayUs(meanUs: number): number {
    let delayUs = this.between(meanUs >>> 1, meanUs);
    while (this.below(8) === 0 && delayUs < meanUs * 16) delayUs *= 2;
    return delayUs;
  }

  /** Tells what happens, when somebody listens. */
  tell(nodeId: number, line: () => string): void {
    if (this.trace === undefined) return;
    const time = (this.nowUs / 1000).toFixed(3).padStart(10);
    this.trace(`${time} ${nodeId === 0 ? "  " : `n${nodeId}`} ${line()}`);
  }

  /**
   * Runs `run` after `delayUs`, as an event of its own.
   *
   * @returns A function that cancels it.
   */
  after(delayUs: number, owner: Owner | undefined, what: string, run: () => void): () => void {
    const atUs = this.nowUs + Math.max(0, Math.floor(delayUs));
    const event = { atUs, order: this.#order++, owner, what, run, cancelled: false };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs `run` at the end of the event at hand. */
  soon(owner: Owner | undefined, run: () => void): void {
    this.#soon.push({ owner, run });
  }

  /**
   * Runs the next event.
   *
   * @returns Whose it was; undefined when nothing is left to do.
   */
  step(): { readonly owner: Owner | undefined } | undefined {
    for (;;) {
      const event = this.#pop();
      if (event === undefined) return undefined;
      const { owner } = event;
      if (event.cancelled || owner?.alive === false) continue;
      assert(event.atUs >= this.nowUs, "time goes back");
      this.nowUs = event.atUs;
      if (owner !== undefined && owner.pausedUntilUs > this.nowUs) {
        this.#park(owner, event);
        continue;
      }
      this.events++;
      this.note(event.atUs);
      this.note(owner?.nodeId ?? 0);
      this.note(event.what.length);
      this.#run(event);
      this.settle();
      return { owner };
    }
  }

  /** Lets an owner go on that stands still: what waited for it runs now, in its order. */
  resume(owner: Owner): void {
    owner.pausedUntilUs = 0;
    for (const event of this.#parked.get(owner) ?? []) {
      event.atUs = this.nowUs;
      event.order = this.#order++;
      this.#push(event);
    }
    this.#parked.delete(owner);
  }

  /** Runs what was asked to be done soon. */
  settle(): void {
    for (let count = 0; this.#soon.length > 0; count++) {
      assert(count < SOON_MAX, "an event never comes to rest");
      const batch = this.#soon;
      this.#soon = [];
      for (const soon of batch) if (soon.owner?.alive !== false) this.#run(soon);
    }
  }

  #park(owner: Owner, event: Event): void {
    const parked = this.#parked.get(owner);
    if (parked !== undefined) {
      parked.push(event);
      return;
    }
    this.#parked.set(owner, [event]);
    const resume = () => {
      const us = owner.pausedUntilUs - this.nowUs;
      // Another pause may have begun before this one was over.
      if (us > 0) this.after(us, undefined, "resume", resume);
      else this.resume(owner);
    };
    this.after(owner.pausedUntilUs - this.nowUs, undefined, "resume", resume);
  }

  #run({ owner, run }: Soon): void {
    try {
      run();
    } catch (error) {
      if (owner?.threw(error) !== true) throw error;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atUs < other.atUs || (one.atUs === other.atUs && one.order < other.order);
}
