/** Puts one mistake after another into a copy of the product, and counts the seeds that find it. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { libraryPath } from "../../ffi/open.ts";
import { MUTANTS } from "./mutants.ts";
import type { Edit, Mutant } from "./mutants/mutant.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
/** Seeds that a mistake may survive. */
const SEEDS_MAX = 10_000;
const SECONDS_MAX = 3600;
const FAILURE = /^seed (\d+) fails: (.*)$/m;

/** Applies an edit to a text. */
export function applyEdit(text: string, { file, search, replace }: Edit): string {
  const parts = text.split(search);
  if (parts.length !== 2) {
    throw new Error(`${file}: ${JSON.stringify(search)} is there ${parts.length - 1} times`);
  }
  return parts.join(replace);
}

/** The edits that do not fit the source any more. */
export function misfits(): string[] {
  const problems: string[] = [];
  for (const { name, edits } of MUTANTS) {
    for (const edit of edits) {
      try {
        applyEdit(readFileSync(ROOT + edit.file, "utf8"), edit);
      } catch (error) {
        problems.push(`${name}: ${String(error)}`);
      }
    }
  }
  return problems;
}

/** How much is to be done. */
export interface MutationOptions {
  /** Seeds that each mistake may survive. */
  readonly seedsMax?: number;
  /** Mistakes that are tried at once. */
  readonly jobs: number;
}

/** The seed that found a mistake, and what was seen. */
interface Kill {
  readonly seeds: string;
  readonly reason: string;
}

/**
 * Runs every mutant whose name contains one of `names`, or all, and prints a table, a line as soon
 * as it and all before it are known.
 *
 * @returns The process's exit code: 1 when one survived.
 */
export async function runMutants(
  names: readonly string[],
  { seedsMax = SEEDS_MAX, jobs }: MutationOptions,
): Promise<number> {
  const chosen = MUTANTS.filter(({ name }) =>
    names.length === 0 || names.some((part) => name.includes(part))
  );
  console.log("| mistake | seeds | how it shows |\n|---|---|---|");
  const kills: Promise<Kill | undefined>[] = [];
  let survivors = 0;
  for (const [at, { name }] of chosen.entries()) {
    while (kills.length < Math.min(chosen.length, at + jobs)) {
      kills.push(runMutant(chosen[kills.length]!, seedsMax));
    }
    const killed = await kills[at];
    if (killed === undefined) survivors++;
    const { seeds, reason } = killed ?? { seeds: `> ${seedsMax}`, reason: "**survived**" };
    console.log(`| ${name} | ${seeds} | ${reason} |`);
  }
  console.log(`\n${chosen.length - survivors} of ${chosen.length} found`);
  return survivors === 0 ? 0 : 1;
}

async function runMutant(
  { edits, sqlite = false }: Mutant,
  seedsMax: number,
): Promise<Kill | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "mutant-"));
  try {
    mkdirSync(join(folder, "tests"));
    for (const name of ["lib", "ffi", "tests/simulator"]) {
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    }
    for (const name of ["package.json", "tsconfig.json"]) {
      cpSync(join(ROOT, name), join(folder, name));
    }
    for (const edit of edits) {
      const path = join(folder, edit.file);
      writeFileSync(path, applyEdit(readFileSync(path, "utf8"), edit));
    }
    const main = join(folder, "tests/simulator/main.ts");
    const runtime = "Deno" in globalThis ? ["run", "-A", main] : [main];
    const args = [...runtime, ...(sqlite ? ["--sqlite"] : []), "--seeds", String(seedsMax)];
    const output = await run(args);
    const found = FAILURE.exec(output);
    return found === null ? undefined : { seeds: found[1]!, reason: shorten(found[2]!) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What a run of the simulator prints; one that finds nothing ends well. */
async function run(args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      env: { ...process.env, DQLITE_LIBRARY: libraryPath() },
      timeout: SECONDS_MAX * 1000,
      maxBuffer: 1 << 28,
    });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    if (FAILURE.test(stdout)) return stdout;
    throw new Error(`A mutant does not run: ${stdout}${stderr}`, { cause: error });
  }
}

/** Fits a cell of a table. */
function shorten(reason: string): string {
  const line = reason.replaceAll("|", "/");
  return line.length <= 90 ? line : `${line.slice(0, 87)}…`;
}
