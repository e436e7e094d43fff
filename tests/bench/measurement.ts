/** What one run of one workload on one system gave. */
export interface Measurement {
  /** Operations that were answered well within the window. */
  readonly operations: number;
  readonly seconds: number;
  readonly operationsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were not a success; they are not operations. */
  readonly errors: number;
  /** The first such answer. */
  readonly errorSample: string | undefined;
  /** Processor time of all servers for one operation. */
  readonly serverCpuUs: number;
  /** Processor time of the load generator for one operation. */
  readonly generatorCpuUs: number;
  /** Bytes that the leader wrote for one operation, as the kernel accounts it. */
  readonly leaderWrittenBytes: number;
  /** Bytes that the disk took for one operation, of all nodes; NaN when it cannot be told. */
  readonly diskBytes: number;
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
