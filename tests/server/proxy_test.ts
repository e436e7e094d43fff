import { expect, test } from "bun:test";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { LEADER_WAIT_MS, PROXY_STALE_LEADER_MS } from "../../lib/base/limits.ts";
import type { Clock } from "../../lib/io/clock.ts";
import type { HttpClient, HttpClientReply, HttpRequest } from "../../lib/io/http.ts";
import { HttpClientError } from "../../lib/io/http.ts";
import { FORWARDED_HEADER, Proxy } from "../../lib/server/proxy.ts";
import { jsonReply } from "../../lib/server/replies.ts";
import type { Leadership } from "../../lib/server/types.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import {
  ask,
  fakeOperations,
  FakeSessions,
  ONE_STATEMENT,
  post,
  startServer,
  unknownLeader,
  until,
} from "./fixture.ts";

/** A leadership that a test changes. */
function knownLeader(url: string | undefined): Leadership & { url: string | undefined } {
  return {
    url,
    leaderUrl() {
      return this.url;
    },
    waitForLeader() {
      return Promise.resolve(this.url !== undefined);
    },
  };
}

test("a follower passes a pipeline on and sends the client to the leader", async () => {
  const leaderSessions = new FakeSessions();
  await using leader = await startServer({ sessions: leaderSessions, nodeId: 1 });
  const followerSessions = new FakeSessions();
  followerSessions.refuse("NOT_LEADER");
  await using follower = await startServer({
    sessions: followerSessions,
    nodeId: 2,
    leadership: knownLeader(leader.url),
  });
  const body = '{"baton":null,"requests":[{"type":"sequence","sql":"SELECT \'é\'"}]}';
  expect(await post(follower.url, body)).toEqual({
    status: 200,
    contentType: "application/json",
    json: {
      baton: "next",
      base_url: `${leader.url}/`,
      results: [{ type: "ok", response: { type: "close" } }],
    },
  });
  expect(leaderSessions.pipelines).toMatchObject([
    { baton: undefined, requests: [{ type: "sequence", sql: "SELECT 'é'" }] },
  ]);
});

test("what the leader refuses is passed back as it is", async () => {
  const leaderSessions = new FakeSessions();
  leaderSessions.refuse("BUSY", { hint: "later" });
  await using leader = await startServer({ sessions: leaderSessions });
  const followerSessions = new FakeSessions();
  followerSessions.refuse("NOT_LEADER", { leader: leader.url });
  await using follower = await startServer({ sessions: followerSessions });
  expect(await post(follower.url, ONE_STATEMENT)).toEqual({
    status: 429,
    contentType: "application/json",
    json: { message: "refused: BUSY", code: "BUSY", hint: "later" },
  });
  expect(leaderSessions.pipelines.length).toBe(1);
});

test("changes of the cluster are passed on, too", async () => {
  const removed: number[] = [];
  const operations = fakeOperations({ remove: (id) => Promise.resolve(void removed.push(id)) });
  await using leader = await startServer({ operations });
  const refuse = () => Promise.reject(new DatabaseError("NOT_LEADER", "not here"));
  await using follower = await startServer({
    operations: fakeOperations({ remove: refuse }),
    leadership: knownLeader(leader.url),
  });
  const reply = await ask(`${follower.url}/cluster/remove`, { method: "POST", body: '{"id":3}' });
  expect(reply).toMatchObject({ status: 200, json: { done: true } });
  expect(removed).toEqual([3]);
});

test("a request that was passed on is not passed on again", async () => {
  const sessions = new FakeSessions();
  sessions.refuse("NOT_LEADER", { leader: "http://127.0.0.1:1" });
  await using node = await startServer({ sessions, leadership: knownLeader("http://127.0.0.1:1") });
  const reply = await ask(`${node.url}/v2/pipeline`, {
    method: "POST",
    headers: { [FORWARDED_HEADER]: "9" },
    body: ONE_STATEMENT,
  });
  expect(reply).toMatchObject({
    status: 503,
    json: { code: "NOT_LEADER", leader: "http://127.0.0.1:1" },
  });
});

