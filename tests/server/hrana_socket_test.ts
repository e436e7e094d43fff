import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseError } from "../../lib/base/errors.ts";
import type { Leadership } from "../../lib/server/types.ts";
import type { PipelineResponse } from "../../lib/session/types.ts";
import { encodeOk } from "../../lib/wire/hrana/encode.ts";
import { FakeSessions, startServer, type TestServer, until } from "./fixture.ts";
import { SqliteSessions } from "./sqlite_sessions.ts";
import { close, execute, HranaClient, type Message, open } from "./web_socket_client.ts";

interface Setup extends AsyncDisposable {
  readonly node: TestServer;
  readonly sessions: SqliteSessions;
}

async function start(): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), "dqlite-socket-"));
  const sessions = new SqliteSessions(join(folder, "test.db"));
  const node = await startServer({ sessions });
  return {
    node,
    sessions,
    async [Symbol.asyncDispose]() {
      await node[Symbol.asyncDispose]();
      sessions[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

const integer = (value: number) => ({ type: "integer", value: String(value) });

test("the newest version that both know is spoken; without a name it is the first", async () => {
  await using node = await startServer();
  const offers: [string[], string][] = [
    [["hrana2", "hrana1"], "hrana2"],
    [["hrana1", "hrana2", "hrana3", "hrana3-protobuf"], "hrana3"],
    [["hrana1"], "hrana1"],
    [[], ""],
  ];
  for (const [offer, chosen] of offers) {
    using client = await HranaClient.connectSilently(node.url, offer);
    expect(client.protocol).toBe(chosen);
  }
});

test("every request of version 3 is answered", async () => {
  await using setup = await start();
  using client = await HranaClient.connect(setup.node.url);
  expect(await client.ask(open(1))).toEqual({ type: "open_stream" });
  expect(await client.ask({ type: "sequence", stream_id: 1, sql: "CREATE TABLE t (a)" }))
    .toEqual({ type: "sequence" });
  expect(await client.ask({ type: "store_sql", sql_id: 5, sql: "INSERT INTO t VALUES (?)" }))
    .toEqual({ type: "store_sql" });
  const stmt = { sql_id: 5, args: [integer(3)] };
  expect(await client.ask({ type: "execute", stream_id: 1, stmt })).toMatchObject({
    type: "execute",
    result: { affected_row_count: 1, last_insert_rowid: "1" },
  });
  expect(await client.ask({ type: "close_sql", sql_id: 5 })).toEqual({ type: "close_sql" });
  expect(await client.ask({ type: "execute", stream_id: 1, stmt })).toMatchObject({
    code: "SQL_STORE_UNKNOWN",
  });
  const steps = [{ stmt: { sql: "SELECT a FROM t" } }, { stmt: { sql: "SELEC" } }];
  expect(await client.ask({ type: "batch", stream_id: 1, batch: { steps } })).toMatchObject({
    type: "batch",
    result: {
      step_results: [{ rows: [[integer(3)]] }, null],
      step_errors: [null, { code: "SQLITE_ERROR" }],
    },
  });
  expect(await client.ask({ type: "describe", stream_id: 1, sql: "SELECT a FROM t" }))
    .toMatchObject({ type: "describe", result: { cols: [{ name: "a" }] } });
  expect(await client.ask({ type: "get_autocommit", stream_id: 1 })).toEqual({
    type: "get_autocommit",
    is_autocommit: true,
  });
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });
  expect(setup.sessions.openStreams).toBe(0);
});

test("a cursor is read piece by piece, also before it is known to be open", async () => {
  await using setup = await start();
  using client = await HranaClient.connect(setup.node.url);
  client.send(open(1));
  const sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) " +
    "SELECT i FROM n";
  const batch = { steps: [{ stmt: { sql } }, { stmt: { sql: "SELEC" } }] };
  client.send({ type: "open_cursor", stream_id: 1, cursor_id: 9, batch });
  const fetches = [4, 4, 4].map((max_count) => {
    return client.send({ type: "fetch_cursor", cursor_id: 9, max_count });
  });
  const answers: Message[] = [];
  for (const id of fetches) answers.push(await client.answerTo(id));
  expect(answers.map(({ done }) => done)).toEqual([false, true, true]);
  expect(answers.flatMap(({ entries }) => entries.map(({ type }: Message) => type))).toEqual([
    "step_begin",
    ...Array(5).fill("row"),
    "step_end",
    "step_error",
  ]);
  // Its stream is free for other things only once it is closed.
  const again = { type: "open_cursor", stream_id: 1, cursor_id: 10, batch };
  expect(await client.ask(again)).toMatchObject({ code: "PROTOCOL" });
  expect(await client.ask({ type: "close_cursor", cursor_id: 9 })).toEqual({
    type: "close_cursor",
  });
  expect(await client.ask(again)).toEqual({ type: "open_cursor" });
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });
  client.send({ type: "fetch_cursor", cursor_id: 10, max_count: 1 });
  expect(await client.closed()).toBe(1008);
});

