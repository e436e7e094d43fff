/** Commands about how results are shown and where they go. */
import { nearest } from "../base/nearest.ts";
import { type DotCommand, ShellError, type ShellSettings } from "./host.ts";
import { isMode, MODE_NAMES, type ModeName } from "./modes.ts";

/** Commands about how results are shown and where they go. */
export const OUTPUT_COMMANDS: readonly DotCommand[] = [
  {
    name: "mode",
    usage: "[MODE [TABLE]]",
    help: `Set output mode: ${MODE_NAMES.join(" ")}`,
    run(shell, [name, table]) {
      if (name === undefined) {
        shell.print(`current output mode: ${shell.settings.mode}\n`);
        return;
      }
      shell.settings.mode = modeNamed(name);
      shell.settings.table = table ?? "table";
    },
  },
  onOff("headers", "Turn display of headers on or off", (settings, on) => {
    settings.headers = on;
  }),
  {
    name: "nullvalue",
    usage: "STRING",
    help: "Use STRING in place of NULL values",
    run(shell, args) {
      if (args.length !== 1) throw new ShellError("Usage: .nullvalue STRING");
      shell.settings.nullText = args[0]!;
    },
  },
  {
    name: "output",
    usage: "[FILE]",
    help: "Send output to FILE, or to the terminal when FILE is omitted",
    run(shell, [path]) {
      shell.setOutput(path === "stdout" ? undefined : path);
    },
  },
  onOff("timer", "Show how long each statement takes", (settings, on) => settings.timer = on),
  onOff("changes", "Show the number of rows changed by SQL", (settings, on) => {
    settings.changes = on;
  }),
  onOff("bail", "Stop a script at its first error", (settings, on) => settings.bail = on),
];

/** @throws {ShellError} when there is no such mode. */
export function modeNamed(name: string): ModeName {
  if (isMode(name)) return name;
  const near = nearest(name, MODE_NAMES);
  throw new ShellError(
    `No mode "${name}": must be one of ${MODE_NAMES.join(" ")}` +
      (near === undefined ? "" : `; did you mean "${near}"?`),
  );
}

function onOff(
  name: string,
  help: string,
  set: (settings: ShellSettings, on: boolean) => void,
): DotCommand {
  return {
    name,
    usage: "on|off",
    help,
    run(shell, [value]) {
      const on = { on: true, yes: true, "1": true, off: false, no: false, "0": false }[value ?? ""];
      if (on === undefined) throw new ShellError(`Usage: .${name} on|off`);
      set(shell.settings, on);
    },
  };
}
