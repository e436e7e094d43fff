import { expect, test } from "bun:test";
import { join } from "node:path";

import { Nodes } from "./nodes.ts";

const ROOT = join(import.meta.dir, "../..");
const DENO = join(ROOT, "node_modules/.bin/deno");

test("under Deno, too, the client works and sends no write twice", async () => {
  await using nodes = new Nodes();
  const [leader, other] = await nodes.cluster(2);
  const script = `
    import { connect } from ${JSON.stringify(join(ROOT, "mod.ts"))};
    const client = connect({ urls: ${JSON.stringify(other!.url)}, timeoutMs: 5000 });
    await client.execute("CREATE TABLE t (a)");
    await client.batch([["INSERT INTO t VALUES (?)", [new Uint8Array([1, 2])]]], "write");
    const { rows } = await client.execute("SELECT hex(a) AS h FROM t");
    console.log(rows[0].h);
    Deno.stdin.readSync(new Uint8Array(1));
    try {
      await client.execute("INSERT INTO t VALUES (3)");
    } catch (error) {
      console.log(error.code, error.outcome);
    }
    console.log((await client.execute("SELECT count(*) AS n FROM t")).rows[0].n);
    client.close();
  `;
  const file = join(nodes.folder, "script.ts");
  await Bun.write(file, script);
  const deno = Bun.spawn([DENO, "run", "-A", "--config", join(ROOT, "deno.json"), file], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  while (leader!.pipelines.length < 3) await Bun.sleep(5);
  leader!.faults.push({ type: "drop", executed: true });
  deno.stdin.write("x");
  deno.stdin.end();
  const text = await new Response(deno.stdout).text();
  const errors = await new Response(deno.stderr).text();
  expect([text, errors]).toEqual(["0102\nCONNECTION_LOST unknown\n2\n", ""]);
  expect(await deno.exited).toBe(0);
  expect(leader!.pipelines.length).toBe(5);
}, 20_000);