test("two nodes that each take the other for the leader do not pass requests round", async () => {
  const [a, b] = [new FakeSessions(), new FakeSessions()];
  a.refuse("NOT_LEADER");
  b.refuse("NOT_LEADER");
  const [leadershipA, leadershipB] = [knownLeader(undefined), knownLeader(undefined)];
  await using nodeA = await startServer({ sessions: a, leadership: leadershipA });
  await using nodeB = await startServer({ sessions: b, leadership: leadershipB });
  leadershipA.url = nodeB.url;
  leadershipB.url = nodeA.url;
  const answer = post(nodeA.url, ONE_STATEMENT);
  // The confusion ends when one of them is elected.
  let tries = 0;
  b.answer = () => {
    tries += 1;
    if (tries < 4) return Promise.reject(new DatabaseError("NOT_LEADER", "not yet"));
    return Promise.resolve({ baton: undefined, results: [] });
  };
  expect((await answer).status).toBe(200);
  expect(tries).toBe(4);
  expect(a.pipelines.length).toBe(4);
});

test("without a leader the client is told so, and that nothing was done", async () => {
  const sessions = new FakeSessions();
  sessions.refuse("NOT_LEADER");
  await using node = await startServer({ sessions, leadership: unknownLeader });
  const reply = await post(node.url, ONE_STATEMENT);
  expect(reply).toMatchObject({ status: 503, json: { code: "NO_LEADER" } });
  expect(reply.json.hint).toContain("majority");
  expect(reply.json.outcome).toBe(undefined);
});

test("a request waits for a leader and then goes on", async () => {
  const sessions = new FakeSessions();
  sessions.refuse("NOT_LEADER");
  let elect = () => {};
  const elected = new Promise<void>((resolve) => elect = resolve);
  await using node = await startServer({
    sessions,
    leadership: { leaderUrl: () => undefined, waitForLeader: () => elected.then(() => true) },
  });
  const answer = post(node.url, ONE_STATEMENT);
  await until(() => sessions.pipelines.length === 1, "the request was refused for the first time");
  sessions.answer = () => Promise.resolve({ baton: undefined, results: [] });
  elect();
  expect(await answer).toMatchObject({ status: 200, json: { base_url: null } });
});