test("a cursor whose batch was refused gives nothing", async () => {
  const sessions = new FakeSessions();
  sessions.refuse("BUSY");
  await using node = await startServer({ sessions });
  using client = await HranaClient.connect(node.url);
  client.send(open(1));
  const batch = { steps: [] };
  const opened = client.send({ type: "open_cursor", stream_id: 1, cursor_id: 9, batch });
  const fetched = client.send({ type: "fetch_cursor", cursor_id: 9, max_count: 1 });
  expect(await client.answerTo(opened)).toMatchObject({ code: "BUSY" });
  expect(await client.answerTo(fetched)).toMatchObject({ code: "PROTOCOL" });
  expect(await client.ask({ type: "close_cursor", cursor_id: 9 })).toEqual({
    type: "close_cursor",
  });
});

test("streams run side by side, and each keeps its order", async () => {
  const sessions = new FakeSessions();
  const releases: (() => void)[] = [];
  sessions.answer = ({ requests }) =>
    new Promise((resolve) => {
      const results = requests.map(() => encodeOk({ type: "sequence" }));
      releases.push(() => resolve({ baton: "b", results }));
    });
  await using node = await startServer({ sessions });
  using client = await HranaClient.connect(node.url);
  for (const stream of [1, 2]) {
    client.send(open(stream));
    client.send(execute(stream, `SELECT ${stream}`));
  }
  await until(() => releases.length === 2, "both streams run");
  const later = [execute(1, "SELECT 3"), execute(1, "SELECT 4")].map((one) => client.send(one));
  // The second stream is answered first.
  releases[1]!();
  await client.answerTo(4);
  expect(sessions.pipelines).toHaveLength(2);
  releases[0]!();
  await until(() => releases.length === 3, "what came meanwhile runs together");
  releases[2]!();
  await client.answerTo(later[1]!);
  expect(client.messages.map(({ request_id }) => request_id)).toEqual([1, 3, 4, 2, 5, 6]);
  expect(sessions.pipelines[2]).toMatchObject({ baton: "b", requests: [{}, {}] });
});

test("a stream that is opened, used and closed in one breath is one pipeline", async () => {
  const sessions = new FakeSessions();
  sessions.answer = ({ requests }) =>
    Promise.resolve({
      baton: undefined,
      results: requests.map(() => encodeOk({ type: "sequence" })),
    });
  await using node = await startServer({ sessions });
  using client = await HranaClient.connect(node.url);
  // The stream waits for another one, so that its requests arrive together for certain.
  let release = () => {};
  const { answer } = sessions;
  sessions.answer = async (request): Promise<PipelineResponse> => {
    await new Promise<void>((resolve) => release = resolve);
    return { ...await answer(request), baton: "b" };
  };
  client.send(open(1));
  client.send(execute(1, "SELECT 1"));
  await until(() => sessions.pipelines.length === 1, "the stream runs");
  sessions.answer = answer;
  client.send(execute(1, "SELECT 2"));
  const closed = client.send(close(1));
  client.send(open(2));
  release();
  expect(await client.answerTo(closed)).toEqual({ type: "close_stream" });
  expect(sessions.pipelines[1]).toMatchObject({
    baton: "b",
    requests: [{ type: "execute" }, { type: "close" }],
  });
  // One that was never used costs nothing.
  expect(await client.ask(close(2))).toEqual({ type: "close_stream" });
  expect(sessions.pipelines).toHaveLength(2);
});

