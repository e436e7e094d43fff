/** What Linux counts for a process: processor time and bytes written (proc(5)). */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";

/** Clock ticks in a second; fixed for programs since Linux 2.6. */
const TICKS_PER_SECOND = 100;

/** Counters of a set of processes at one moment. */
export interface Usage {
  /** Processor time of all threads of all processes, in microseconds. */
  readonly cpuUs: number;
  /**
   * Bytes of the page cache that the first process made dirty. Where the file system uses large
   * folios the kernel counts a whole folio, up to half a megabyte, for one page in it: compare with
   * {@linkcode flushedBytes}.
   */
  readonly writtenBytes: number;
}

/** Reads the counters; `pids[0]` is the one whose written bytes count. */
export function readUsage(pids: readonly number[]): Usage {
  let cpuUs = 0;
  for (const pid of pids) cpuUs += cpuTicks(pid) * (1_000_000 / TICKS_PER_SECOND);
  return { cpuUs, writtenBytes: pids[0] === undefined ? 0 : writtenBytes(pids[0]) };
}

const SECTOR_BYTES = 512;

/**
 * Bytes that the disk under the folder for temporary files has taken so far, from everybody on this
 * machine, once all that was written before has reached it. NaN where there is no such disk.
 */
export function flushedBytes(): number {
  const { dev } = statSync(tmpdir());
  const counters = `/sys/dev/block/${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  if (!existsSync(`${counters}/stat`)) return NaN;
  spawnSync("sync");
  const fields = readFileSync(`${counters}/stat`, "latin1").trim().split(/ +/);
  return Number(fields[6]) * SECTOR_BYTES;
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
