import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import type { HttpHandler, HttpReply } from "../../lib/io/http.ts";
import { listenHttp } from "../../lib/io/http_server.ts";
import { until } from "./fixture.ts";

const TEXT = "text/plain";
const MIB = 1024 * 1024;

function text(body: HttpReply["body"]): HttpReply {
  return { status: 200, contentType: TEXT, body };
}

async function listen(handler: HttpHandler) {
  const failures: unknown[] = [];
  const onFailure = (error: unknown) => void failures.push(error);
  const server = await listenHttp({ hostname: "127.0.0.1", port: 0, handler, onFailure });
  return {
    port: server.port,
    failures,
    [Symbol.dispose]: () => server.abort(),
  };
}

/** A client that sends what it likes and keeps what it hears. */
class Client {
  readonly socket: Socket;
  heard = "";
  closed = false;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (bytes) => this.heard += bytes.toString("latin1"));
    this.socket.on("error", () => {});
    this.socket.on("close", () => this.closed = true);
  }

  send(...lines: string[]): void {
    this.socket.write(lines.join("\r\n"));
  }

  async hears(what: string): Promise<void> {
    await until(() => this.heard.includes(what), `the client hears ${JSON.stringify(what)}`);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

test("requests sent ahead are answered one after another, in their order", async () => {
  const releases: (() => void)[] = [];
  using server = await listen((request) =>
    request.path === "/now" ? text("now") : new Promise((resolve) => {
      releases.push(() => resolve(text(request.path)));
    })
  );
  using client = new Client(server.port);
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
  client.send(get("/a") + get("/now") + get("/b") + get("/now").slice(0, 20));
  await until(() => releases.length === 1, "the first one runs");
  expect(client.heard).toBe("");
  releases[0]!();
  await until(() => releases.length === 2, "the third one runs");
  client.send(get("/now").slice(20));
  releases[1]!();
  await until(() => client.heard.split("HTTP/1.1 200 OK").length === 5, "all are answered");
  const bodies = client.heard.split("\r\n\r\n").slice(1).map((part) => part.split("HTTP/")[0]);
  expect(bodies).toEqual(["/a", "now", "/b", "now"]);
});

test("a head that comes byte by byte, behind an empty line, is read", async () => {
  using server = await listen(async (request) =>
    text(`${request.header("x-a")} ${new TextDecoder().decode(await request.body())}`)
  );
  using client = new Client(server.port);
  for (const byte of "\r\nPOST / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc") {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.hears("1 abc");
});

test("a client that waits for a word before its body gets it when the body is wanted", async () => {
  using server = await listen(async (request) =>
    request.path === "/wanted" ? text(String((await request.body()).length)) : text("refused")
  );
  const expecting = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`;
  using wanted = new Client(server.port);
  wanted.send(expecting("/wanted"));
  await wanted.hears("HTTP/1.1 100 Continue\r\n\r\n");
  wanted.send("hello");
  await wanted.hears("\r\n\r\n5");
  using refused = new Client(server.port);
  refused.send(expecting("/other"));
  await refused.hears("refused");
  expect(refused.heard).not.toContain("100 Continue");
});

test("a reply to HEAD has the length and no body", async () => {
  using server = await listen(() => text("hello"));
  using client = new Client(server.port);
  client.send("HEAD / HTTP/1.1", "Host: h", "", "GET / HTTP/1.1", "Host: h", "", "");
  await client.hears("hello");
  expect(client.heard.split("content-length: 5").length).toBe(3);
  expect(client.heard.split("hello").length).toBe(2);
});

test("a connection ends after its last reply, as the client or its version asks", async () => {
  using server = await listen(() => text("bye"));
  for (const head of ["GET / HTTP/1.0", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close"]) {
    using client = new Client(server.port);
    client.send(head, "", "");
    await until(() => client.closed, "the connection is closed");
    expect(client.heard).toContain("connection: close");
    expect(client.heard).toEndWith("bye");
  }
});

test("what is no request is refused, and nothing behind it is read", async () => {
  let requests = 0;
  using server = await listen(() => {
    requests++;
    return text("");
  });
  using client = new Client(server.port);
  client.send("GET / HTTP/1.1", "Host : h", "", "GET / HTTP/1.1", "Host: h", "", "");
  await until(() => client.closed, "the connection is closed");
  expect(client.heard).toStartWith("HTTP/1.1 400 ");
  using long = new Client(server.port);
  long.send(`GET /${"a".repeat(70 * 1024)}`);
  await long.hears("HTTP/1.1 431 ");
  expect(requests).toBe(0);
});

test("a body that nobody reads is thrown away, and the connection goes on", async () => {
  using server = await listen(() => text("refused"));
  using client = new Client(server.port);
  client.send("POST / HTTP/1.1", "Host: h", `Content-Length: ${MIB}`, "", "x");
  await client.hears("refused");
  client.heard = "";
  client.send(`${"x".repeat(MIB - 1)}GET / HTTP/1.1`, "Host: h", "", "");
  await client.hears("refused");
});

test("a client that goes away aborts its request", async () => {
  let aborted = false;
  let running = false;
  using server = await listen((request) => {
    running = true;
    return new Promise((resolve) =>
      request.signal.addEventListener("abort", () => {
        aborted = true;
        resolve(text("too late"));
      })
    );
  });
  using client = new Client(server.port);
  client.send("GET / HTTP/1.1", "Host: h", "", "");
  await until(() => running, "the request runs");
  client.socket.destroy();
  await until(() => aborted, "the request is aborted");
});

test("a large reply arrives whole, also at a client that reads late", async () => {
  const body = new Uint8Array(8 * MIB).fill(97);
  using server = await listen(() => text(body));
  using client = new Client(server.port);
  client.socket.pause();
  client.send("GET / HTTP/1.1", "Host: h", "", "GET / HTTP/1.1", "Host: h", "", "");
  await new Promise((resolve) => setTimeout(resolve, 20));
  client.socket.resume();
  await until(() => client.heard.length > 16 * MIB, "both replies are there");
});

test("a stream is read as fast as the client takes it, and cancelled with the client", async () => {
  let pulls = 0;
  let cancelled = false;
  const endless = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        pulls++;
        controller.enqueue(new Uint8Array(MIB));
      },
      cancel: () => void (cancelled = true),
    });
  using server = await listen(() => text(endless()));
  using client = new Client(server.port);
  client.socket.pause();
  client.send("GET / HTTP/1.1", "Host: h", "", "");
  await until(() => pulls > 1, "the stream is read");
  await new Promise((resolve) => setTimeout(resolve, 50));
  const before = pulls;
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(pulls).toBe(before);
  client.socket.destroy();
  await until(() => cancelled, "the stream is cancelled");
});

test("a stream comes in chunks, and one that fails cuts the connection", async () => {
  const parts = (fails: boolean) =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("hello"));
        if (fails) controller.error(new Error("the disk is gone"));
        else controller.close();
      },
    });
  using server = await listen((request) => text(parts(request.path === "/fails")));
  const whole = await fetch(`http://127.0.0.1:${server.port}/`);
  expect(await whole.text()).toBe("hello");
  using client = new Client(server.port);
  client.send("GET /fails HTTP/1.1", "Host: h", "", "");
  await until(() => client.closed, "the connection is cut");
  expect(client.heard).not.toContain("\r\n0\r\n");
  expect(server.failures).toHaveLength(1);
});
