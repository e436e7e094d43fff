/** The library through `bun:ffi`. */
import { type Functions, type Signature, SYMBOLS } from "./library.ts";

/** The words of `bun:ffi` for ours. `i64_fast` yields a number for every integer below 2^53. */
const WORDS = {
  void: "void",
  i32: "i32",
  i64: "i64_fast",
  pointer: "ptr",
  buffer: "buffer",
} as const;

/** The part of `bun:ffi` used here; its own types are not at hand in every runtime. */
interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: unknown };
}

/**
 * Loads the shared library at `path`.
 *
 * @throws {Error} when the file cannot be loaded, or lacks a function of the table.
 */
export async function loadInBun(path: string): Promise<Functions> {
  const specifier: string = "bun:ffi";
  const ffi: BunFfi = await import(specifier);
  const symbols: Record<string, { args: string[]; returns: string }> = {};
  for (const [name, signature] of Object.entries<Signature>(SYMBOLS)) {
    symbols[name] = {
      args: signature.args.map((word) => WORDS[word]),
      returns: WORDS[signature.returns],
    };
  }
  return ffi.dlopen(path, symbols).symbols as Functions;
}
