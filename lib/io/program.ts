/**
 * This process, as a command of the terminal sees it: arguments, environment, output, signals.
 */
import { chmodSync, closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** What a command may use of its process. */
export interface Program {
  /** The arguments behind the program's own name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The runtime and the platform, such as `Bun 1.4.5, linux x64`. */
  readonly platform: string;
  stdout(text: string): void;
  stderr(text: string): void;
  /** @throws {Error} of the system, with the path in its message. */
  readTextFile(path: string): string;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /**
   * Calls `onStop` when the process is asked to end. A second request ends it at once, with the
   * status a shell gives to a process that a signal ended.
   */
  onStopRequest(onStop: (signal: "SIGINT" | "SIGTERM") => void): void;
  exit(status: number): never;
}

const SIGNAL_STATUS = { SIGINT: 130, SIGTERM: 143 } as const;

/** The program that runs. */
export const program: Program = {
  args: process.argv.slice(2),
  env: process.env,
  platform: `${runtimeName()}, ${process.platform} ${process.arch}`,
  stdout: (text) => writeAll(1, text),
  stderr: (text) => writeAll(2, text),
  readTextFile: (path) => readFileSync(path, "utf8"),
  wallMs: () => Date.now(),
  onStopRequest(onStop) {
    let asked = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        if (asked) process.exit(SIGNAL_STATUS[signal]);
        asked = true;
        onStop(signal);
      });
    }
  },
  exit: (status) => process.exit(status),
};

/** The path of a file in the user's home folder; undefined when there is no such folder. */
export function homePath(name: string): string | undefined {
  try {
    const home = homedir();
    return home === "" ? undefined : join(home, name);
  } catch {
    return undefined;
  }
}

/** The content of a file, or undefined when it cannot be read. */
export function readTextIfAny(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/** Writes a file that only its owner can read, also when it was there before. */
export function writePrivateText(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  chmodSync(path, 0o600);
}

/** A file that grows by text. */
export interface TextSink {
  write(text: string): void;
  close(): void;
}

/** Makes or empties a file. @throws {Error} of the system, with the path in its message. */
export function createTextFile(path: string): TextSink {
  const file = openSync(path, "w");
  return { write: (text) => writeAll(file, text), close: () => closeSync(file) };
}

/**
 * Writes all of `text`, waiting while a pipe is full: output must be out before the process ends,
 * and its reader may be slow. A reader that went away (`head`) ends the process quietly.
 */
function writeAll(file: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(file, bytes, at);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "EAGAIN") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      else if (code === "EPIPE" && file <= 2) process.exit(0);
      else throw error;
    }
  }
}

function runtimeName(): string {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  if (versions["bun"] !== undefined) return `Bun ${versions["bun"]}`;
  if (versions["deno"] !== undefined) return `Deno ${versions["deno"]}`;
  return `Node ${versions["node"]}`;
}
