/** What one run of one workload on one system gave. A figure that cannot be told is undefined. */
export interface Measurement {
  /** Operations that were answered well within the window. */
  readonly operations: number;
  readonly seconds: number;
  readonly operationsPerSecond: number;
  /** In a closed loop from the send; in an open loop from the time the request was due. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Requests for each second that were due in an open loop. */
  readonly offeredPerSecond: number | undefined;
  /** Answers that were not a success; they are not operations. */
  readonly errors: number;
  /** The first such answer. */
  readonly errorSample: string | undefined;
  /** Processor time for one operation: of all servers, of the leader, of all others together. */
  readonly serverCpuUs: number;
  readonly leaderCpuUs: number;
  readonly followersCpuUs: number;
  /** Processor time of the load generator for one operation. */
  readonly generatorCpuUs: number;
  /** Share of one processor that the load generator used. */
  readonly generatorShare: number;
  /** Bytes that the leader wrote for one operation, as the kernel accounts it. */
  readonly leaderWrittenBytes: number;
  /** Bytes that the disk took for one operation, of all nodes. */
  readonly diskBytes: number | undefined;
  /** Bytes over the loopback interface for one operation, clients included. */
  readonly wireBytes: number | undefined;
  /** Memory of the leader at the end. */
  readonly leaderResidentMib: number | undefined;
}

/** Costs that are counted in a run of their own, since counting them costs something itself. */
export interface Costs {
  /** System calls of the leader, and of one follower, for one operation. */
  readonly leaderCalls: number | undefined;
  readonly followerCalls: number | undefined;
  /** Calls of the leader that make a file durable, for one operation. */
  readonly leaderSyncs: number | undefined;
  /** Bytes that the leader's runtime allocated for one operation. */
  readonly allocatedBytes: number | undefined;
}

/** Latencies, without a bound on their number. */
export class Latencies {
  #values = new Float64Array(4096);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(valueMs: number): void {
    if (this.#count === this.#values.length) {
      const grown = new Float64Array(this.#values.length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#count++] = valueMs;
  }

  /**
   * The latencies below which the given shares of all lie (nearest rank).
   *
   * @param shares Numbers from 0 to 1.
   */
  quantiles(shares: readonly number[]): number[] {
    const sorted = this.#values.subarray(0, this.#count).sort();
    return shares.map((share) => {
      const rank = Math.max(1, Math.ceil(share * this.#count));
      return this.#count === 0 ? NaN : sorted[rank - 1]!;
    });
  }
}

/** The middle one of some numbers; the mean of two when there are two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return NaN;
  return Number.isInteger(middle)
    ? (sorted[middle - 1]! + sorted[middle]!) / 2
    : sorted[Math.floor(middle)]!;
}

/** The median of every figure on its own; errors add up. */
export function medianOf(rounds: readonly Measurement[]): Measurement {
  const keys = new Set(rounds.flatMap((round) => Object.keys(round))) as Set<keyof Measurement>;
  const merged: Record<string, unknown> = {};
  for (const key of keys) {
    const values = rounds.map((round) => round[key]);
    const numbers = values.filter((value) => typeof value === "number");
    if (key === "errorSample") merged[key] = values.find((value) => value !== undefined);
    else if (key === "errors") merged[key] = numbers.reduce((sum, value) => sum + value, 0);
    else merged[key] = numbers.length === 0 ? undefined : median(numbers);
  }
  return merged as unknown as Measurement;
}
