import { expect, test } from "bun:test";
import { join } from "node:path";
import { HTTP_BODY_BYTES_MAX } from "../../lib/base/limits.ts";
import { ask, ONE_STATEMENT, post, talk } from "./fixture.ts";

const ROOT = join(import.meta.dir, "../..");
const DENO = join(ROOT, "node_modules/.bin/deno");

test("under Deno nodes answer, refuse, pass on and stop as under Bun", async () => {
  const child = Bun.spawn([DENO, "run", "-A", "--no-check", "tests/server/deno_nodes.ts"], {
    cwd: ROOT,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = readLines(child.stdout);
  try {
    const { leader, follower, slow, port, taken } = JSON.parse(await lines());
    expect(taken).toBe(
      `Cannot listen for HTTP on 127.0.0.1:${port}: another program listens there`,
    );
    expect(await post(leader, ONE_STATEMENT)).toMatchObject({
      status: 200,
      contentType: "application/json",
      json: { baton: null, base_url: null },
    });
    expect(await post(follower, ONE_STATEMENT)).toMatchObject({
      status: 200,
      contentType: "application/json",
      json: { baton: null, base_url: `${leader}/` },
    });
    expect(await post(leader, ONE_STATEMENT.slice(0, 30))).toMatchObject({
      status: 400,
      contentType: "application/json",
      json: { code: "PROTOCOL" },
    });
    const tooLarge = ONE_STATEMENT.padEnd(HTTP_BODY_BYTES_MAX + 1, " ");
    expect(await post(leader, tooLarge)).toMatchObject({
      status: 413,
      json: { code: "TOO_LARGE" },
    });
    const chunked = "POST /v2/pipeline HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" +
      `${ONE_STATEMENT.length.toString(16)}\r\n${ONE_STATEMENT}\r\n0\r\n\r\n`;
    expect(await talk(port, chunked)).toStartWith("HTTP/1.1 200 ");
    expect(await ask(`${leader}/nowhere`)).toMatchObject({ status: 404 });
    expect((await fetch(`${leader}/health`, { method: "HEAD" })).status).toBe(200);

    const cut = post(slow, ONE_STATEMENT).then(() => "answered", () => "cut");
    await ask(`${slow}/health`);
    await child.stdin.end();
    expect(JSON.parse(await lines())).toEqual({ pipelines: 3, failures: 0 });
    expect(await cut).toBe("cut");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}, 20_000);

/** @returns A function that gives the next line. */
function readLines(stream: ReadableStream<Uint8Array>): () => Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  return async () => {
    for (;;) {
      const end = text.indexOf("\n");
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        return line;
      }
      const { done, value } = await reader.read();
      if (done) throw new Error(`The process ended after ${JSON.stringify(text)}`);
      text += decoder.decode(value, { stream: true });
    }
  };
}
