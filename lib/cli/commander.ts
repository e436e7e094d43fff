/**
 * Arguments to a call, by commander. No other file knows of it, so that another parser can take
 * its place here.
 */
import { Command as Parser, CommanderError, Option as Flag } from "commander";

import type { Command } from "./command.ts";
import type { Option } from "./options.ts";

/** What the arguments ask for. */
export type ParsedArgs =
  | {
    readonly type: "call";
    readonly command: Command;
    readonly flags: Readonly<Record<string, string | readonly string[]>>;
    readonly rest: readonly string[];
  }
  /** The text to show, on stdout when all is well, else on stderr with exit status 2. */
  | { readonly type: "text"; readonly text: string; readonly failed: boolean };

/** What the parser is to know of the program. */
export interface ParserOptions {
  readonly name: string;
  readonly description: string;
  /** The text of `--version`. */
  readonly version: string;
  readonly commands: readonly Command[];
}

/** Reads the arguments of the program. Never ends the process and never writes. */
export function parseArgs(args: readonly string[], options: ParserOptions): ParsedArgs {
  let text = "";
  let parsed: ParsedArgs | undefined;
  const parser = new Parser(options.name).description(options.description)
    .version(options.version, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand("help [COMMAND]", "show the help of a command");
  const prepare = (target: Parser): Parser =>
    target.exitOverride().showSuggestionAfterError(true)
      .configureOutput({ writeOut: (part) => text += part, writeErr: (part) => text += part });
  prepare(parser);
  for (const command of options.commands) {
    const sub = prepare(
      parser.command(command.name).summary(command.summary).description(command.summary)
        .helpOption("-h, --help", "show this help"),
    );
    for (const option of Object.values(command.options)) sub.addOption(flagOf(option));
    if (command.rest === undefined) sub.allowExcessArguments(false);
    else sub.argument(`[${command.rest.name}...]`, command.rest.description);
    sub.action(() => {
      parsed = { type: "call", command, flags: flagValues(sub, command), rest: sub.args };
    });
  }
  try {
    parser.parse([...args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const failed = error.exitCode !== 0;
    return { type: "text", text: failed ? withHint(text, options.name) : text, failed };
  }
  return parsed ?? { type: "text", text: parser.helpInformation(), failed: true };
}

function flagOf(option: Option): Flag {
  const value = option.placeholder === undefined ? "" : ` <${option.placeholder}>`;
  const unit = option.unit === undefined ? "" : ` [${option.unit}]`;
  const fallback = option.default === undefined || option.default === ""
    ? ""
    : ` (default: ${option.default})`;
  const flag = new Flag(
    `--${option.name}${value}`,
    `${option.description}${unit}${fallback} (env: ${option.env})`,
  );
  return option.type === "list" || option.type === "repeated"
    ? flag.argParser((text, before: string[] | undefined) => [...(before ?? []), text])
    : flag;
}

function flagValues(parser: Parser, command: Command): Record<string, string | string[]> {
  const flags: Record<string, string | string[]> = {};
  const values: Record<string, unknown> = parser.opts();
  for (const option of Object.values(command.options)) {
    const value = valueOf(values, option.name);
    if (value !== undefined) flags[option.name] = value === true ? "true" : value as string;
  }
  return flags;
}

/** Commander takes a flag `--no-x` for the opposite of `x`, which is then false. */
function valueOf(values: Readonly<Record<string, unknown>>, name: string): unknown {
  if (!name.startsWith("no-")) return values[camelCase(name)];
  return values[camelCase(name.slice("no-".length))] === false ? true : undefined;
}

/** How commander names the value of a flag. */
function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function withHint(text: string, name: string): string {
  return `${text.replace(/^error: /, "Error: ").trimEnd()}\nSee: ${name} --help\n`;
}
