import { VERSION } from "../base/version.ts";
import { type Call, EXIT } from "./command.ts";

/** `dqlite version`: shows what this executable is. */
export function version(call: Pick<Call, "program">): Promise<number> {
  call.program.stdout(`dqlite ${VERSION} (${call.program.platform})\n`);
  return Promise.resolve(EXIT.ok);
}
