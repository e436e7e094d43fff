import { type Call, EXIT } from "./command.ts";
import type { SHELL_OPTIONS } from "./options.ts";

/** `dqlite shell`. */
export function shell(_call: Call<typeof SHELL_OPTIONS>): Promise<number> {
  return Promise.resolve(EXIT.failure);
}
