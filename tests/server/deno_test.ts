import { expect, test } from "bun:test";
import { join } from "node:path";
import {
  HTTP_BODY_BYTES_MAX,
  WEBSOCKET_AHEAD_BYTES_MAX,
  WEBSOCKET_MESSAGE_BYTES_MAX,
  WEBSOCKET_REQUESTS_MAX,
} from "../../lib/base/limits.ts";
import { ask, ONE_STATEMENT, post, talk } from "./fixture.ts";
import { HranaClient } from "./web_socket_client.ts";

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
    const ahead = ["/v2", "/v3", "/health"].map((path) => `GET ${path} HTTP/1.1\r\nhost: a\r\n`);
    const answers = await talk(port, `${ahead.join("\r\n")}connection: close\r\n\r\n`, "closed");
    expect(answers.match(/Hrana \d|"status"/g)).toEqual(["Hrana 2", "Hrana 3", '"status"']);
    expect(await ask(`${leader}/nowhere`)).toMatchObject({ status: 404 });
    expect((await fetch(`${leader}/health`, { method: "HEAD" })).status).toBe(200);

    for (const url of [leader, follower]) await runOverWebSocket(url);
    await sendAhead(slow);

    const cut = post(slow, ONE_STATEMENT).then(() => "answered", () => "cut");
    await ask(`${slow}/health`);
    await child.stdin.end();
    const { pipelines, failures } = JSON.parse(await lines());
    // Three over HTTP, and for each WebSocket one, or two when its messages came apart.
    expect([5, 6, 7]).toContain(pipelines);
    expect(failures).toBe(0);
    expect(await cut).toBe("cut");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}, 20_000);

/** Runs a statement, and leaves its connection open for the server to close. */
async function runOverWebSocket(url: string): Promise<void> {
  const client = await HranaClient.connect(url, "hrana2");
  expect(client.protocol).toBe("hrana2");
  client.send({ type: "open_stream", stream_id: 1 });
  client.send({ type: "execute", stream_id: 1, stmt: { sql: "INSERT INTO t VALUES (1)" } });
  expect(await client.ask({ type: "close_stream", stream_id: 1 })).toEqual({
    type: "close_stream",
  });
  expect(client.messages.map(({ type }) => type)).toEqual(Array(3).fill("response_ok"));
  using bytes = await HranaClient.connect(url);
  bytes.sayBytes(new Uint8Array([1]));
  expect(await bytes.closed()).toBe(1003);
  using large = await HranaClient.connect(url);
  large.say(" ".repeat(WEBSOCKET_MESSAGE_BYTES_MAX + 1));
  expect(await large.closed()).toBe(1009);
}

/** Sends to a node that never answers what no node can hold. */
async function sendAhead(url: string): Promise<void> {
  using client = await HranaClient.connect(url);
  client.send({ type: "open_stream", stream_id: 1 });
  const request = { type: "execute", stream_id: 1, stmt: { sql: "SELECT 1" } };
  for (let i = 0; i < WEBSOCKET_REQUESTS_MAX; i++) client.send(request);
  const large = { ...request, stmt: { sql: `SELECT '${"x".repeat(1024 * 1024)}'` } };
  const count = WEBSOCKET_AHEAD_BYTES_MAX / (1024 * 1024);
  for (let i = 0; i < count; i++) client.send(large);
  expect(await client.closed()).toBe(1008);
}

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
