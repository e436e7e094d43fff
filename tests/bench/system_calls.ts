/** System calls of processes, counted by the kernel through `perf`, where that may be used. */
import { spawn } from "node:child_process";

const CALLS = "raw_syscalls:sys_enter";
const SYNCS = ["syscalls:sys_enter_fdatasync", "syscalls:sys_enter_fsync"];

/** Calls of one process. */
export interface CallCount {
  readonly calls: number;
  /** Calls that make a file durable: fsync and fdatasync. */
  readonly syncs: number;
}

/** Counts for `seconds`; undefined where perf is missing or not allowed. */
export async function countCalls(pid: number, seconds: number): Promise<CallCount | undefined> {
  const events = [CALLS, ...SYNCS].flatMap((event) => ["-e", event]);
  const text = await outputOf([
    "perf",
    ...["stat", "-x", ",", ...events, "-p", String(pid), "--", "sleep", String(seconds)],
  ]);
  const counts = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [count, , event] = line.split(",");
    if (event !== undefined && /^\d+$/.test(count!)) counts.set(event, Number(count));
  }
  const calls = counts.get(CALLS);
  if (calls === undefined) return undefined;
  return { calls, syncs: SYNCS.reduce((sum, event) => sum + (counts.get(event) ?? 0), 0) };
}

/** What a program writes to stderr; empty when it cannot be started. */
function outputOf([file, ...args]: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(file!, args, { stdio: ["ignore", "ignore", "pipe"] });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => text += part);
    child.once("error", () => resolve(""));
    child.once("close", () => resolve(text));
  });
}