test("streams end with their connection, and what waited on them is not begun", async () => {
  await using setup = await start();
  const client = await HranaClient.connect(setup.node.url);
  client.send(open(1));
  client.send(open(2));
  await client.ask(execute(1, "BEGIN"));
  await client.ask(execute(1, "CREATE TABLE t (a)"));
  await client.ask(execute(2, "SELECT 1"));
  expect(setup.sessions.openStreams).toBe(2);
  client.close();
  await until(() => setup.sessions.openStreams === 0, "both streams are closed");
  using other = await HranaClient.connect(setup.node.url);
  other.send(open(1));
  expect(await other.ask(execute(1, "SELECT * FROM t"))).toMatchObject({ code: "SQLITE_ERROR" });
});

test("what ends a stream is told to all that is asked of it afterwards", async () => {
  const sessions = new FakeSessions();
  await using node = await startServer({ sessions });
  using client = await HranaClient.connect(node.url);
  client.send(open(1));
  expect(await client.ask(execute(1, "BEGIN"))).toEqual({ type: "close" });
  const { answer } = sessions;
  sessions.refuse("TRANSACTION_LOST");
  const insert = execute(1, "INSERT INTO t VALUES (1)");
  const lost = await client.ask(insert);
  expect(lost).toEqual({ message: "refused: TRANSACTION_LOST", code: "TRANSACTION_LOST" });
  // It must not run on another stream, outside of its transaction.
  sessions.answer = answer;
  expect(await client.ask(insert)).toEqual(lost);
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });
  client.send(open(1));
  expect(await client.ask(insert)).toEqual({ type: "close" });
});

for (
  const [what, code, ...messages] of [
    ["text that is not JSON", 1007, "{"],
    ["a message of no type", 1008, "{}"],
    ["a request without an id", 1008, { type: "request", request: open(1) }],
    ["a request of no type", 1008, { type: "request", request_id: 1, request: {} }],
    ["a stream that is open already", 1008, open(1), open(1)],
    ["a stream that is not open", 1008, execute(7, "SELECT 1")],
    ["a cursor that is not open", 1008, { type: "fetch_cursor", cursor_id: 1, max_count: 1 }],
    [
      "a text that is stored already",
      1008,
      { type: "store_sql", sql_id: 1, sql: "SELECT 1" },
      { type: "store_sql", sql_id: 1, sql: "SELECT 1" },
    ],
  ] as const
) {
  test(`the connection ends with ${code} after ${what}`, async () => {
    await using node = await startServer();
    using client = await HranaClient.connect(node.url);
    for (const message of messages) {
      const isRequest = typeof message === "object" && "type" in message &&
        message.type !== "request";
      if (isRequest) client.send(message);
      else client.say(message);
    }
    expect(await client.closed()).toBe(code);
    expect(node.failures).toEqual([]);
  });
}

test("bytes, requests before the hello and requests of later versions end it, too", async () => {
  await using node = await startServer();
  using bytes = await HranaClient.connect(node.url);
  bytes.sayBytes(new Uint8Array([1]));
  expect(await bytes.closed()).toBe(1003);
  using rude = await HranaClient.connectSilently(node.url, ["hrana3"]);
  rude.send(open(1));
  expect(await rude.closed()).toBe(1008);
  using old = await HranaClient.connect(node.url, "hrana2");
  old.send({ type: "get_autocommit", stream_id: 1 });
  expect(await old.closed()).toBe(1008);
  // A second hello is fine, but in the first version.
  using polite = await HranaClient.connect(node.url, "hrana2");
  polite.say({ type: "hello", jwt: "x" });
  await until(() => polite.messages.length === 1, "the second hello is answered");
  using first = await HranaClient.connect(node.url, "hrana1");
  first.say({ type: "hello", jwt: null });
  expect(await first.closed()).toBe(1008);
});

