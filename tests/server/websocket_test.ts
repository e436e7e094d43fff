import { expect, test } from "bun:test";
import {
  WEBSOCKET_MESSAGE_BYTES_MAX,
  WEBSOCKET_PING_MS,
  WEBSOCKET_SILENT_MS,
} from "../../lib/base/limits.ts";
import type { HttpReply, HttpRequest } from "../../lib/io/http.ts";
import { listenHttp } from "../../lib/io/http_server.ts";
import type { WebSocketConnection, WebSocketHandler } from "../../lib/io/websocket.ts";
import { until } from "./fixture.ts";
import { serve } from "./wire.ts";

const HANDSHAKE = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/** Of the example in RFC 6455. */
const ACCEPT = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK = [1, 2, 3, 4] as const;

/** A frame of a client. Bytes are in Latin-1 here, whatever they mean. */
function frame(first: number, payload: string): string {
  const bytes = Buffer.from(payload, "latin1");
  const head = bytes.length < 126
    ? [first, 0x80 | bytes.length]
    : [first, 0xfe, bytes.length >> 8, bytes.length & 255];
  const masked = bytes.map((byte, at) => byte ^ MASK[at & 3]!);
  return Buffer.from([...head, ...MASK, ...masked]).toString("latin1");
}

const text = (payload: string) => frame(0x81, payload);
const serverFrame = (first: number, payload: string) => {
  return String.fromCharCode(first, payload.length) + payload;
};

/** A handler that a test writes down; it echoes by default. */
class Echo implements WebSocketHandler {
  readonly heard: string[] = [];
  arrivals = 0;
  closes = 0;
  connection!: WebSocketConnection;

  onMessage(message: string): void {
    this.heard.push(message);
    this.connection.send(message);
  }

  onArrived(): void {
    this.arrivals++;
  }

  onDrain(): void {}

  onClose(): void {
    this.closes++;
  }
}

function upgradeTo(echo: Echo, request?: HttpRequest): HttpReply {
  const open = (connection: WebSocketConnection) => {
    echo.connection = connection;
    return echo;
  };
  const key = request?.header("sec-websocket-key") ?? "dGhlIHNhbXBsZSBub25jZQ==";
  const upgrade = { key, protocol: "echo", open };
  return { status: 101, contentType: "text/plain", body: "", upgrade };
}

async function serveEcho() {
  const echo = new Echo();
  const { wire, host } = serve(() => upgradeTo(echo));
  await wire.arrive(HANDSHAKE);
  const head = wire.take().join("");
  return { echo, wire, host, head };
}

test("the handshake is answered, and frames may come with it", async () => {
  const echo = new Echo();
  for (const handler of [() => upgradeTo(echo), () => Promise.resolve(upgradeTo(echo))]) {
    const { wire, host } = serve(handler);
    await wire.arrive(HANDSHAKE + text("a"));
    const [head, ...frames] = wire.take();
    expect(head).toStartWith("HTTP/1.1 101 ");
    expect(head).toContain(ACCEPT);
    expect(head).toContain("sec-websocket-protocol: echo");
    expect(frames).toEqual([serverFrame(0x81, "a")]);
    expect(host.requests).toBe(0);
  }
});

test("a request of an older client, or with a body, becomes no WebSocket", async () => {
  const requests = [
    HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"),
    HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n"),
  ];
  for (const request of requests) {
    const { wire, host } = serve(() => upgradeTo(new Echo()));
    await wire.arrive(request);
    expect(wire.take().join("")).toStartWith("HTTP/1.1 400 ");
    expect([wire.isEnded, host.requests]).toEqual([true, 0]);
  }
});

test("messages that arrive together are answered in one write, and told to be all", async () => {
  const { echo, wire } = await serveEcho();
  await wire.arrive(text("a") + text("b") + text("c").slice(0, 3));
  expect(wire.take()).toEqual([serverFrame(0x81, "a") + serverFrame(0x81, "b")]);
  expect(echo.arrivals).toBe(1);
  await wire.arrive(text("c").slice(3));
  expect(wire.take()).toEqual([serverFrame(0x81, "c")]);
});

test("what is said at once leaves with what follows before the turn is over", async () => {
  const { echo, wire } = await serveEcho();
  echo.onArrived = () => void Promise.resolve().then(() => echo.connection.send("later"));
  await wire.arrive(text("a"));
  expect(wire.take()).toEqual([serverFrame(0x81, "a") + serverFrame(0x81, "later")]);
});

test("a large message leaves at once, so that it shows who takes no more", async () => {
  const { echo, wire } = await serveEcho();
  wire.takes = false;
  echo.connection.send("x".repeat(100_000));
  expect([wire.take().length, echo.connection.isFlowing]).toEqual([2, false]);
});

test("a ping is answered with what it holds", async () => {
  const { wire } = await serveEcho();
  await wire.arrive(frame(0x89, "p") + frame(0x8a, "nobody asked"));
  expect(wire.take()).toEqual([serverFrame(0x8a, "p")]);
});

