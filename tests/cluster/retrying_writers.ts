/**
 * Clients that insert numbers and send each one again until it is acknowledged, to whichever node
 * takes it. How long the longest of them took is what a user would have noticed.
 */
import { expect } from "bun:test";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { integer, query } from "../../lib/demo/sql.ts";
import { pause } from "../../lib/demo/wait.ts";
import { run } from "./harness.ts";

const RETRY_PAUSE_MS = 5;
const INSERT = "INSERT INTO retried(n) VALUES(?) ON CONFLICT DO NOTHING";

/** The table that the clients fill; sending a number twice does no harm. */
export const RETRIED_TABLE = "CREATE TABLE retried(n INTEGER PRIMARY KEY)";

/** See the file comment. */
export class RetryingWriters {
  /** Whom the clients know; a test adds and takes away. */
  readonly nodes: NodeProcess[];
  readonly #clients: number;
  #acknowledged = 0;
  #next = 1;
  #stopped = false;
  #done: Promise<unknown> = Promise.resolve();
  /** When each client first sent the number that it has not seen acknowledged yet. */
  readonly #sinceMs: number[] = [];
  #longestMs = 0;
  #longestMessages: readonly string[] = [];

  constructor(nodes: readonly NodeProcess[], clients: number) {
    this.nodes = [...nodes];
    this.#clients = clients;
  }

  /** Numbers 1 to this one were sent; all but the last few are acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  start(): void {
    this.#done = Promise.all(Array.from({ length: this.#clients }, (_, i) => this.#write(i)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  /** The longest time that a write took, or takes, since this was asked last; starts anew. */
  takeLongest(): { readonly longestMs: number; readonly messages: readonly string[] } {
    const nowMs = performance.now();
    const longestMs = Math.max(this.#longestMs, ...this.#sinceMs.map((since) => nowMs - since));
    const messages = this.#longestMessages;
    this.#longestMs = 0;
    this.#longestMessages = [];
    return { longestMs, messages };
  }

  async #write(client: number): Promise<void> {
    let target = client;
    while (!this.#stopped) {
      const n = this.#next++;
      const messages: string[] = [];
      this.#sinceMs[client] = performance.now();
      for (;;) {
        const node = this.nodes[target % this.nodes.length]!;
        const reply = await query(node.url, INSERT, [integer(n)]);
        if (reply.type === "ok") break;
        const atMs = Math.round(performance.now() - this.#sinceMs[client]!);
        messages.push(`${atMs} ms, ${node.name}: ${reply.message}`);
        target++;
        await pause(RETRY_PAUSE_MS);
      }
      this.#acknowledged++;
      const tookMs = performance.now() - this.#sinceMs[client]!;
      if (tookMs <= this.#longestMs) continue;
      this.#longestMs = tookMs;
      this.#longestMessages = messages;
    }
    this.#sinceMs[client] = Infinity;
  }

  /** Every number that was sent is there: the clients stopped only after the last answer. */
  async check(node: NodeProcess): Promise<void> {
    const rows = await run(node, "SELECT count(*), max(n) FROM retried");
    const [count, last] = rows[0]!.map((value) => Number((value as { value: string }).value));
    expect({ count, last }).toEqual({ count: this.#acknowledged, last: this.#acknowledged });
  }
}