test("pages of other origins get no WebSocket", async () => {
  await using node = await startServer({ allowedOrigins: ["https://app.example"] });
  const ask = async (origin: string) => {
    const response = await fetch(node.url, {
      headers: {
        origin,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "hrana9",
      },
    });
    return [response.status, (await response.json()).message];
  };
  expect(await ask("https://evil.example")).toEqual([
    403,
    'Pages of "https://evil.example" may not use this server',
  ]);
  expect(await ask("https://app.example")).toEqual([
    400,
    "The subprotocols here are hrana3, hrana2, hrana1",
  ]);
});

test("a plain GET is told that only a WebSocket is served there", async () => {
  await using node = await startServer();
  const response = await fetch(node.url);
  expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
  expect(await response.json()).toEqual({
    message: "Only a WebSocket is served here",
    code: "PROTOCOL",
  });
});

/** A follower of what `leadership` names, which can answer nothing itself. */
async function startFollower(leadership: Leadership): Promise<TestServer> {
  const sessions = new FakeSessions();
  sessions.answer = ({ baton }) => {
    const code = baton === undefined ? "NOT_LEADER" : "TRANSACTION_LOST";
    return Promise.reject(new DatabaseError(code, `refused: ${code}`));
  };
  return await startServer({ sessions, leadership, nodeId: 2 });
}

test("a stream of a follower lives on the leader, and ends with it", async () => {
  await using setup = await start();
  const leadership = {
    leaderUrl: () => setup.node.url,
    waitForLeader: () => Promise.resolve(true),
  };
  await using follower = await startFollower(leadership);
  using client = await HranaClient.connect(follower.url);
  client.send(open(1));
  expect(await client.ask(execute(1, "BEGIN"))).toMatchObject({ type: "execute" });
  expect(await client.ask(execute(1, "CREATE TABLE t (a)"))).toMatchObject({ type: "execute" });
  expect(await client.ask({ type: "get_autocommit", stream_id: 1 })).toMatchObject({
    is_autocommit: false,
  });
  expect(setup.sessions.openStreams).toBe(1);
  await setup.node.server.close(0);
  const lost = await client.ask(execute(1, "COMMIT"));
  expect(lost).toMatchObject({ code: "TRANSACTION_LOST" });
  expect(await client.ask(execute(1, "SELECT 1"))).toEqual(lost);
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });
});

test("a stream of a follower is closed on the leader when the client goes away", async () => {
  await using setup = await start();
  const leadership = {
    leaderUrl: () => setup.node.url,
    waitForLeader: () => Promise.resolve(true),
  };
  await using follower = await startFollower(leadership);
  const client = await HranaClient.connect(follower.url);
  client.send(open(1));
  await client.ask(execute(1, "BEGIN"));
  expect(setup.sessions.openStreams).toBe(1);
  client.close();
  await until(() => setup.sessions.openStreams === 0, "the leader closed the stream");
});

test("a leader that answers something else is not believed", async () => {
  const sessions = new FakeSessions();
  sessions.answer = () => Promise.resolve({ baton: undefined, results: [] });
  await using leader = await startServer({ sessions });
  const leadership = {
    leaderUrl: () => leader.url,
    waitForLeader: () => Promise.resolve(true),
  };
  await using follower = await startFollower(leadership);
  using client = await HranaClient.connect(follower.url);
  client.send(open(1));
  expect(await client.ask(execute(1, "SELECT 1"))).toMatchObject({
    code: "PROTOCOL",
    outcome: "unknown",
  });
  expect(await client.ask(close(1))).toEqual({ type: "close_stream" });
});
