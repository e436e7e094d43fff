/**
 * A lock that ends with its process, made of files only: neither runtime offers `flock`.
 *
 * A contender makes an empty file of its own, `PATH.PID-START-BOOT`, and looks at the others. Since
 * every contender makes its file before it looks, of two at least one sees the other. The file of
 * the holder is not empty. A file whose process is gone does not count: process id, start time and
 * boot id together are never used twice.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";

/** Time that a contender waits for another one to decide. */
const DECIDE_TIMEOUT_MS = 2_000;

interface Claim {
  readonly owner: string;
  readonly held: boolean;
}

/**
 * Takes the lock named by `path`. The file `path` itself tells people who holds it.
 *
 * @returns A function that gives it back, or undefined when another holds it.
 */
export function lockFile(path: string): (() => void) | undefined {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  const self = identityOf(process.pid) ?? `${process.pid}-0-0`;
  const claim = join(folder, prefix + self);
  if (!makeFile(claim)) return undefined;
  let taken = false;
  try {
    if (!decide(folder, prefix, self)) return undefined;
    writeFileSync(claim, "held\n");
    writeFileSync(path, `${process.pid}\n`);
    taken = true;
  } finally {
    if (!taken) rmSync(claim, { force: true });
  }
  return () => rmSync(claim, { force: true });
}

/** Whether a process that lives holds the lock named by `path`; nothing is changed. */
export function isLockHeld(path: string): boolean {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  if (!existsSync(folder)) return false;
  return readdirSync(folder).some((name) => {
    const owner = ownerOf(name, prefix);
    if (owner === undefined || identityOf(Number(owner.split("-")[0])) !== owner) return false;
    return (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0) > 0;
  });
}

/** Who made a claim, from its file's name; undefined when it is no claim. */
function ownerOf(name: string, prefix: string): string | undefined {
  const owner = name.slice(prefix.length);
  return name.startsWith(prefix) && /^\d+-\d+-[\w-]+$/.test(owner) ? owner : undefined;
}

/** True when this process may take the lock, false when another holds it or will. */
function decide(folder: string, prefix: string, self: string): boolean {
  const deadlineMs = performance.now() + DECIDE_TIMEOUT_MS;
  for (;;) {
    const live = claims(folder, prefix).filter((claim) => claim.owner !== self);
    if (live.length === 0) return true;
    // Of contenders that see each other the one with the smallest name stays.
    if (live.some((claim) => claim.held || claim.owner < self)) return false;
    // A larger one may have looked before this one came; it takes the lock or gives up soon.
    if (performance.now() > deadlineMs) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}

/** The claims of processes that live; files of the others are removed. */
function claims(folder: string, prefix: string): Claim[] {
  const found: Claim[] = [];
  for (const name of readdirSync(folder)) {
    const owner = ownerOf(name, prefix);
    if (owner === undefined) continue;
    const path = join(folder, name);
    if (identityOf(Number(owner.split("-")[0])) !== owner) {
      rmSync(path, { force: true });
      continue;
    }
    const status = statSync(path, { throwIfNoEntry: false });
    if (status !== undefined) found.push({ owner, held: status.size > 0 });
  }
  return found;
}

function makeFile(path: string): boolean {
  try {
    closeSync(openSync(path, "wx"));
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** What names a process for ever, or undefined when there is no such process. */
function identityOf(pid: number): string | undefined {
  try {
    const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const status = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name of the command may hold spaces and brackets; the fields go on after the last one.
    const fields = status.slice(status.lastIndexOf(")") + 2).split(" ");
    const state = fields[0];
    if (state === "Z" || state === "X") return undefined;
    return `${pid}-${fields[19]}-${bootId}`;
  } catch {
    return existsSync("/proc/self/stat") ? undefined : identityWithoutProc(pid);
  }
}

/** On systems without `/proc`, the process id alone must do. */
function identityWithoutProc(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
    return `${pid}-0-0`;
  } catch (error) {
    const denied = error instanceof Error && "code" in error && error.code === "EPERM";
    return denied ? `${pid}-0-0` : undefined;
  }
}
