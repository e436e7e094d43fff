import { expect, test } from "bun:test";
import { crc32c } from "../../lib/base/crc32c.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import type { SegmentLog } from "../../lib/log/segment_log.ts";
import type { LogBatch } from "../../lib/log/types.ts";
import type { Entry, HardState } from "../../lib/raft/types.ts";
import { type Chain, CHAIN_START, chainNext } from "../../lib/wire/chain.ts";
import { entryBody, entryHead } from "../../lib/wire/entry.ts";
import { CONFIGURATION, contents, Fixture, fullBatch } from "./harness.ts";

const COMPACTED = "compacted";
const LIVES = 12;
const STEPS = 60;

/** What a log may hold: the chain of each entry, and term and vote. */
interface State {
  readonly entries: readonly string[];
  readonly hardState: HardState;
}

/** Random appends to one log, with every state that it passes through, record by record. */
class Workload {
  readonly states: State[];
  acknowledged = 0;
  #compacted: number;
  readonly #random: SeededRandom;
  readonly #fixture: Fixture;

  constructor(random: SeededRandom, fixture: Fixture) {
    this.#random = random;
    this.#fixture = fixture;
    this.states = [stateOf(fixture.log)];
    this.#compacted = fixture.log.baseIndex;
  }

  /** Only what is committed is compacted, and that is never truncated. */
  compact(): void {
    const { log } = this.#fixture;
    this.#compacted = Math.max(this.#compacted, log.durableIndex - below(this.#random, 6));
    if (this.#compacted <= log.durableIndex) log.truncatePrefix(this.#compacted);
  }

  /** What comes after a snapshot is not what the log held, or is beyond its end. */
  reset(): void {
    const { log } = this.#fixture;
    const state = this.states.at(-1)!;
    const index = Math.max(this.#compacted, log.lastIndex - 3) + 1 + below(this.#random, 8);
    const chain = { a: this.#random.next(), b: this.#random.next() };
    const reset = { index, term: state.hardState.term, chain, configuration: CONFIGURATION };
    const entries = [...new Array<string>(index - 1).fill(COMPACTED), nameOf(chain)];
    this.states.push({ ...state, entries });
    this.#compacted = index;
    const entry = this.#entry(index + 1, state.hardState.term);
    this.#add(entry, chain);
    this.#hand(fullBatch({ reset, entries: [entry] }));
  }

  append(): void {
    const { log } = this.#fixture;
    let state = this.states.at(-1)!;
    let hardState: HardState | undefined;
    if (below(this.#random, 5) === 0) {
      const term = state.hardState.term + 1 + below(this.#random, 3);
      hardState = { term, votedFor: below(this.#random, 2) === 0 ? undefined : 3 };
      state = { ...state, hardState };
      this.states.push(state);
    }
    let truncateFrom: number | undefined;
    if (log.lastIndex > this.#compacted && below(this.#random, 6) === 0) {
      truncateFrom = Math.max(this.#compacted + 1, log.lastIndex - below(this.#random, 6));
      state = { ...state, entries: state.entries.slice(0, truncateFrom - 1) };
      this.states.push(state);
    }
    const entries: Entry[] = [];
    for (let count = below(this.#random, 5); count > 0; count--) {
      const entry = this.#entry(state.entries.length + 1, state.hardState.term);
      entries.push(entry);
      state = this.#add(entry, chainOf(state));
    }
    this.#hand(fullBatch({ hardState, truncateFrom, entries }));
  }

  #add(entry: Entry, before: Chain): State {
    const state = this.states.at(-1)!;
    const chain = chainNext(before, entryHead(entry, entryBody(entry)));
    const added = { ...state, entries: [...state.entries, nameOf(chain)] };
    this.states.push(added);
    return added;
  }

  #hand(batch: LogBatch): void {
    const position = this.states.length - 1;
    this.#fixture.log.append(batch, () => {
      expect(position).toBeGreaterThanOrEqual(this.acknowledged);
      this.acknowledged = position;
    });
  }

  /** Sizes around the sector, and payloads with and without sectors of zeros. */
  #entry(index: number, term: number): Entry {
    const size = below(this.#random, below(this.#random, 4) === 0 ? 9000 : 600);
    const payload = new Uint8Array(size);
    const holes = below(this.#random, 2) === 0;
    for (let i = 0; i < size; i++) {
      if (!holes || i % 2048 < 40) payload[i] = this.#random.next();
    }
    if (below(this.#random, 8) === 0) return { type: "noop", index, term };
    return { type: "command", index, term, payload, checksum: crc32c(payload) };
  }
}

function nameOf({ a, b }: Chain): string {
  return `${a} ${b}`;
}

function chainOf(state: State): Chain {
  const last = state.entries.at(-1);
  if (last === undefined) return CHAIN_START;
  const [a, b] = last.split(" ").map(Number);
  return { a: a!, b: b! };
}

/** What is before the base is not known; the chain of the base is. */
function stateOf(log: SegmentLog): State {
  // Reading verifies every entry.
  expect(contents(log).length).toBe(log.lastIndex - log.baseIndex);
  const entries = new Array<string>(log.lastIndex).fill(COMPACTED);
  for (let index = Math.max(1, log.baseIndex); index <= log.lastIndex; index++) {
    entries[index - 1] = nameOf(log.pointAt(index)!.chain);
  }
  return { entries, hardState: log.hardState };
}

/** Entries that are compacted on one side count as equal. */
function sameEntries(one: State, other: State): boolean {
  return one.entries.length === other.entries.length && one.entries.every((entry, at) => {
    const others = other.entries[at];
    return entry === others || entry === COMPACTED || others === COMPACTED;
  });
}

/** The recovered state must be one that was passed through, not before what was acknowledged. */
function check(workload: Workload, recovered: State): void {
  const possible = workload.states.slice(workload.acknowledged);
  const at = possible.findIndex((state) => sameEntries(state, recovered));
  if (at === -1) throw new Error(`Unknown history: ${recovered.entries.slice(-5).join("; ")}`);
  // The slots may be ahead of the stream: their term and vote are those of the entries, or later.
  const states = possible.slice(at).map((state) => JSON.stringify(state.hardState));
  expect(states).toContain(JSON.stringify(recovered.hardState));
}

function live(random: SeededRandom, disk: MemoryDisk): MemoryDisk {
  const fixture = new Fixture({ disk, cacheBytesMax: below(random, 2) * 100_000 });
  const workload = new Workload(random, fixture);
  const steps = below(random, STEPS);
  for (let step = 0; step < steps; step++) {
    const choice = below(random, 10);
    if (choice < 4) workload.append();
    else if (choice === 4 && below(random, 4) === 0) workload.compact();
    else if (choice === 4 && below(random, 8) === 0) workload.reset();
    else if (choice < 8) fixture.loop.complete();
    else if (choice === 8) fixture.loop.turn();
    else fixture.loop.pass(20);
  }
  const chance = below(random, 4);
  // Sometimes only the process ends, and the machine goes on.
  const crashed = below(random, 4) === 0
    ? disk.endProcess()
    : disk.crash(() => chance === 3 || below(random, 3) < chance);
  // Now and then the start itself is cut short, too.
  const interruption = below(random, 3) === 0 ? interrupt(random, crashed) : crashed;
  const { log } = new Fixture({ disk: interruption });
  const recovered = stateOf(log);
  check(workload, recovered);
  expect(fixture.fatal).toEqual([]);
  const next = interruption.crash(() => below(random, 2) === 0);
  expect(stateOf(new Fixture({ disk: next }).log)).toEqual(recovered);
  return next.crash(() => below(random, 2) === 0);
}

function interrupt(random: SeededRandom, disk: MemoryDisk): MemoryDisk {
  const operations = ["open", "write", "sync", "syncFolder", "remove"];
  const operation = operations[below(random, operations.length)]!;
  disk.failNext(operation, new Error("power"), undefined, below(random, 10));
  try {
    new Fixture({ disk });
  } catch (error) {
    expect(String(error)).toContain("power");
  }
  return disk.crash(() => below(random, 2) === 0);
}

test("no crash loses what was acknowledged, or leaves a history that never was", () => {
  const seed = Number(process.env["LOG_CRASH_SEED"] ?? 1);
  const rounds = Number(process.env["LOG_CRASH_ROUNDS"] ?? 25);
  for (let round = 0; round < rounds; round++) {
    const random = new SeededRandom(seed * 1_000_003 + round);
    try {
      let disk = new MemoryDisk();
      for (let life = 0; life < LIVES; life++) disk = live(random, disk);
    } catch (error) {
      throw new Error(`Seed ${seed}, round ${round}: ${String(error)}`, { cause: error });
    }
  }
}, 30_000);
