/** A program that keeps what it is told, to run commands in the test's own process. */
import { readFileSync } from "node:fs";
import { runCli } from "../../lib/cli/run.ts";
import type { Program } from "../../lib/io/program.ts";

/** Runs a command to its end. */
export async function command(
  ...args: string[]
): Promise<{ status: number; out: string; errors: string }> {
  const written = { out: "", errors: "" };
  const program: Program = {
    args,
    env: {},
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
