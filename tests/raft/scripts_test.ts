/** The interaction scripts: what the core does, step by step. `UPDATE=1` records them again. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "./script.ts";

const FOLDER = join(import.meta.dir, "scripts");

for (const file of readdirSync(FOLDER).toSorted()) {
  test(`script ${file.replace(/\.txt$/, "").replaceAll("_", " ")}`, () => {
    const path = join(FOLDER, file);
    const recorded = readFileSync(path, "utf8");
    const actual = runScript(recorded);
    if (process.env["UPDATE"] === "1") writeFileSync(path, actual);
    else expect(actual).toBe(recorded);
  });
}
