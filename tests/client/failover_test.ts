import { expect, test } from "bun:test";
import { createServer } from "node:net";

import { failureOf, Nodes, notLeader } from "./nodes.ts";

const INSERT = "INSERT INTO t VALUES (1)";

test("one node is enough to find the leader, and the leader gets the calls", async () => {
  await using nodes = new Nodes();
  const [leader, follower] = await nodes.cluster(2);
  const client = nodes.connect(follower!.url);
  await client.execute("CREATE TABLE t (a)");
  await client.execute(INSERT);
  expect(follower!.requests).toEqual(["GET /cluster"]);
  expect(leader!.pipelines.length).toBe(2);
  expect(client.leaderUrl).toBe(leader!.url);
});

test("a member that was never named takes over when the named one is gone", async () => {
  await using nodes = new Nodes();
  const [a, b, c] = await nodes.cluster(3);
  const client = nodes.connect(a!.url);
  await client.execute("CREATE TABLE t (a)");
  await a!.stop();
  nodes.elect([b!, c!], c!, 2);
  await client.execute(INSERT);
  expect(c!.pipelines.length).toBe(1);
});

test("a refused write goes to the new leader, once", async () => {
  await using nodes = new Nodes();
  const all = await nodes.cluster(3);
  const client = nodes.connect(all[0]!.url);
  await client.execute("CREATE TABLE t (a)");
  nodes.elect(all, all[2]!, 2);
  await client.execute(INSERT);
  expect((await client.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(1);
});

test("a refusal of a single statement counts like one of the whole request", async () => {
  await using nodes = new Nodes();
  const all = await nodes.cluster(2);
  const client = nodes.connect(all[0]!.url);
  await client.execute("CREATE TABLE t (a)");
  const error = { message: "This node does not lead", code: "NOT_LEADER" };
  const results = [{ type: "error", error }, { type: "ok", response: { type: "close" } }];
  all[0]!.faults.push({ type: "reply", status: 200, body: { baton: null, results } });
  await client.execute(INSERT);
  expect((await client.execute("SELECT count(*) AS n FROM t")).rows[0]!["n"]).toBe(1);
});

test("a client waits for an election", async () => {
  await using nodes = new Nodes();
  const all = await nodes.cluster(2);
  const client = nodes.connect(all.map((node) => node.url));
  await client.execute("CREATE TABLE t (a)");
  for (const node of all) {
    node.view = { ...node.view!, term: 2, leader: undefined };
    node.refuse = () => notLeader();
  }
  const written = client.execute(INSERT);
  while (all[1]!.requests.filter((r) => r === "GET /cluster").length < 3) await Bun.sleep(1);
  nodes.elect(all, all[1]!, 3);
  await written;
});

test("a write whose connection broke is never sent again, and its outcome is unknown", async () => {
  for (const executed of [true, false]) {
    await using nodes = new Nodes();
    const [leader] = await nodes.cluster(2);
    const client = nodes.connect(leader!.url);
    await client.execute("CREATE TABLE t (a)");
    leader!.faults.push({ type: "drop", executed });
    const error = await failureOf(() => client.execute(INSERT));
    expect([error.code, error.outcome]).toEqual(["CONNECTION_LOST", "unknown"]);
    const { rows } = await client.execute("SELECT count(*) AS n FROM t");
    expect(rows[0]!["n"]).toBe(executed ? 1 : 0);
    expect(leader!.pipelines.length).toBe(3);
  }
});

test("a read whose connection broke is sent again", async () => {
  await using nodes = new Nodes();
  const [leader] = await nodes.cluster(2);
  const client = nodes.connect(leader!.url);
  leader!.faults.push({ type: "drop", executed: true }, { type: "cut" });
  const { rows } = await client.execute("-- a comment\n SELECT 7 AS a");
  expect(rows[0]!["a"]).toBe(7);
  expect(leader!.pipelines.length).toBe(3);
});

test("a write with a common table expression is no read", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  await client.execute("CREATE TABLE t (a)");
  node.faults.push({ type: "drop", executed: true });
  const sql = "WITH v AS (SELECT 1) INSERT INTO t SELECT * FROM v";
  expect((await failureOf(() => client.execute(sql))).outcome).toBe("unknown");
  expect(node.pipelines.length).toBe(2);
});

test("an answer that breaks off leaves a write unknown", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  node.faults.push({ type: "cut" });
  expect(await failureOf(() => client.execute("CREATE TABLE t (a)"))).toMatchObject({
    code: "CONNECTION_LOST",
    outcome: "unknown",
  });
});

