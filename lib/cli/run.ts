import { DatabaseError, messageOf } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { ClientError } from "../client/error.ts";
import type { Program } from "../io/program.ts";
import { EXIT } from "./command.ts";
import { parseArgs } from "./commander.ts";
import { COMMANDS } from "./commands.ts";
import { readSettings } from "./settings.ts";

/**
 * Runs the command that the arguments name.
 *
 * @returns The exit status; `EXIT` has them.
 */
export async function runCli(program: Program): Promise<number> {
  const parsed = parseArgs(program.args, {
    name: "dqlite",
    description: "SQLite, replicated over several machines",
    version: VERSION,
    commands: COMMANDS,
  });
  if (parsed.type === "text") {
    if (parsed.failed) program.stderr(parsed.text);
    else program.stdout(parsed.text);
    return parsed.failed ? EXIT.usage : EXIT.ok;
  }
  const { command, flags, rest } = parsed;
  try {
    const settings = readSettings(command.options, {
      flags,
      env: program.env,
      readTextFile: program.readTextFile,
    });
    return await command.run({ settings, rest, program });
  } catch (error) {
    program.stderr(describe(error));
    return error instanceof DatabaseError && error.code === "CONFIG" ? EXIT.usage : EXIT.failure;
  }
}

/** An error of a command as its user reads it; one that is a fault of the program shows where. */
function describe(error: unknown): string {
  if (error instanceof DatabaseError || error instanceof ClientError) {
    const hint = error.hint === undefined ? "" : `\nHint: ${error.hint}`;
    return `Error: ${error.message}${hint}\n`;
  }
  const trace = error instanceof Error ? error.stack : undefined;
  return `Error: ${trace ?? messageOf(error)}\n`;
}
