import { crc32c } from "../../lib/base/crc32c.ts";
import type { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import type { Clock } from "../../lib/io/clock.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { SegmentLog, type SegmentLogOptions } from "../../lib/log/segment_log.ts";
import type { LogBatch } from "../../lib/log/types.ts";
import type { Configuration, Entry } from "../../lib/raft/types.ts";

export const CLUSTER = "0123456789abcdef0123456789abcdef";
export const FOLDER = "/data/log";
export const SEGMENT = 64 * 1024;

/** Time and completions of the disk, one step at a time. */
export class Loop {
  #soon: (() => void)[] = [];
  /** Completions of durable writes, in the order in which they began. */
  readonly completions: (() => void)[] = [];
  #timers: { atMs: number; run: () => void }[] = [];
  nowMs = 0;

  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    wallMs: () => this.nowMs,
    after: (delayMs, run) => {
      const timer = { atMs: this.nowMs + delayMs, run };
      this.#timers.push(timer);
      return () => this.#timers.splice(this.#timers.indexOf(timer) >>> 0, 1);
    },
    soon: (run) => this.#soon.push(run),
  };

  readonly schedule = (run: () => void): void => {
    this.completions.push(run);
  };

  /** Runs what is due now, but completes no write. */
  turn(): void {
    for (let run = this.#soon.shift(); run !== undefined; run = this.#soon.shift()) run();
  }

  /** Completes the write that began first; false when none is under way. */
  complete(): boolean {
    this.turn();
    const run = this.completions.shift();
    run?.();
    this.turn();
    return run !== undefined;
  }

  /** Completes everything. */
  settle(): void {
    while (this.complete());
  }

  pass(durationMs: number): void {
    this.nowMs += durationMs;
    const due = this.#timers.filter((timer) => timer.atMs <= this.nowMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.nowMs);
    for (const timer of due) timer.run();
    this.turn();
  }
}

/** A log on a disk in memory, with its loop. */
export class Fixture {
  readonly loop = new Loop();
  readonly disk: MemoryDisk;
  readonly fatal: DatabaseError[] = [];
  readonly log: SegmentLog;

  constructor(options: Partial<SegmentLogOptions> & { disk?: MemoryDisk } = {}) {
    this.disk = options.disk ?? new MemoryDisk();
    this.disk.schedule = this.loop.schedule;
    this.log = SegmentLog.open({
      folder: FOLDER,
      clusterId: CLUSTER,
      nodeId: 7,
      random: new SeededRandom(99),
      onFatal: (error) => this.fatal.push(error),
      clock: this.loop.clock,
      segmentBytes: SEGMENT,
      ...options,
      disk: this.disk,
    });
    // The next segment is ready before anything is written.
    if (options.create !== false) this.loop.settle();
  }

  /** Appends and waits until it is durable. */
  write(batch: Partial<LogBatch>): void {
    let durable = false;
    this.log.append(fullBatch(batch), () => durable = true);
    this.loop.settle();
    if (!durable) throw new Error("The batch did not become durable");
  }

  /** A log on the same disk after everything not durable is gone. */
  restart(options: Partial<SegmentLogOptions> = {}): Fixture {
    return new Fixture({ ...options, disk: this.disk.crash(() => false) });
  }

  close(): void {
    let closed = false;
    this.log.close(() => closed = true);
    this.loop.settle();
    if (!closed) throw new Error("The log did not close");
  }
}

export function fullBatch(batch: Partial<LogBatch>): LogBatch {
  return { hardState: undefined, truncateFrom: undefined, entries: [], ...batch };
}

/** An entry whose payload tells index and term. */
export function command(index: number, term: number, size = 100): Entry {
  const payload = new Uint8Array(size);
  for (let i = 0; i < size; i++) payload[i] = 1 + (index * 31 + term * 17 + i) % 255;
  return { type: "command", index, term, payload, checksum: crc32c(payload) };
}

export function commands(first: number, last: number, term: number, size = 100): Entry[] {
  const entries: Entry[] = [];
  for (let index = first; index <= last; index++) entries.push(command(index, term, size));
  return entries;
}

export const CONFIGURATION: Configuration = {
  voters: [7],
  votersOutgoing: [],
  learners: [],
  standbys: [],
  spares: [],
  members: [{ id: 7, address: "127.0.0.1:9001", httpUrl: "http://127.0.0.1:8080" }],
};

/** Everything a log holds, for comparison. */
export function contents(log: SegmentLog): readonly Entry[] {
  if (log.lastIndex < log.firstIndex) return [];
  return log.entries(log.firstIndex, log.lastIndex, Infinity) ?? [];
}

export function failure(run: () => unknown): Error & { code?: string } {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("Expected an error");
}

/** The only segment with records, and its path. */
export function segmentOf(sequence: number): string {
  return `${FOLDER}/${sequence.toString().padStart(16, "0")}.segment`;
}

/** The offset behind the last byte of the first segment that is not zero, aligned. */
export function endOfRecords(disk: MemoryDisk): number {
  const file = disk.open(segmentOf(1), { create: false });
  const bytes = file.read(0, file.size());
  file.close();
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  return Math.ceil(end / 8) * 8;
}

/** A payload with sectors of zeros inside, as pages of a database have. */
export function holey(index: number, term: number): Entry {
  const payload = new Uint8Array(4200);
  payload.fill(7, 0, 30);
  payload.fill(9, 2100, 2110);
  payload.fill(8, 4100);
  return { type: "command", index, term, payload, checksum: crc32c(payload) };
}
