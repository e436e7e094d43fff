import { expect, test } from "bun:test";
import {
  SESSION_IDLE_MS,
  STORED_SQL_MAX,
  WEBSOCKET_STREAM_IDLE_MS,
  WEBSOCKET_STREAMS_MAX,
} from "../../lib/base/limits.ts";
import { systemClock } from "../../lib/io/clock.ts";
import type { WebSocketConnection, WebSocketMessage } from "../../lib/io/websocket.ts";
import { HranaSocket } from "../../lib/server/hrana_socket.ts";
import { Proxy } from "../../lib/server/proxy.ts";
import { ManualClock } from "../session/manual_clock.ts";
import { FakeSessions, startServer, unknownLeader, until } from "./fixture.ts";
import { close, execute, HranaClient, open } from "./web_socket_client.ts";

test("streams and stored texts have bounds, and one too many costs only itself", async () => {
  await using node = await startServer();
  using client = await HranaClient.connect(node.url);
  let last = 0;
  for (let i = 0; i <= WEBSOCKET_STREAMS_MAX; i++) last = client.send(open(i));
  expect(await client.answerTo(last)).toMatchObject({ code: "BUSY" });
  expect(await client.ask(close(0))).toEqual({ type: "close_stream" });
  expect(await client.ask(open(WEBSOCKET_STREAMS_MAX))).toEqual({ type: "open_stream" });
  for (let i = 0; i <= STORED_SQL_MAX; i++) {
    last = client.send({ type: "store_sql", sql_id: i, sql: "SELECT 1" });
  }
  expect(await client.answerTo(last)).toMatchObject({ code: "SQL_STORE_TOO_MANY" });
});

test("a client that sends ahead without end is held back, and then answered in full", async () => {
  const sessions = new FakeSessions();
  let isHeld = true;
  let resume = () => {};
  const { answer } = sessions;
  sessions.answer = async (request) => {
    if (isHeld) await new Promise<void>((resolve) => resume = resolve);
    return await answer(request);
  };
  await using node = await startServer({ sessions });
  using client = await HranaClient.connect(node.url);
  client.send(open(1));
  const count = 20_000;
  let last = 0;
  for (let i = 0; i < count; i++) last = client.send(execute(1, "SELECT 1"));
  await until(() => sessions.pipelines.length === 1, "the first one runs");
  isHeld = false;
  resume();
  await client.answerTo(last);
  expect(client.messages).toHaveLength(count + 1);
  const sizes = sessions.pipelines.map(({ requests }) => requests.length);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(1_024);
});

test("pipelines of WebSockets count among the requests of a node", async () => {
  const sessions = new FakeSessions();
  let release = () => {};
  const { answer } = sessions;
  sessions.answer = async (request) => {
    await new Promise<void>((resolve) => release = resolve);
    return await answer(request);
  };
  await using node = await startServer({ sessions, requestsMax: 1 });
  using client = await HranaClient.connect(node.url);
  client.send(open(1));
  const first = client.send(execute(1, "SELECT 1"));
  await until(() => sessions.pipelines.length === 1, "the first one runs");
  client.send(open(2));
  expect(await client.ask(execute(2, "SELECT 1"))).toMatchObject({ code: "BUSY" });
  release();
  expect(await client.answerTo(first)).toEqual({ type: "close" });
  client.send(open(3));
  const third = client.send(execute(3, "SELECT 1"));
  await until(() => sessions.pipelines.length === 2, "there is room again");
  release();
  expect(await client.answerTo(third)).toEqual({ type: "close" });
});

test("a node that stops answers what is under way and says good-bye", async () => {
  const sessions = new FakeSessions();
  let release = () => {};
  const { answer } = sessions;
  sessions.answer = async (request) => {
    await new Promise<void>((resolve) => release = resolve);
    return await answer(request);
  };
  await using node = await startServer({ sessions });
  using idle = await HranaClient.connect(node.url);
  using client = await HranaClient.connect(node.url);
  client.send(open(1));
  const running = client.send(execute(1, "SELECT 1"));
  await until(() => sessions.pipelines.length === 1, "it runs");
  const stopped = node.server.close(5_000);
  expect(await idle.closed()).toBe(1001);
  client.send(open(2));
  expect(await client.ask(execute(1, "SELECT 2"))).toMatchObject({ code: "SHUTTING_DOWN" });
  sessions.answer = answer;
  release();
  expect(await client.answerTo(running)).toEqual({ type: "close" });
  expect(await client.closed()).toBe(1001);
  await stopped;
  expect(node.failures).toEqual([]);
});