test("a good-bye is answered by its code, and nothing behind it is read", async () => {
  const { echo, wire } = await serveEcho();
  await wire.arrive(text("a") + frame(0x88, "\u0003\u00e8x") + text("b"));
  expect(wire.take().join("")).toBe(serverFrame(0x81, "a") + serverFrame(0x88, "\u0003\u00e8"));
  expect([wire.isEnded, echo.closes, echo.heard]).toEqual([true, 1, ["a"]]);
  wire.handler.onClose(undefined);
  expect(echo.closes).toBe(1);
});

test("what breaks the protocol is told by its code", async () => {
  const { echo, wire } = await serveEcho();
  await wire.arrive(frame(0x82, "a"));
  expect(wire.take()[0]!.slice(2, 4)).toBe("\u0003\u00eb");
  expect([wire.isEnded, echo.closes]).toEqual([true, 1]);
  await wire.arrive(text("b"));
  expect(echo.heard).toEqual([]);
});

test("a handler that fails ends its connection alone", async () => {
  const { echo, wire, host } = await serveEcho();
  echo.onMessage = () => {
    throw new Error("a bug");
  };
  await wire.arrive(text("a"));
  expect(wire.take()[0]!.slice(2, 4)).toBe("\u0003\u00f3");
  expect([wire.isEnded, echo.closes, host.failures.length]).toEqual([true, 1, 1]);
});

test("whoever says good-bye first waits for the answer, but not for long", async () => {
  const { echo, wire, host } = await serveEcho();
  echo.connection.close(1001, "bye");
  echo.connection.close(1008, "again");
  echo.connection.send("too late");
  await wire.arrive(text("a"));
  expect(wire.take()).toEqual([serverFrame(0x88, "\u0003\u00e9bye")]);
  expect([wire.isEnded, echo.closes, echo.heard]).toEqual([false, 1, []]);
  await wire.arrive(frame(0x88, "\u0003\u00e8"));
  expect(wire.isEnded).toBe(true);

  const silent = await serveEcho();
  silent.host.served!.end();
  silent.host.served!.period(1);
  expect(silent.wire.isDestroyed).toBe(true);
  expect(host.failures).toEqual([]);
});

test("messages that are held back come later, in their order", async () => {
  const { echo, wire } = await serveEcho();
  echo.onMessage = (message) => {
    echo.heard.push(message);
    if (message === "a") echo.connection.pause();
  };
  await wire.arrive(text("a") + text("b") + text("c"));
  await wire.arrive(text("d"));
  expect([echo.heard, wire.isPaused]).toEqual([["a"], true]);
  echo.connection.resume();
  await new Promise((resolve) => setImmediate(resolve));
  expect([echo.heard, wire.isPaused]).toEqual([["a", "b", "c", "d"], false]);
});

test("a client that is silent is pinged, and cut off when it does not answer", async () => {
  const { wire, host } = await serveEcho();
  const served = host.served!;
  served.period(WEBSOCKET_PING_MS - 1);
  expect(wire.take()).toEqual([]);
  served.period(1);
  expect(wire.take()).toEqual([serverFrame(0x89, "")]);
  await wire.arrive(frame(0x8a, ""));
  served.period(WEBSOCKET_SILENT_MS);
  expect(wire.isDestroyed).toBe(false);
  served.period(1);
  expect(wire.isDestroyed).toBe(true);
});

test("silence is held against who takes nothing, not against who is not listened to", async () => {
  const { echo, wire, host } = await serveEcho();
  echo.connection.pause();
  host.served!.period(WEBSOCKET_SILENT_MS + 1);
  expect(wire.isDestroyed).toBe(false);
  wire.takes = false;
  echo.connection.send("a");
  await new Promise((resolve) => setImmediate(resolve));
  expect(echo.connection.isFlowing).toBe(false);
  host.served!.period(WEBSOCKET_SILENT_MS + 1);
  expect(wire.isDestroyed).toBe(true);
});

test("a message of the limit arrives, and a longer one ends the connection", async () => {
  const echo = new Echo();
  echo.onMessage = (message) => void echo.heard.push(String(message.length));
  const handler = (request: HttpRequest) => upgradeTo(echo, request);
  const server = await listenHttp({ hostname: "127.0.0.1", port: 0, handler, onFailure: () => {} });
  try {
    let code = 0;
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, ["echo"]);
    socket.onclose = (event) => void (code = event.code);
    await until(() => socket.readyState === WebSocket.OPEN, "it is open");
    socket.send("x".repeat(WEBSOCKET_MESSAGE_BYTES_MAX));
    await until(() => echo.heard.length === 1, "the message is there");
    socket.send("x".repeat(WEBSOCKET_MESSAGE_BYTES_MAX + 1));
    await until(() => code !== 0, "the connection is closed");
    expect([code, echo.heard]).toEqual([1009, [String(WEBSOCKET_MESSAGE_BYTES_MAX)]]);
  } finally {
    server.abort();
  }
});
