/**
 * The load generator, a process of its own: raw keep-alive connections, prebuilt requests, no
 * promise and no parsing of JSON on the way. Reads a job from the file that its first argument
 * names, prints a measurement.
 *
 * In a closed loop every client sends when it has its answer. In an open loop requests are due at
 * random times of a Poisson process, and a latency runs from the time a request was due: a server
 * that stands still is charged for all that had to wait, not for one request only.
 */
import { readFileSync } from "node:fs";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { LoadConnection } from "./load_connection.ts";
import { Latencies, type Measurement } from "./measurement.ts";
import {
  flushedBytes,
  readUsage,
  residentMib,
  type Usage,
  usagePerOperation,
} from "./processes.ts";
import type { RequestPlan } from "./request_template.ts";

/** What to measure. */
export interface LoadJob {
  readonly host: string;
  readonly port: number;
  readonly plan: RequestPlan;
  readonly clients: number;
  /** Requests due in each second; a closed loop without it. */
  readonly ratePerSecond?: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  /** The first number of the sequence that fills slots. */
  readonly sequenceStart: number;
  readonly seed: number;
  /** The servers, the leader first. */
  readonly serverPids: readonly number[];
}

/** Time that answers may still take once the window is over. */
const DRAIN_MS = 30_000;
/** Pause of one client after an answer that is no success. */
const ERROR_PAUSE_MS = 10;
/** How often an open loop looks which requests are due. */
const DUE_POLL_MS = 1;
/** Requests that may wait for a connection; more means that the rate is far too high. */
const WAITING_MAX = 1_000_000;

class Load {
  readonly #job: LoadJob;
  readonly #random: SeededRandom;
  readonly #latencies = new Latencies();
  readonly #done: (measurement: Measurement) => void;
  readonly #idle: LoadConnection[] = [];
  /** When the requests that wait for a connection were due, from `#waitingFirst` on. */
  readonly #waiting: number[] = [];
  #waitingFirst = 0;
  #nextDueMs = 0;
  #sequence: number;
  #phase: "warmup" | "measure" | "drain" = "warmup";
  #open = 0;
  #answered = 0;
  #errors = 0;
  #errorSample: string | undefined;
  #startMs = 0;
  #endMs = Infinity;
  #diskBefore: number | undefined;
  #before: Usage | undefined;
  #cpuBefore: NodeJS.CpuUsage | undefined;
  #costs: Omit<Measurement, "p50Ms" | "p99Ms" | "p999Ms" | "maxMs"> | undefined;

  constructor(job: LoadJob, done: (measurement: Measurement) => void) {
    this.#job = job;
    this.#random = new SeededRandom(job.seed);
    this.#sequence = job.sequenceStart;
    this.#done = done;
  }

  async run(): Promise<void> {
    for (let client = 0; client < this.#job.clients; client++) {
      this.#idle.push(await this.#connect());
    }
    this.#open = this.#idle.length;
    if (this.#job.ratePerSecond === undefined) {
      for (const connection of this.#idle.splice(0)) this.#send(connection, performance.now());
    } else {
      this.#nextDueMs = performance.now();
      this.#arrive();
    }
    setTimeout(() => this.#begin(), this.#job.warmupMs);
  }

  async #connect(): Promise<LoadConnection> {
    const connection: LoadConnection = await LoadConnection.open(this.#job, this.#job.plan, {
      onAnswer: (good, sample) => this.#answer(connection, good, sample),
      onClose: () => {
        if (this.#phase !== "drain") throw new Error("The server closed a connection");
      },
    });
    return connection;
  }

  #answer(connection: LoadConnection, good: boolean, sample: () => string): void {
    if (!good) {
      this.#errors++;
      this.#errorSample ??= sample();
      setTimeout(() => this.#next(connection), ERROR_PAUSE_MS);
      return;
    }
    const { dueMs } = connection;
    // In an open loop every request that was due within the window counts, however late its answer.
    const late = this.#phase === "drain" && this.#job.ratePerSecond === undefined;
    if (dueMs >= this.#startMs && dueMs < this.#endMs && this.#phase !== "warmup" && !late) {
      this.#latencies.add(performance.now() - dueMs);
    }
    if (this.#phase === "measure") this.#answered++;
    this.#next(connection);
  }

  /** Gives a connection that is free its next request. */
  #next(connection: LoadConnection): void {
    const dueMs = this.#job.ratePerSecond === undefined
      ? this.#phase === "drain" ? undefined : performance.now()
      : this.#waiting[this.#waitingFirst++];
    if (dueMs !== undefined) this.#send(connection, dueMs);
    else if (this.#phase === "drain") this.#retire(connection);
    else {
      this.#forgetSent();
      this.#idle.push(connection);
    }
  }

  #forgetSent(): void {
    this.#waiting.length = 0;
    this.#waitingFirst = 0;
  }

  #retire(connection: LoadConnection): void {
    this.#open--;
    connection.end();
    this.#settle();
  }

