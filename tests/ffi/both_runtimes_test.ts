import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { libraryPath } from "../../ffi/open.ts";

const program = fileURLToPath(new URL("both_runtimes_program.ts", import.meta.url));
const deno = fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url));

async function outputOf(command: string[]): Promise<string[]> {
  const child = Bun.spawn([...command, program], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, DQLITE_LIBRARY: libraryPath() },
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect([code, errors]).toEqual([0, ""]);
  return output.trim().split("\n");
}

test("the library does the same in Bun and in Deno", async () => {
  const [inBun, inDeno] = await Promise.all([
    outputOf([process.execPath]),
    outputOf([deno, "run", "--no-check", "--allow-all"]),
  ]);
  expect(inBun).toContain("same: true");
  expect(inBun.length).toBeGreaterThan(25);
  expect(inDeno).toEqual(inBun);
}, 30_000);
