import { expect, test } from "bun:test";
import { connect } from "node:net";
import { DatabaseError } from "../../lib/base/errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../../lib/base/limits.ts";
import { ask, FakeSessions, ONE_STATEMENT, post, startServer, talk, until } from "./fixture.ts";

test("a pipeline is answered with baton, base_url and results, on both versions", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  for (const version of ["v2", "v3"]) {
    const reply = await ask(`${node.url}/${version}/pipeline?x=1`, {
      method: "POST",
      body: '{"baton":"b","requests":[{"type":"get_autocommit"}]}',
    });
    expect(reply).toEqual({
      status: 200,
      contentType: "application/json",
      json: {
        baton: "next",
        base_url: null,
        results: [{ type: "ok", response: { type: "close" } }],
      },
    });
  }
  expect(sessions.pipelines).toMatchObject([
    { baton: "b", requests: [{ type: "get_autocommit" }] },
    { baton: "b", requests: [{ type: "get_autocommit" }] },
  ]);
});

test("clients find the versions, and no protobuf", async () => {
  await using node = await startServer();
  for (const path of ["/v2", "/v3"]) {
    const response = await fetch(node.url + path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/plain");
    expect(await response.text()).toContain("Hrana");
  }
  expect((await fetch(`${node.url}/v3-protobuf`)).status).toBe(404);
});

test("malformed bodies are refused with what is wrong and where", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  const refused: [BodyInit, string][] = [
    ["", "The body is not JSON: it is empty"],
    [ONE_STATEMENT.slice(0, 30), "The body is not JSON: it ends unexpectedly at offset 30"],
    ["[]", "The body must be an object; it is an array"],
    ['{"requests":[{"type":"execute","stmt":{"sql":7}}]}', "requests[0].stmt.sql must be a string"],
    [new Uint8Array([0x22, 0xff, 0x22]), "The body is not UTF-8"],
  ];
  for (const [body, message] of refused) {
    const reply = await post(node.url, body);
    expect(reply).toMatchObject({
      status: 400,
      contentType: "application/json",
      json: { code: "PROTOCOL" },
    });
    expect(reply.json.message).toContain(message);
  }
  expect(sessions.pipelines).toEqual([]);
});

test("a body of the limit is read, and one byte more is refused", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  const body = ONE_STATEMENT.padEnd(HTTP_BODY_BYTES_MAX, " ");
  expect((await post(node.url, body)).status).toBe(200);
  const reply = await post(node.url, `${body} `);
  expect(reply).toMatchObject({ status: 413, json: { code: "TOO_LARGE" } });
  expect(reply.json.message).toContain(`${HTTP_BODY_BYTES_MAX + 1} bytes`);
  expect(sessions.pipelines.length).toBe(1);
  expect((await post(node.url, ONE_STATEMENT)).status).toBe(200);
});

test("a body in chunks is read, and refused as soon as it is too large", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  const head = "POST /v2/pipeline HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const halves = chunk(ONE_STATEMENT.slice(0, 40)) + chunk(ONE_STATEMENT.slice(40));
  expect(await talk(node.server.port, `${head}${halves}0\r\n\r\n`)).toStartWith("HTTP/1.1 200 ");
  expect(sessions.pipelines.length).toBe(1);

  // It is refused before its end is sent.
  const large = chunk(" ".repeat(HTTP_BODY_BYTES_MAX / 2));
  const refusal = await talk(node.server.port, head + large + large + chunk("  "));
  expect(refusal).toStartWith("HTTP/1.1 413 ");
  expect(sessions.pipelines.length).toBe(1);
});

test("a body that is cut short runs nothing", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  const socket = connect(node.server.port, "127.0.0.1");
  const length = ONE_STATEMENT.length + 1;
  const head = `POST /v2/pipeline HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n\r\n`;
  await new Promise<void>((done) => socket.write(head + ONE_STATEMENT, () => done()));
  socket.destroy();
  expect((await post(node.url, ONE_STATEMENT)).status).toBe(200);
  expect(sessions.pipelines.length).toBe(1);
  expect(node.failures).toEqual([]);
});

test("bytes that are no HTTP harm nothing", async () => {
  await using node = await startServer();
  const answer = await talk(node.server.port, "\x16\x03\x01 garbage\r\n\r\n");
  expect(answer).toStartWith("HTTP/1.1 400 ");
  expect((await ask(`${node.url}/health`)).status).toBe(200);
});

test("unknown endpoints and methods are refused as JSON", async () => {
  await using node = await startServer();
  expect(await ask(`${node.url}/v2/pipelines`, { method: "POST", body: "{}" })).toEqual({
    status: 404,
    contentType: "application/json",
    json: { message: 'There is no endpoint "/v2/pipelines"', code: "PROTOCOL" },
  });
  const response = await fetch(`${node.url}/v2/pipeline`);
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe("POST");
  expect(await response.json()).toEqual({
    message: "/v2/pipeline takes POST, not GET",
    code: "PROTOCOL",
  });
});

