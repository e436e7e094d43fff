import { expect, test } from "bun:test";

const PROGRAM = new URL("./library_program.ts", import.meta.url).pathname;
const DENO = new URL("../../node_modules/.bin/deno", import.meta.url).pathname;

for (const command of [[process.execPath, PROGRAM], [DENO, "run", "-A", PROGRAM]]) {
  const runtime = command.length === 2 ? "Bun" : "Deno";
  test(`a program embeds a node and connects to it under ${runtime}`, async () => {
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
    const [output, errors, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect({ output: output.trim(), errors, status }).toEqual({
      output: "ok",
      errors: "",
      status: 0,
    });
  }, 30_000);
}
