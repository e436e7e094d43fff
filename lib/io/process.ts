/**
 * Child processes: this very program started again, watched, and never left behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** Bytes of a child's output that are kept to explain a failure. */
const TAIL_BYTES_MAX = 64 * 1024;
/** Below the range from which Linux draws the ports of outgoing connections. */
const PORT_FIRST = 12_000;
const PORT_END = 32_000;

/** How a process ended. */
export interface ExitStatus {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

/** One child process. It is killed when this process ends. */
export interface Child {
  readonly pid: number;
  /** Settles once the process is gone and its output is read. Never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** False once the process is gone. */
  readonly running: boolean;
  /** The last part of what it wrote to stdout and stderr. */
  outputTail(): string;
  /** Sends a signal; nothing happens when the process is gone. */
  signal(name: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
}

const children = new Set<ChildProcess>();
let watchesExit = false;

/**
 * Starts a process without a shell and without standard input.
 *
 * @param command The executable and its arguments.
 * @throws {Error} when the executable cannot be started.
 */
export async function startProcess(
  command: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string>>;
    /** Called with every piece of output, stdout and stderr alike. */
    readonly onOutput?: (text: string) => void;
  } = {},
): Promise<Child> {
  const [file, ...args] = command;
  if (file === undefined) throw new Error("An empty command cannot be started");
  if (!watchesExit) {
    watchesExit = true;
    process.on("exit", killAll);
  }
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  children.add(child);
  let tail = "";
  const take = (chunk: string) => {
    tail = (tail + chunk).slice(-TAIL_BYTES_MAX);
    options.onOutput?.(chunk);
  };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", take);
  let running = true;
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once("close", (code, signal) => {
      resolve({ code: code ?? undefined, signal: signal ?? undefined });
    });
  });
  child.once("exit", () => {
    running = false;
    children.delete(child);
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => {
      children.delete(child);
      reject(new Error(`Could not start ${file}: ${error.message}`, { cause: error }));
    });
  });
  return {
    pid: child.pid!,
    exited,
    get running() {
      return running;
    },
    outputTail: () => tail,
    signal(name) {
      if (running) child.kill(name);
    },
  };
}

function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}

/**
 * The command that starts this very program again: the compiled executable, or the script under
 * the runtime that runs it now.
 */
export function selfCommand(): readonly string[] {
  const script = process.argv[1];
  if (script === undefined || script.includes("/$bunfs/") || script.includes("~BUN")) {
    return [process.execPath];
  }
  if (process.versions["deno"] !== undefined) return [process.execPath, "run", "-A", script];
  return [process.execPath, script];
}

/**
 * Ports of 127.0.0.1 that nobody listens on. They lie outside the range of outgoing connections, so
 * that they are still free after their owner was killed and is started again.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let attempt = 0; ports.size < count; attempt++) {
    if (attempt > 1000) throw new Error(`Found no ${count} free ports on 127.0.0.1`);
    const port = PORT_FIRST + Math.floor(Math.random() * (PORT_END - PORT_FIRST));
    if (!ports.has(port) && await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Makes a new folder for temporary files; `remove` deletes it with all it holds. */
export function temporaryFolder(prefix: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), prefix));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Deletes a folder with all it holds; nothing happens when there is none. */
export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** Where standard error goes, for progress that must not mix with the output. */
export const standardError = {
  get isTerminal(): boolean {
    return process.stderr.isTTY === true;
  },
};

/** Where standard output goes, for progress that refreshes itself on a terminal. */
export const standardOutput = {
  get isTerminal(): boolean {
    return process.stdout.isTTY === true;
  },
  /** Width of the terminal in characters. */
  get columns(): number {
    return process.stdout.columns ?? 80;
  },
};