test("a fault of the node is an answer, and the connection goes on", async () => {
  const sessions = new FakeSessions();
  const { answer } = sessions;
  sessions.answer = () => Promise.reject(new Error("a bug"));
  await using node = await startServer({ sessions });
  using client = await HranaClient.connect(node.url);
  client.send(open(1));
  expect(await client.ask(execute(1, "SELECT 1"))).toMatchObject({
    code: "INTERNAL",
    outcome: "unknown",
  });
  expect(node.failures).toHaveLength(1);
  sessions.answer = answer;
  client.send(open(2));
  expect(await client.ask(execute(2, "SELECT 1"))).toEqual({ type: "close" });
});

test("a stream does not expire while its client lives", async () => {
  const clock = new ManualClock();
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions, clock });
  const client = await HranaClient.connect(node.url);
  client.send(open(1));
  // Nothing is kept before it is used.
  clock.pass(WEBSOCKET_STREAM_IDLE_MS);
  await client.ask(execute(1, "BEGIN"));
  expect(sessions.pipelines).toHaveLength(1);
  for (let passedMs = 0; passedMs < 3 * SESSION_IDLE_MS; passedMs += 1_000) {
    clock.pass(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const kept = sessions.pipelines.slice(1);
  expect(kept.length).toBeGreaterThanOrEqual(3 * SESSION_IDLE_MS / (2 * WEBSOCKET_STREAM_IDLE_MS));
  expect(kept.every(({ baton, requests }) => baton === "next" && requests.length === 0)).toBe(true);
  client.close();
  await until(() => sessions.pipelines.at(-1)?.requests.length === 1, "the stream is closed");
  const { length } = sessions.pipelines;
  clock.pass(SESSION_IDLE_MS);
  expect(sessions.pipelines).toHaveLength(length);
});

test("nothing more is run or read for a client that takes no answers, until it does", async () => {
  const sessions = new FakeSessions();
  let isPaused = false;
  let isFlowing = true;
  const sent: WebSocketMessage[] = [];
  const connection: WebSocketConnection = {
    get isFlowing() {
      return isFlowing;
    },
    send: (message) => void sent.push(message),
    pause: () => void (isPaused = true),
    resume: () => void (isPaused = false),
    close: () => {},
  };
  const socket = new HranaSocket(connection, 3, {
    database: undefined,
    sessions,
    proxy: new Proxy(1, { send: never, close: () => {} }, unknownLeader, systemClock),
    clock: systemClock,
    admit: () => true,
    release: () => {},
    onFailure: never,
    onClosed: () => {},
  });
  const say = (message: object) => socket.onMessage(JSON.stringify(message));
  say({ type: "hello" });
  isFlowing = false;
  say({ type: "request", request_id: 1, request: open(1) });
  say({ type: "request", request_id: 2, request: execute(1, "SELECT 1") });
  socket.onArrived();
  expect([isPaused, sessions.pipelines.length]).toEqual([true, 0]);
  isFlowing = true;
  socket.onDrain();
  expect([isPaused, sessions.pipelines.length]).toEqual([false, 1]);
  await until(() => sent.length === 3, "the request is answered");
  // What still waits when the client goes is never begun, and its stream is closed.
  isFlowing = false;
  say({ type: "request", request_id: 3, request: execute(1, "SELECT 2") });
  socket.onArrived();
  socket.onClose();
  await until(() => sessions.pipelines.length === 2, "the stream is closed");
  expect(sessions.pipelines[1]).toMatchObject({ baton: "next", requests: [{ type: "close" }] });
});

function never(): never {
  throw new Error("this is not to be called");
}
