/**
 * The leader is killed under eight writers: how long until a write that was sent afterwards is
 * acknowledged? Each writer goes through its own node and moves on when that does not answer.
 */
import { type RequestPlan, SLOT, SLOT_MIN } from "./request_template.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import type { ClusterSystem } from "./systems/system.ts";

const WRITERS = 8;
/** Writes that must be acknowledged before the leader is killed. */
const WRITES_BEFORE = 200;
const RECOVERY_TIMEOUT_MS = 60_000;
/** Time after which a writer gives up on a node and asks another. */
const REQUEST_TIMEOUT_MS = 1_000;
const RETRY_PAUSE_MS = 5;
/** Written numbers that one query looks for. */
const CHECK_ROWS = 5_000;

/** What the kills of a leader cost. */
export interface FailoverResult {
  /** One for each kill, in milliseconds. */
  readonly outagesMs: readonly number[];
  readonly medianMs: number;
  readonly maxMs: number;
  /** Acknowledged writes of all rounds; every one of them was found afterwards. */
  readonly acknowledged: number;
}

class Writers {
  readonly #plan: RequestPlan;
  readonly #urls: readonly string[];
  #next: number;
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();
  #killedMs = Infinity;
  readonly acknowledged: number[] = [];
  firstAfterMs: number | undefined;

  constructor(plan: RequestPlan, urls: readonly string[], next: number) {
    this.#plan = plan;
    this.#urls = urls;
    this.#next = next;
  }

  get next(): number {
    return this.#next;
  }

  start(): void {
    this.#running = Promise.all(Array.from({ length: WRITERS }, (_, i) => this.#write(i)));
  }

  killed(): void {
    this.#killedMs = performance.now();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #write(writer: number): Promise<void> {
    let target = writer;
    while (!this.#stopped) {
      const sentMs = performance.now();
      const n = this.#next++;
      const body = this.#plan.body.replace(SLOT, String(n));
      if (await this.#send(this.#urls[target % this.#urls.length]!, body)) {
        this.acknowledged.push(n);
        if (sentMs >= this.#killedMs) this.firstAfterMs ??= performance.now() - this.#killedMs;
      } else {
        target++;
        await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
      }
    }
  }

  async #send(url: string, body: string): Promise<boolean> {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      const text = await response.text();
      return response.status === 200 && text.includes(this.#plan.must) &&
        !text.includes(this.#plan.mustNot);
    } catch {
      return false;
    }
  }
}

/** Kills the leader `rounds` times, each time in a cluster that is whole again. */
export async function measureFailover(
  system: ClusterSystem,
  rounds: number,
): Promise<FailoverResult> {
  const plan = system.variants("insert")[0]!.plan;
  const outagesMs: number[] = [];
  let next = SLOT_MIN * 8;
  const acknowledged: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const nodes = await system.nodes();
    const urls = nodes.map((node) => `http://${node.host}:${node.port}${plan.path}`);
    const writers = new Writers(plan, urls, next);
    writers.start();
    try {
      await waitUntil("the writers write", RECOVERY_TIMEOUT_MS, () => {
        return writers.acknowledged.length >= WRITES_BEFORE;
      });
      writers.killed();
      await system.kill(nodes[0]!.pid);
      outagesMs.push(
        await waitUntil("a write is acknowledged", RECOVERY_TIMEOUT_MS, () => writers.firstAfterMs),
      );
    } finally {
      await writers.stop();
    }
    next = writers.next;
    acknowledged.push(...writers.acknowledged);
    await system.restart();
  }
  await checkNothingLost(system, acknowledged);
  const sorted = [...outagesMs].sort((a, b) => a - b);
  return {
    outagesMs,
    medianMs: sorted[Math.floor(sorted.length / 2)]!,
    maxMs: sorted.at(-1)!,
    acknowledged: acknowledged.length,
  };
}

async function checkNothingLost(system: ClusterSystem, written: readonly number[]): Promise<void> {
  for (let start = 0; start < written.length; start += CHECK_ROWS) {
    const part = written.slice(start, start + CHECK_ROWS);
    const found = await system.number(
      `SELECT count(DISTINCT n) FROM bench WHERE n IN (${part.join(",")})`,
    );
    if (found !== part.length) {
      throw new Error(`${system.name} lost ${part.length - found} acknowledged writes`);
    }
  }
}
