/**
 * Clients that insert numbers, one row in each transaction, and remember what they were told.
 */
import { expect } from "bun:test";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { integer, query } from "../../lib/demo/sql.ts";
import { pause } from "../../lib/demo/wait.ts";
import { run } from "./harness.ts";

const RETRY_PAUSE_MS = 5;

/** The table that the writers fill. It would hold a number twice without a complaint. */
export const WRITTEN_TABLE = "CREATE TABLE written(n INTEGER NOT NULL)";

/** Several clients, each with a node of its own to start with; it moves on after an error. */
export class Writers {
  readonly #nodes: readonly NodeProcess[];
  readonly #clients: number;
  readonly acknowledged: number[] = [];
  readonly rejected: number[] = [];
  readonly unknown: number[] = [];
  /** The first messages of errors, to explain a failure. */
  readonly messages: string[] = [];
  #next = 1;
  #stopped = false;
  #done: Promise<unknown> = Promise.resolve();
  #markMs = Infinity;
  #afterMark: number | undefined;
  #lastMs = 0;
  #longestGapMs = 0;
  readonly #pauseMs: number;
  #held: Promise<void> = Promise.resolve();
  #underWay = 0;

  /** @param pauseMs Time each client rests after a write that was acknowledged. */
  constructor(nodes: readonly NodeProcess[], clients: number, pauseMs = 0) {
    this.#nodes = nodes;
    this.#clients = clients;
    this.#pauseMs = pauseMs;
  }

  start(): void {
    this.#lastMs = performance.now();
    this.#done = Promise.all(Array.from({ length: this.#clients }, (_, i) => this.#write(i)));
  }

  /** From now on the time to the next write that is sent and acknowledged is measured. */
  mark(): void {
    this.#markMs = performance.now();
    this.#afterMark = undefined;
  }

  /** Milliseconds from the mark to that write; undefined until there is one. */
  get sinceMarkMs(): number | undefined {
    return this.#afterMark;
  }

  /** The longest time between two acknowledgements. */
  get longestGapMs(): number {
    return this.#longestGapMs;
  }

  /** Runs `body` while no write is under way. */
  async whileNobodyWrites<T>(body: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    try {
      while (this.#underWay > 0) await pause(RETRY_PAUSE_MS);
      return await body();
    } finally {
      resolve();
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #write(client: number): Promise<void> {
    let target = client;
    while (!this.#stopped) {
      await this.#held;
      const node = this.#nodes[target % this.#nodes.length]!;
      const n = this.#next++;
      const sentMs = performance.now();
      this.#underWay++;
      const reply = await query(node.url, "INSERT INTO written(n) VALUES(?)", [integer(n)]);
      this.#underWay--;
      if (reply.type === "ok") {
        this.#acknowledge(n, sentMs);
        if (this.#pauseMs > 0) await pause(this.#pauseMs);
        continue;
      }
      this[reply.outcome].push(n);
      if (this.messages.length < 20) this.messages.push(`${node.name}: ${reply.message}`);
      target++;
      await pause(RETRY_PAUSE_MS);
    }
  }

  #acknowledge(n: number, sentMs: number): void {
    const nowMs = performance.now();
    this.acknowledged.push(n);
    this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    if (sentMs >= this.#markMs) this.#afterMark ??= nowMs - this.#markMs;
  }

  /** Holds what a node has against what was told: nothing lost, nothing twice, nothing refused. */
  async check(node: NodeProcess): Promise<void> {
    const rows = await run(node, "SELECT n, count(*) FROM written GROUP BY n");
    const times = new Map(rows.map(([n, count]) => [toNumber(n), toNumber(count)]));
    expect(this.acknowledged.filter((n) => times.get(n) !== 1)).toEqual([]);
    expect(this.rejected.filter((n) => times.has(n))).toEqual([]);
    expect(this.unknown.filter((n) => (times.get(n) ?? 0) > 1)).toEqual([]);
    const sent = new Set([...this.acknowledged, ...this.unknown]);
    expect([...times.keys()].filter((n) => !sent.has(n))).toEqual([]);
  }
}

function toNumber(value: unknown): number {
  return Number((value as { readonly value: string }).value);
}
