/** Settings from flags, environment and config file, in this order, held against the table. */
import { z } from "zod";

import { DatabaseError, messageOf } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import { ALL_OPTIONS, type Option, type OptionTable, type Settings } from "./options.ts";

/** Where the values of options can come from. */
export interface Sources {
  /** As typed behind each flag, by flag; a flag without a value is `"true"`. */
  readonly flags: Readonly<Record<string, string | readonly string[]>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** @throws {Error} of the system, with the path in its message. */
  readonly readTextFile: (path: string) => string;
}

interface Given {
  readonly value: unknown;
  /** Names the place in messages, such as `--listen`. */
  readonly place: string;
}

/**
 * The value of each option of `table`.
 *
 * @throws {DatabaseError} `CONFIG`, naming the place, the value and the rule it breaks.
 */
export function readSettings<Table extends OptionTable>(
  table: Table,
  sources: Sources,
): Settings<Table> {
  const fromFile = table["config"] === undefined
    ? () => undefined
    : readConfigFile(given(table["config"], sources), sources);
  const settings: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(table)) {
    const found = given(option, sources) ?? fromFile(option.name) ?? fallback(option);
    settings[key] = validate(option, found);
  }
  return settings as Settings<Table>;
}

function given(option: Option, sources: Sources): Given | undefined {
  const flag = sources.flags[option.name];
  if (flag !== undefined) return { value: flag, place: `--${option.name}` };
  const variable = sources.env[option.env];
  // An empty variable counts as unset: that is how shells and unit files clear one.
  if (variable !== undefined && variable !== "") return { value: variable, place: option.env };
  return undefined;
}

function fallback(option: Option): Given {
  return { value: option.default, place: `the default of --${option.name}` };
}

function validate(option: Option, { value, place }: Given): unknown {
  const parsed = option.schema.safeParse(formed(option, value));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const part = issue.path.length > 0 && Array.isArray(formed(option, value))
    ? (formed(option, value) as unknown[])[Number(issue.path[0])]
    : value;
  throw new DatabaseError(
    "CONFIG",
    `Cannot use ${place} ${JSON.stringify(part)}: ${issue.message}`,
  );
}

/** Brings what was typed, or what a JSON file holds, to the form that the schema reads. */
function formed(option: Option, value: unknown): unknown {
  switch (option.type) {
    case "list": {
      const parts = Array.isArray(value) ? value : [value];
      return parts.flatMap((part) => typeof part === "string" ? part.split(",") : [part])
        .filter((part) => part !== "" && part !== undefined);
    }
    case "repeated":
      return (Array.isArray(value) ? value : [value]).filter((part) => part !== undefined);
    case "number":
      return typeof value === "number" ? String(value) : value;
    case "flag":
      return typeof value === "boolean" ? String(value) : value;
    case "text":
      return Array.isArray(value) ? value.at(-1) : value;
  }
}

function readConfigFile(
  place: Given | undefined,
  sources: Sources,
): (name: string) => Given | undefined {
  if (place === undefined) return () => undefined;
  const file = Array.isArray(place.value) ? String(place.value.at(-1)) : String(place.value);
  let text: string;
  try {
    text = sources.readTextFile(file);
  } catch (error) {
    throw new DatabaseError("CONFIG", `Cannot read config file "${file}": ${messageOf(error)}`);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new DatabaseError("CONFIG", `Config file "${file}" is not JSON: ${messageOf(error)}`);
  }
  const content = z.record(z.string(), z.unknown()).safeParse(parsed);
  if (!content.success) {
    throw new DatabaseError("CONFIG", `Config file "${file}" must hold one JSON object`);
  }
  refuseUnknownKeys(file, Object.keys(content.data));
  return (name) => {
    const value = content.data[name];
    return value === undefined ? undefined : { value, place: `"${name}" in ${file}` };
  };
}

function refuseUnknownKeys(file: string, keys: readonly string[]): void {
  const known = new Set(ALL_OPTIONS.flatMap((table) => Object.values(table).map((o) => o.name)));
  known.delete("config");
  for (const key of keys) {
    if (known.has(key)) continue;
    const near = nearest(key, known);
    throw new DatabaseError(
      "CONFIG",
      `Config file "${file}" has the unknown key "${key}"` +
        (near === undefined ? "" : `; did you mean "${near}"?`),
    );
  }
}
