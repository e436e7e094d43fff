/** The library through `Deno.dlopen`. */
import { type Functions, type Signature, SYMBOLS } from "./library.ts";

/** The part of `Deno` used here; its types are not at hand in every runtime. */
interface DenoFfi {
  dlopen(
    path: string,
    symbols: Record<string, { parameters: string[]; result: string }>,
  ): { symbols: Record<string, (...args: unknown[]) => unknown> };
}

/**
 * Loads the shared library at `path`; needs `--allow-ffi`.
 *
 * @throws {Error} when the file cannot be loaded, or lacks a function of the table.
 */
export function loadInDeno(path: string): Functions {
  const { Deno } = globalThis as unknown as { Deno: DenoFfi };
  const symbols: Record<string, { parameters: string[]; result: string }> = {};
  for (const [name, signature] of Object.entries<Signature>(SYMBOLS)) {
    symbols[name] = { parameters: [...signature.args], result: signature.returns };
  }
  const functions = { ...Deno.dlopen(path, symbols).symbols };
  for (const [name, signature] of Object.entries<Signature>(SYMBOLS)) {
    if (signature.returns !== "i64") continue;
    const call = functions[name]!;
    functions[name] = (...args) => Number(call(...args));
  }
  return functions as unknown as Functions;
}
