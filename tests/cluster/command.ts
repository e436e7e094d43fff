/** Commands of the program, run as processes of their own. */
import process from "node:process";
import { commandOf, type Runner } from "./harness.ts";

/** What a command that ended left. */
export interface Ended {
  readonly status: number;
  readonly out: string;
  readonly errors: string;
}

/** Runs a command to its end. */
export function runCommand(runner: Runner, ...args: string[]): Promise<Ended> {
  return runCommandIn({}, runner, ...args);
}

/** Runs a command with more variables in its environment than this process has. */
export async function runCommandIn(
  env: Readonly<Record<string, string>>,
  runner: Runner,
  ...args: string[]
): Promise<Ended> {
  const child = Bun.spawn([...commandOf(runner), ...args], {
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status, out, errors };
}
