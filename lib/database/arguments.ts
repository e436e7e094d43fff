/** Arguments of a statement, brought into the order of its parameters. */
import { DatabaseError } from "../base/errors.ts";
import type { Value, ValueEncoder } from "./values.ts";

/**
 * Arguments by position (`?`, `?3`, and named parameters in the order of their first use), or by
 * name, with or without the leading `:`, `@` or `$`.
 */
export type Arguments = readonly Value[] | ReadonlyMap<string, Value>;

/** The names of a statement's parameters by position, undefined for a bare `?`. */
export type Parameters = readonly (string | undefined)[];

/**
 * Encodes one value for each parameter.
 *
 * @throws {DatabaseError} `ARGS_INVALID` when a parameter gets no value, an argument meets no
 * parameter, or an integer does not fit 64 bits.
 */
export function encodeArguments(
  encoder: ValueEncoder,
  parameters: Parameters,
  args: Arguments,
): void {
  encoder.reset();
  if (isPositional(args)) {
    if (args.length !== parameters.length) throw countMismatch(parameters.length, args.length);
    for (let i = 0; i < args.length; i++) add(encoder, args[i]!, i, parameters);
  } else {
    encodeNamed(encoder, parameters, args);
  }
}

function isPositional(args: Arguments): args is readonly Value[] {
  return Array.isArray(args);
}

function encodeNamed(
  encoder: ValueEncoder,
  parameters: Parameters,
  args: ReadonlyMap<string, Value>,
): void {
  const used = new Set<string>();
  for (let i = 0; i < parameters.length; i++) {
    const parameter = parameters[i];
    if (parameter === undefined) {
      throw new DatabaseError(
        "ARGS_INVALID",
        `Parameter ${i + 1} has no name, but the arguments are given by name`,
      );
    }
    const name = args.has(parameter) ? parameter : parameter.slice(1);
    const value = args.get(name);
    if (value === undefined) {
      throw new DatabaseError("ARGS_INVALID", `No argument for the parameter ${parameter}`);
    }
    used.add(name);
    add(encoder, value, i, parameters);
  }
  if (used.size === args.size) return;
  for (const name of args.keys()) {
    if (!used.has(name)) {
      throw new DatabaseError("ARGS_INVALID", `The statement has no parameter "${name}"`);
    }
  }
}

function countMismatch(parameterCount: number, argumentCount: number): DatabaseError {
  return new DatabaseError(
    "ARGS_INVALID",
    `The statement has ${parameterCount} parameters, but ${argumentCount} arguments were given`,
  );
}

function add(encoder: ValueEncoder, value: Value, index: number, parameters: Parameters): void {
  try {
    encoder.add(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const name = parameters[index] ?? String(index + 1);
    throw new DatabaseError("ARGS_INVALID", `Argument ${name}: ${error.message}`, { cause: error });
  }
}
