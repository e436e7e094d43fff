/** The table of commands that begin with a dot. */
import { nearest } from "../base/nearest.ts";
import { CLUSTER_COMMANDS } from "./cluster_commands.ts";
import { splitCommand } from "./command_line.ts";
import { type DotCommand, ShellError, type ShellHost } from "./host.ts";
import { OUTPUT_COMMANDS } from "./output_commands.ts";
import { SCHEMA_COMMANDS } from "./schema_commands.ts";

const quit: DotCommand["run"] = (shell, [status = "0"]) => {
  if (!/^\d{1,3}$/.test(status) || Number(status) > 255) {
    throw new ShellError(`Cannot exit with "${status}": must be a number from 0 to 255`);
  }
  shell.quit(Number(status));
};

/** Every command, by name. */
export const DOT_COMMANDS: readonly DotCommand[] = sorted([
  ...OUTPUT_COMMANDS,
  ...SCHEMA_COMMANDS,
  ...CLUSTER_COMMANDS,
  { name: "exit", usage: "[STATUS]", help: "Leave the shell", run: quit },
  {
    name: "help",
    usage: "[COMMAND]",
    help: "Show this list, or the line of one command",
    run(shell, [name]) {
      const wanted = name === undefined ? DOT_COMMANDS : [commandNamed(name.replace(/^\./, ""))];
      const lines = wanted.map(({ name, usage, help }) => [`.${name} ${usage}`, help] as const);
      const width = Math.max(...lines.map(([left]) => left.length));
      for (const [left, help] of lines) shell.print(`${left.padEnd(width)}  ${help}\n`);
    },
  },
  { name: "quit", usage: "", help: "Leave the shell", run: quit },
  {
    name: "read",
    usage: "FILE",
    help: "Run the statements and commands in FILE",
    async run(shell, args) {
      if (args.length !== 1) throw new ShellError("Usage: .read FILE");
      await shell.readFile(args[0]!);
    },
  },
]);

function sorted(commands: readonly DotCommand[]): DotCommand[] {
  return commands.toSorted((a, b) => a.name < b.name ? -1 : 1);
}

/**
 * Runs a command, such as `.mode csv`.
 *
 * @throws {ShellError} when there is no such command, or its arguments are not right.
 */
export async function runDotCommand(shell: ShellHost, text: string): Promise<void> {
  const [name = "", ...args] = splitCommand(text.slice(1));
  await commandNamed(name).run(shell, args);
}

/** By its name, or by a beginning of it that only one command has. */
function commandNamed(name: string): DotCommand {
  const exact = DOT_COMMANDS.find((command) => command.name === name);
  if (exact !== undefined) return exact;
  const names = DOT_COMMANDS.map((command) => command.name);
  const starting = names.filter((other) => name !== "" && other.startsWith(name));
  if (starting.length === 1) return DOT_COMMANDS[names.indexOf(starting[0]!)]!;
  const near = nearest(name, names);
  const hint = near === undefined ? 'enter ".help" for a list' : `did you mean ".${near}"?`;
  throw new ShellError(`Unknown command ".${name}": ${hint}`);
}
