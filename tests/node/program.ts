/** A program that keeps what it is told, to run commands in the test's own process. */
import { readFileSync } from "node:fs";
import { runCli } from "../../lib/cli/run.ts";
import type { Program } from "../../lib/io/program.ts";

/** What a command did. */
export interface CommandResult {
  readonly status: number;
  readonly out: string;
  readonly errors: string;
}

/** Runs a command to its end. */
export function command(...args: string[]): Promise<CommandResult> {
  return commandIn({}, ...args);
}

/** Runs a command in an environment. */
export async function commandIn(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<CommandResult> {
  const written = { out: "", errors: "" };
  const program: Program = {
    args,
    env,
    platform: "test",
    stdout: (text) => written.out += text,
    stderr: (text) => written.errors += text,
    readTextFile: (path) => readFileSync(path, "utf8"),
    wallMs: () => 0,
    onStopRequest: () => {},
    exit: () => {
      throw new Error("exit");
    },
  };
  return { status: await runCli(program), ...written };
}