test("lost leadership is reported as unknown and never retried", async () => {
  await using nodes = new Nodes();
  const [leader] = await nodes.cluster(2);
  const client = nodes.connect(leader!.url);
  await client.execute("CREATE TABLE t (a)");
  const error = { message: "Leadership was lost", code: "LEADERSHIP_LOST" };
  const results = [{ type: "error", error }, { type: "ok", response: { type: "close" } }];
  leader!.faults.push({ type: "reply", status: 200, body: { baton: null, results } });
  expect(await failureOf(() => client.execute(INSERT))).toMatchObject({
    code: "LEADERSHIP_LOST",
    outcome: "unknown",
  });
  expect(leader!.pipelines.length).toBe(2);
});

test("a sequence that was refused in the middle is not repeated", async () => {
  await using nodes = new Nodes();
  const [leader] = await nodes.cluster(2);
  const client = nodes.connect(leader!.url);
  const error = { message: "This node does not lead", code: "NOT_LEADER" };
  const results = [{ type: "error", error }, { type: "ok", response: { type: "close" } }];
  leader!.faults.push({ type: "reply", status: 200, body: { baton: null, results } });
  const failure = await failureOf(() => client.executeMultiple("CREATE TABLE t (a); SELECT 1"));
  expect(failure.outcome).toBe("unknown");
  expect(leader!.pipelines.length).toBe(1);
});

test("nobody answers: the error says who was asked, and that nothing happened", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  await node.stop();
  const client = nodes.connect(node.url, { timeoutMs: 300 });
  const startMs = performance.now();
  const error = await failureOf(() => client.execute("CREATE TABLE t (a)"));
  expect(performance.now() - startMs).toBeLessThan(2_000);
  expect([error.code, error.outcome]).toEqual(["NO_LEADER", "rejected"]);
  expect(error.message).toContain(node.url);
});

test("a node that never answers costs no more than the time allowed", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url, { timeoutMs: 200 });
  node.faults.push({ type: "hang" });
  expect(await failureOf(() => client.execute("CREATE TABLE t (a)"))).toMatchObject({
    code: "CONNECTION_LOST",
    outcome: "unknown",
  });
});

test("a read at a leader that was cut off moves on to the next leader", async () => {
  await using nodes = new Nodes();
  const [old, next] = await nodes.cluster(2);
  const client = nodes.connect([old!.url, next!.url], { timeoutMs: 10_000 });
  await client.execute("SELECT 1");
  old!.faults.push({ type: "hang" });
  const read = client.execute("SELECT 2 AS a");
  nodes.elect([next!], next!, 2);
  expect((await read).rows[0]!["a"]).toBe(2);
  expect(next!.pipelines.length).toBe(1);
});

test("a leader that cannot be reached is reached through another node", async () => {
  await using nodes = new Nodes();
  const [leader, other] = await nodes.cluster(2);
  await leader!.stop();
  // The other node stands for one that passes requests on.
  other!.refuse = undefined;
  const client = nodes.connect(other!.url);
  await client.execute("CREATE TABLE t (a)");
  expect(other!.pipelines.length).toBe(1);
});

test("a server that knows nothing of clusters is used as it is", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  node.view = undefined;
  const client = nodes.connect(node.url);
  await client.execute("CREATE TABLE t (a)");
  expect(client.leaderUrl).toBe(node.url);
});

test("an error in plain text is reported with its status", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  node.faults.push({ type: "reply", status: 418, body: "no coffee" });
  const error = await failureOf(() => client.execute("CREATE TABLE t (a)"));
  expect([error.code, error.outcome]).toEqual(["SERVER_ERROR", "rejected"]);
  expect(error.message).toContain("418");
  expect(error.message).toContain("no coffee");
  node.faults.push({ type: "reply", status: 500, body: "oops" });
  expect((await failureOf(() => client.execute("CREATE TABLE t (a)"))).outcome).toBe("unknown");
});

test("answers of another form are protocol errors of unknown outcome", async () => {
  await using nodes = new Nodes();
  const node = await nodes.start();
  const client = nodes.connect(node.url);
  const bodies = ["[]", "{", "{}", '{"results":[]}', '{"results":[{"type":"ok"},null]}'];
  for (const body of bodies) {
    node.faults.push({ type: "reply", status: 200, body });
    expect(await failureOf(() => client.execute("CREATE TABLE t (a)"))).toMatchObject({
      code: "HRANA_PROTO_ERROR",
      outcome: "unknown",
    });
  }
});

test("a peer that answers garbage is a lost connection", async () => {
  const server = createServer((socket) => socket.end("not HTTP at all\r\n\r\n"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await using nodes = new Nodes();
  const client = nodes.connect(`http://127.0.0.1:${port}`, { timeoutMs: 200 });
  const error = await failureOf(() => client.execute("CREATE TABLE t (a)"));
  // It was asked for its cluster only, so nothing can have happened.
  expect([error.code, error.outcome]).toEqual(["NO_LEADER", "rejected"]);
  server.close();
});
