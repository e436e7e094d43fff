/** What Linux counts for a process: processor time and bytes written (proc(5)). */
import { readFileSync } from "node:fs";

/** Clock ticks in a second; fixed for programs since Linux 2.6. */
const TICKS_PER_SECOND = 100;

/** Counters of a set of processes at one moment. */
export interface Usage {
  /** Processor time of all threads of all processes, in microseconds. */
  readonly cpuUs: number;
  /** Bytes that the first process caused to be written to storage. */
  readonly writtenBytes: number;
}

/** Reads the counters; `pids[0]` is the one whose written bytes count. */
export function readUsage(pids: readonly number[]): Usage {
  let cpuUs = 0;
  for (const pid of pids) cpuUs += cpuTicks(pid) * (1_000_000 / TICKS_PER_SECOND);
  return { cpuUs, writtenBytes: pids[0] === undefined ? 0 : writtenBytes(pids[0]) };
}

function cpuTicks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The second field is the name in parentheses and may hold spaces: count from behind it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function writtenBytes(pid: number): number {
  const found = /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "latin1"));
  if (found === null) throw new Error(`/proc/${pid}/io names no write_bytes`);
  return Number(found[1]);
}
