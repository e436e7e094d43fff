import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The folder of the project. */
export const ROOT = new URL("../..", import.meta.url).pathname;

/** The runtimes that a script of the tests can run under. */
export type Runtime = "bun" | "deno";

/** The command that runs `script`, with nothing between it and the process that runs it. */
export function commandOf(runtime: Runtime, script: string): string[] {
  const path = join(ROOT, script);
  if (runtime === "bun") return [process.execPath, path];
  return [denoPath(), "run", "-A", "--config", join(ROOT, "deno.json"), path];
}

/** The program itself: the `deno` of npm is a script around it, which a signal would end alone. */
function denoPath(): string {
  const installed = join(ROOT, "node_modules/deno/deno");
  return existsSync(installed) ? installed : join(ROOT, "node_modules/.bin/deno");
}