  /** Sends what is due by now, and looks again soon. */
  #arrive(): void {
    const untilMs = Math.min(performance.now(), this.#endMs);
    while (this.#nextDueMs < untilMs) {
      this.#waiting.push(this.#nextDueMs);
      const share = (this.#random.next() + 1) / 0x1_0000_0001;
      this.#nextDueMs += -Math.log(share) * 1000 / this.#job.ratePerSecond!;
    }
    if (this.#waiting.length - this.#waitingFirst > WAITING_MAX) {
      throw new Error(`${WAITING_MAX} requests wait: the rate is too high for this server`);
    }
    while (this.#waitingFirst < this.#waiting.length) {
      const connection = this.#idle.pop();
      if (connection === undefined) break;
      this.#send(connection, this.#waiting[this.#waitingFirst++]!);
    }
    if (this.#phase !== "drain") setTimeout(() => this.#arrive(), DUE_POLL_MS);
  }

  #send(connection: LoadConnection, dueMs: number): void {
    const { template } = connection;
    const { slot } = this.#job.plan;
    for (let index = 0; index < template.slots; index++) {
      const value = slot.type === "sequence"
        ? this.#sequence++
        : slot.first + below(this.#random, slot.count);
      template.set(index, value);
    }
    connection.send(dueMs);
  }

  #begin(): void {
    this.#diskBefore = flushedBytes();
    this.#before = readUsage(this.#job.serverPids);
    this.#cpuBefore = process.cpuUsage();
    this.#phase = "measure";
    this.#startMs = performance.now();
    setTimeout(() => this.#finish(), this.#job.measureMs);
  }

  #finish(): void {
    this.#endMs = performance.now();
    if (this.#job.ratePerSecond !== undefined) this.#arrive();
    this.#phase = "drain";
    const seconds = (this.#endMs - this.#startMs) / 1000;
    const cpu = process.cpuUsage(this.#cpuBefore);
    const after = readUsage(this.#job.serverPids);
    const operations = this.#answered;
    const diskAfter = flushedBytes();
    const [leaderPid] = this.#job.serverPids;
    this.#costs = {
      operations,
      seconds,
      operationsPerSecond: operations / seconds,
      offeredPerSecond: this.#job.ratePerSecond,
      errors: this.#errors,
      errorSample: this.#errorSample,
      generatorCpuUs: (cpu.user + cpu.system) / operations,
      generatorShare: (cpu.user + cpu.system) / 1e6 / seconds,
      ...usagePerOperation(this.#before!, after, operations),
      diskBytes: diskAfter === undefined || this.#diskBefore === undefined
        ? undefined
        : (diskAfter - this.#diskBefore) / operations,
      leaderResidentMib: leaderPid === undefined ? undefined : residentMib(leaderPid),
    };
    for (const connection of this.#idle.splice(0)) this.#retire(connection);
    setTimeout(() => {
      throw new Error(`${this.#open} requests were not answered within ${DRAIN_MS} ms`);
    }, DRAIN_MS);
  }

  #settle(): void {
    if (this.#open > 0) return;
    const [p50Ms, p99Ms, p999Ms, maxMs] = this.#latencies.quantiles([0.5, 0.99, 0.999, 1]);
    this.#done({
      ...this.#costs!,
      p50Ms: p50Ms!,
      p99Ms: p99Ms!,
      p999Ms: p999Ms!,
      maxMs: maxMs!,
    });
  }
}

if (import.meta.main) {
  const job = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as LoadJob;
  const load = new Load(job, (measurement) => {
    process.stdout.write(`${JSON.stringify(measurement)}\n`, () => process.exit(0));
  });
  await load.run();
}
