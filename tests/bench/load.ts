/**
 * The load generator, a process of its own: raw keep-alive connections, prebuilt requests, no
 * promise and no parsing of JSON on the way. Reads a job from its first argument, prints a
 * measurement.
 */
import { below, SeededRandom } from "../../lib/base/random.ts";
import { Latencies, type Measurement } from "./measurement.ts";
import { flushedBytes, readUsage, type Usage } from "./processes.ts";
import { type RequestPlan, RequestTemplate } from "./request_template.ts";
import { ResponseParser } from "./response_parser.ts";

/** What to measure. */
export interface LoadJob {
  readonly host: string;
  readonly port: number;
  readonly plan: RequestPlan;
  readonly clients: number;
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

class Load {
  readonly #job: LoadJob;
  readonly #random: SeededRandom;
  readonly #latencies = new Latencies();
  readonly #must: Buffer;
  readonly #mustNot: Buffer;
  readonly #done: (measurement: Measurement) => void;
  #sequence: number;
  #phase: "warmup" | "measure" | "drain" = "warmup";
  #open = 0;
  #errors = 0;
  #errorSample: string | undefined;
  #startMs = 0;
  #before: Usage | undefined;
  #diskBefore = 0;
  #cpuBefore: NodeJS.CpuUsage | undefined;
  #result: Measurement | undefined;

  constructor(job: LoadJob, done: (measurement: Measurement) => void) {
    this.#job = job;
    this.#random = new SeededRandom(job.seed);
    this.#sequence = job.sequenceStart;
    this.#must = Buffer.from(job.plan.must);
    this.#mustNot = Buffer.from(job.plan.mustNot);
    this.#done = done;
  }

  async run(): Promise<void> {
    const { host, port, plan, clients } = this.#job;
    const starts: (() => void)[] = [];
    for (let client = 0; client < clients; client++) {
      starts.push(await this.#connect(host, port, plan));
    }
    for (const start of starts) start();
    setTimeout(() => this.#begin(), this.#job.warmupMs);
  }

  async #connect(host: string, port: number, plan: RequestPlan): Promise<() => void> {
    const template = new RequestTemplate(plan, `${host}:${port}`);
    let sentMs = 0;
    let unsent: Buffer | undefined;
    const send = () => {
      if (this.#phase === "drain") {
        this.#open--;
        socket.end();
        this.#settle();
        return;
      }
      this.#fill(template, plan);
      sentMs = performance.now();
      const written = socket.write(template.bytes);
      unsent = written < template.bytes.length ? template.bytes.subarray(written) : undefined;
    };
    const parser = new ResponseParser((status, body) => {
      if (this.#isGood(template, status, body)) {
        if (this.#phase === "measure" && sentMs >= this.#startMs) {
          this.#latencies.add(performance.now() - sentMs);
        }
        send();
      } else {
        this.#fault(`${status} ${body.toString("latin1", 0, 300)}`);
        setTimeout(send, ERROR_PAUSE_MS);
      }
    });
    const socket = await Bun.connect({
      hostname: host,
      port,
      socket: {
        data: (_, chunk) => parser.push(chunk),
        drain: (socket) => {
          if (unsent === undefined) return;
          const written = socket.write(unsent);
          unsent = written < unsent.length ? unsent.subarray(written) : undefined;
        },
        close: () => {
          if (this.#phase !== "drain") throw new Error("The server closed a connection");
        },
        error: (_, error) => {
          throw error;
        },
      },
    });
    socket.setNoDelay(true);
    this.#open++;
    return send;
  }

  #fill(template: RequestTemplate, plan: RequestPlan): void {
    const slot = plan.slot;
    for (let index = 0; index < template.slots; index++) {
      const value = slot.type === "sequence"
        ? this.#sequence++
        : slot.first + below(this.#random, slot.count);
      template.set(index, value);
    }
  }

  #isGood(template: RequestTemplate, status: number, body: Buffer): boolean {
    const plan = this.#job.plan;
    return status === 200 && body.length >= plan.bodyBytesMin && body.includes(this.#must) &&
      !body.includes(this.#mustNot) && (!plan.echo || body.includes(template.digits(0)));
  }

  #fault(sample: string): void {
    this.#errors++;
    this.#errorSample ??= sample;
  }

  #begin(): void {
    this.#phase = "measure";
    this.#diskBefore = flushedBytes();
    this.#before = readUsage(this.#job.serverPids);
    this.#cpuBefore = process.cpuUsage();
    this.#startMs = performance.now();
    setTimeout(() => this.#finish(), this.#job.measureMs);
  }

  #finish(): void {
    this.#phase = "drain";
    const seconds = (performance.now() - this.#startMs) / 1000;
    const cpu = process.cpuUsage(this.#cpuBefore);
    const after = readUsage(this.#job.serverPids);
    const operations = this.#latencies.count;
    const diskBytes = (flushedBytes() - this.#diskBefore) / operations;
    const [p50Ms, p99Ms] = this.#latencies.quantiles([0.5, 0.99]);
    this.#result = {
      operations,
      seconds,
      operationsPerSecond: operations / seconds,
      p50Ms: p50Ms!,
      p99Ms: p99Ms!,
      errors: this.#errors,
      errorSample: this.#errorSample,
      serverCpuUs: (after.cpuUs - this.#before!.cpuUs) / operations,
      generatorCpuUs: (cpu.user + cpu.system) / operations,
      leaderWrittenBytes: (after.writtenBytes - this.#before!.writtenBytes) / operations,
      diskBytes,
    };
    setTimeout(() => {
      throw new Error(`${this.#open} requests were not answered within ${DRAIN_MS} ms`);
    }, DRAIN_MS);
  }

  #settle(): void {
    if (this.#open === 0) this.#done(this.#result!);
  }
}

if (import.meta.main) {
  const job = JSON.parse(process.argv[2]!) as LoadJob;
  const load = new Load(job, (measurement) => {
    process.stdout.write(`${JSON.stringify(measurement)}\n`, () => process.exit(0));
  });
  await load.run();
}
