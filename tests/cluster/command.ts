/** Commands of the program, run as processes of their own. */
import { commandOf, type Runner } from "./harness.ts";

/** What a command that ended left. */
export interface Ended {
  readonly status: number;
  readonly out: string;
  readonly errors: string;
}

/** Runs a command to its end. */
export async function runCommand(runner: Runner, ...args: string[]): Promise<Ended> {
  const child = Bun.spawn([...commandOf(runner), ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status, out, errors };
}