test("a leader that dies with the request leaves the outcome unknown, with no retry", async () => {
  let requests = 0;
  const dying = createServer((socket: Socket) => {
    socket.on("data", () => {
      requests += 1;
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => dying.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(dying.address() as AddressInfo).port}`;
  const sessions = new FakeSessions();
  sessions.refuse("NOT_LEADER");
  await using node = await startServer({ sessions, leadership: knownLeader(url) });
  const reply = await post(node.url, ONE_STATEMENT);
  expect(reply).toMatchObject({
    status: 502,
    json: { code: "CONNECTION_LOST", outcome: "unknown" },
  });
  expect(reply.json.message).toContain(url);
  expect(requests).toBe(1);
  await new Promise((resolve) => dying.close(resolve));
});

/** Time that passes only when something waits for it. */
class FakeClock implements Clock {
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => this.#timers = this.#timers.filter((other) => other !== timer);
  }

  soon(callback: () => void): void {
    queueMicrotask(callback);
  }

  get waiting(): number {
    return this.#timers.length;
  }

  /** Runs timers in order until `promise` settles. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = () => settled = true;
    promise.then(done, done);
    while (!settled) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#timers.sort((a, b) => a.atMs - b.atMs);
      const timer = this.#timers.shift();
      if (timer === undefined) continue;
      this.#nowMs = timer.atMs;
      timer.callback();
    }
    return promise;
  }
}

const request: HttpRequest = {
  method: "POST",
  path: "/v2/pipeline",
  query: "",
  signal: new AbortController().signal,
  header: () => undefined,
  body: () => Promise.resolve(new Uint8Array(0)),
};

function proxyOf(send: HttpClient["send"], leadership: Leadership): [Proxy, FakeClock] {
  const clock = new FakeClock();
  return [new Proxy(2, { send, close: () => {} }, leadership, clock), clock];
}

const notLeader = () => Promise.reject(new DatabaseError("NOT_LEADER", "not here"));
const NO_BODY = new Uint8Array(0);

function reply(status: number, json: unknown): HttpClientReply {
  const body = new TextEncoder().encode(JSON.stringify(json));
  return { status, contentType: "application/json", body };
}

async function codeOf(running: Promise<unknown>): Promise<string> {
  try {
    await running;
  } catch (error) {
    if (error instanceof DatabaseError) return error.code;
    throw error;
  }
  return "answered";
}

test("a leader that refuses connections is tried until the time is up", async () => {
  const urls: string[] = [];
  const [proxy, clock] = proxyOf((sent) => {
    urls.push(sent.url);
    return Promise.reject(new HttpClientError("refused", false));
  }, knownLeader("http://a:1"));
  expect(await codeOf(clock.drive(proxy.run(request, NO_BODY, notLeader)))).toBe("NO_LEADER");
  expect(clock.nowMs()).toBeGreaterThan(LEADER_WAIT_MS / 2);
  expect(clock.nowMs()).toBeLessThanOrEqual(LEADER_WAIT_MS);
  expect(urls.length).toBeGreaterThan(10);
  expect(new Set(urls)).toEqual(new Set(["http://a:1/v2/pipeline"]));
  expect(clock.waiting).toBe(0);
});

test("a node that names another leader is believed once it is asked", async () => {
  const urls: string[] = [];
  const [proxy, clock] = proxyOf((sent) => {
    urls.push(sent.url);
    return Promise.resolve(
      sent.url.startsWith("http://b")
        ? reply(200, { baton: null, base_url: null, results: [] })
        : reply(503, { code: "NOT_LEADER", message: "m", leader: "http://b:1" }),
    );
  }, knownLeader(undefined));
  const local = () =>
    Promise.reject(new DatabaseError("NOT_LEADER", "not here", { leader: "http://a:1" }));
  const answered = await clock.drive(proxy.run(request, NO_BODY, local));
  expect(answered.status).toBe(200);
  expect(urls).toEqual(["http://a:1/v2/pipeline", "http://b:1/v2/pipeline"]);
  expect(new TextDecoder().decode(answered.body as Uint8Array)).toBe(
    '{"baton":null,"base_url":"http://b:1/","results":[]}',
  );
});

test("a node that is elected while it waits runs the request itself", async () => {
  const [proxy, clock] = proxyOf(() => Promise.reject(new HttpClientError("refused", false)), {
    leaderUrl: () => "http://a:1",
    waitForLeader: () => Promise.resolve(true),
  });
  let tries = 0;
  const local = () => {
    tries += 1;
    return tries < 3 ? notLeader() : Promise.resolve(jsonReply(200, "here"));
  };
  expect((await clock.drive(proxy.run(request, NO_BODY, local))).body).toBe("here");
});

test("a leader that leads no longer and stays silent is given up, outcome unknown", async () => {
  const leadership = knownLeader("http://a:1");
  const [proxy, clock] = proxyOf((sent) =>
    new Promise((_, reject) => {
      clock.after(10_000, () => leadership.url = "http://b:1");
      sent.signal!.addEventListener("abort", () => {
        reject(new HttpClientError(String(sent.signal!.reason), true));
      });
    }), leadership);
  const running = clock.drive(proxy.run(request, NO_BODY, notLeader));
  expect(await codeOf(running)).toBe("CONNECTION_LOST");
  expect(clock.nowMs()).toBeGreaterThanOrEqual(10_000 + PROXY_STALE_LEADER_MS);
  expect(clock.nowMs()).toBeLessThan(10_000 + PROXY_STALE_LEADER_MS + 1_500);
  expect(clock.waiting).toBe(0);
});

test("a slow answer of a leader that still leads is waited for", async () => {
  const [proxy, clock] = proxyOf(() =>
    new Promise((resolve) => {
      clock.after(60_000, () => resolve(reply(200, {})));
    }), knownLeader("http://a:1"));
  const answered = await clock.drive(proxy.run(request, NO_BODY, notLeader));
  expect(answered.status).toBe(200);
  expect(clock.nowMs()).toBe(60_000);
  expect(clock.waiting).toBe(0);
});

test("the body and the name of the node travel with the request", async () => {
  let sent: unknown;
  const [proxy, clock] = proxyOf((request) => {
    const { signal: _, ...rest } = request;
    sent = rest;
    return Promise.resolve(reply(200, { done: true }));
  }, knownLeader("http://a:1"));
  const body = new Uint8Array([1, 2]);
  const answered = await clock.drive(proxy.run(request, body, notLeader));
  expect(sent).toEqual({
    method: "POST",
    url: "http://a:1/v2/pipeline",
    headers: { "content-type": "application/json", [FORWARDED_HEADER]: "2" },
    body,
  });
  expect(new TextDecoder().decode(answered.body as Uint8Array)).toBe('{"done":true}');
});

test("what is thrown for other reasons is not passed on", async () => {
  const [proxy] = proxyOf(() => Promise.reject(new Error("sent")), knownLeader("http://a:1"));
  const refuse = () => Promise.reject(new DatabaseError("BATON_INVALID", "unknown"));
  expect(await codeOf(proxy.run(request, NO_BODY, refuse))).toBe("BATON_INVALID");
});
