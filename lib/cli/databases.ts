/** `dqlite databases`: lists the databases of a cluster, makes one, drops one. */
import { DatabaseError } from "../base/errors.ts";
import { interruptOf, newCalls } from "./backup.ts";
import { type Call, EXIT } from "./command.ts";
import type { DATABASES_OPTIONS } from "./options.ts";

/** @throws {DatabaseError} why it could not be done, or that this is not known. */
export async function databases(
  { settings, rest, program }: Call<typeof DATABASES_OPTIONS>,
): Promise<number> {
  const calls = newCalls(settings.url, interruptOf(program));
  const [what = "list", name, ...more] = rest;
  const isList = what === "list" && name === undefined;
  const isChange = (what === "create" || what === "drop") && name !== undefined;
  if (more.length > 0 || !isList && !isChange) {
    throw new DatabaseError("CONFIG", `databases does not know "${rest.join(" ")}"`, {
      hint: "It takes nothing, create NAME, or drop NAME",
    });
  }
  if (isList) {
    for (const { name } of await calls.databases()) program.stdout(`${name}\n`);
    return EXIT.ok;
  }
  await calls.change(what === "create" ? "POST" : "DELETE", "cluster/databases", { name });
  return EXIT.ok;
}