test("a pipeline that is refused as a whole has the status of its error", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  const expected = [
    ["BATON_INVALID", 404],
    ["STREAM_EXPIRED", 404],
    ["BUSY", 429],
    ["SHUTTING_DOWN", 503],
    ["LEADERSHIP_LOST", 503],
    ["DISK", 500],
    ["DISK_FULL", 507],
    ["SQL_PARSE_ERROR", 400],
  ] as const;
  for (const [code, status] of expected) {
    sessions.refuse(code, { hint: "h" });
    const reply = await post(node.url, ONE_STATEMENT);
    expect(reply).toMatchObject({
      status,
      contentType: "application/json",
      json: { message: `refused: ${code}`, code, hint: "h" },
    });
  }
  expect(node.failures).toEqual([]);
});

test("a fault of the node itself is told to the node, not to the client", async () => {
  const sessions = new FakeSessions();
  const fault = new Error("secret");
  sessions.answer = () => Promise.reject(fault);
  await using node = await startServer({ sessions });
  const reply = await post(node.url, ONE_STATEMENT);
  expect(reply).toMatchObject({ status: 500, json: { code: "INTERNAL", outcome: "unknown" } });
  expect(JSON.stringify(reply.json)).not.toContain("secret");
  expect(node.failures).toEqual([fault]);
});

test("requests above the bound are refused at once, and health is still told", async () => {
  const sessions = new FakeSessions();
  const releases: (() => void)[] = [];
  sessions.answer = () =>
    new Promise((resolve) => releases.push(() => resolve({ baton: undefined, results: [] })));
  await using node = await startServer({ sessions, requestsMax: 2 });
  const running = [post(node.url, ONE_STATEMENT), post(node.url, ONE_STATEMENT)];
  await until(() => releases.length === 2, "two requests run");
  expect(await post(node.url, ONE_STATEMENT)).toMatchObject({
    status: 429,
    json: { code: "BUSY", message: "2 requests are under way on this node already" },
  });
  expect((await ask(`${node.url}/health`)).status).toBe(200);
  for (const release of releases) release();
  expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
  const next = post(node.url, ONE_STATEMENT);
  await until(() => releases.length === 3, "another request runs");
  releases[2]!();
  expect((await next).status).toBe(200);
});

test("an address that is taken is named", async () => {
  await using first = await startServer();
  let error: unknown;
  try {
    await using _second = await startServer({ port: first.server.port });
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(DatabaseError);
  expect((error as DatabaseError).code).toBe("ADDRESS");
  expect((error as DatabaseError).message).toBe(
    `Cannot listen for HTTP on 127.0.0.1:${first.server.port}: another program listens there`,
  );
});

test("closing answers what runs and takes nothing new", async () => {
  const sessions = new FakeSessions();
  let release = () => {};
  sessions.answer = () =>
    new Promise((resolve) => release = () => resolve({ baton: undefined, results: [] }));
  await using node = await startServer({ sessions });
  const running = post(node.url, ONE_STATEMENT);
  await until(() => sessions.pipelines.length === 1, "the request runs");
  const closed = node.server.close(10_000);
  let refused = false;
  try {
    refused = (await post(node.url, ONE_STATEMENT)).status === 503;
  } catch {
    refused = true;
  }
  expect(refused).toBe(true);
  release();
  expect((await running).status).toBe(200);
  await closed;
  expect(sessions.pipelines.length).toBe(1);
});

test("closing cuts what runs longer than the grace", async () => {
  const sessions = new FakeSessions();
  sessions.answer = () => new Promise(() => {});
  await using node = await startServer({ sessions });
  const running = post(node.url, ONE_STATEMENT).then(() => "answered", () => "cut");
  await until(() => sessions.pipelines.length === 1, "the request runs");
  await node.server.close(20);
  expect(await running).toBe("cut");
});

test("pages of other origins may not use the server unless they are allowed", async () => {
  const sessions = new FakeSessions();
  await using closed = await startServer({ sessions });
  const from = (url: string, origin: string, method = "POST") =>
    fetch(`${url}/v2/pipeline`, {
      method,
      headers: { origin },
      ...(method === "POST" ? { body: ONE_STATEMENT } : {}),
    });
  expect((await from(closed.url, "https://evil.example")).status).toBe(403);
  expect((await from(closed.url, "null")).status).toBe(403);
  expect((await from(closed.url, "https://evil.example", "OPTIONS")).status).toBe(403);
  expect(sessions.pipelines.length).toBe(0);
  expect((await from(closed.url, closed.url)).status).toBe(200);

  await using open = await startServer({ allowedOrigins: ["https://app.example"] });
  const preflight = await from(open.url, "https://app.example", "OPTIONS");
  expect(preflight.status).toBe(200);
  expect(preflight.headers.get("access-control-allow-origin")).toBe("https://app.example");
  expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
  const reply = await from(open.url, "https://app.example");
  expect(reply.status).toBe(200);
  expect(reply.headers.get("access-control-allow-origin")).toBe("https://app.example");
  expect(reply.headers.get("content-type")).toBe("application/json");
  expect((await from(open.url, "https://evil.example")).status).toBe(403);
});
