/** What Linux counts for processes and for the machine (proc(5)). */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";

/** Clock ticks in a second; fixed for programs since Linux 2.6. */
const US_PER_TICK = 1_000_000 / 100;
const SECTOR_BYTES = 512;

/** Counters at one moment. */
export interface Usage {
  /** Processor time of all threads of the first process, in microseconds. */
  readonly leaderCpuUs: number;
  /** The same of all other processes. */
  readonly othersCpuUs: number;
  /**
   * Bytes of the page cache that the first process made dirty. Where the file system uses large
   * folios the kernel counts a whole folio, up to half a megabyte, for one page in it: compare with
   * {@linkcode flushedBytes}.
   */
  readonly leaderWrittenBytes: number;
  /** Bytes over the loopback interface, from everybody. */
  readonly wireBytes: number;
}

/** Reads the counters; `pids[0]` is the leader. */
export function readUsage(pids: readonly number[]): Usage {
  const [leader, ...others] = pids;
  return {
    leaderCpuUs: leader === undefined ? 0 : cpuUs(leader),
    othersCpuUs: others.reduce((sum, pid) => sum + cpuUs(pid), 0),
    leaderWrittenBytes: leader === undefined ? 0 : writtenBytes(leader),
    wireBytes: loopbackBytes(),
  };
}

/** Counters between two moments, for one operation. */
export function usagePerOperation(before: Usage, after: Usage, operations: number) {
  const leaderCpuUs = (after.leaderCpuUs - before.leaderCpuUs) / operations;
  const followersCpuUs = (after.othersCpuUs - before.othersCpuUs) / operations;
  return {
    serverCpuUs: leaderCpuUs + followersCpuUs,
    leaderCpuUs,
    followersCpuUs,
    leaderWrittenBytes: (after.leaderWrittenBytes - before.leaderWrittenBytes) / operations,
    wireBytes: (after.wireBytes - before.wireBytes) / operations,
  };
}

/**
 * Bytes that the disk under the folder for temporary files has taken so far, from everybody on this
 * machine, once all that was written before has reached it. Undefined where there is no such disk.
 */
export function flushedBytes(): number | undefined {
  const { dev } = statSync(tmpdir());
  const counters = `/sys/dev/block/${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`;
  if (!existsSync(`${counters}/stat`)) return undefined;
  spawnSync("sync");
  const fields = readFileSync(`${counters}/stat`, "latin1").trim().split(/ +/);
  return Number(fields[6]) * SECTOR_BYTES;
}

/** Memory of a process that is in use now. */
export function residentMib(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  return Number(found?.[1]) / 1024;
}

/** The most memory that a process ever had in use. */
export function peakResidentMib(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  return Number(found?.[1]) / 1024;
}

/** Processor time of a process so far, in microseconds. */
export function cpuUs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The second field is the name in parentheses and may hold spaces: count from behind it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * US_PER_TICK;
}

function writtenBytes(pid: number): number {
  const found = /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "latin1"));
  if (found === null) throw new Error(`/proc/${pid}/io names no write_bytes`);
  return Number(found[1]);
}

function loopbackBytes(): number {
  const found = /^ *lo: *(\d+) /m.exec(readFileSync("/proc/net/dev", "latin1"));
  if (found === null) throw new Error("/proc/net/dev names no lo");
  return Number(found[1]);
}
