import { expect, test } from "bun:test";
import type { NodeId } from "../../lib/raft/types.ts";
import { ask, fakeOperations, startServer } from "./fixture.ts";

test("a node that lives says so, and its version", async () => {
  await using node = await startServer({ version: "1.2.3" });
  expect(await ask(`${node.url}/health`)).toEqual({
    status: 200,
    contentType: "application/json",
    json: { status: "ok" },
  });
  expect((await ask(`${node.url}/version`)).json).toEqual({ version: "1.2.3" });
  const head = await fetch(`${node.url}/health`, { method: "HEAD" });
  expect([head.status, await head.text()]).toEqual([200, ""]);
});

test("a node is ready once it knows a leader and has caught up with its past", async () => {
  let readiness = { leaderKnown: false, appliedIndex: 5, requiredIndex: 9 };
  await using node = await startServer({
    operations: fakeOperations({ readiness: () => readiness }),
  });
  const reasons = ["no leader is known", "applied up to 5, of the 9 it had applied before"];
  expect(await ask(`${node.url}/readyz`)).toEqual({
    status: 503,
    contentType: "application/json",
    json: { ready: false, reasons },
  });
  expect((await ask(`${node.url}/readyz?noleader`)).json).toEqual({
    ready: false,
    reasons: [reasons[1]],
  });
  readiness = { leaderKnown: false, appliedIndex: 9, requiredIndex: 9 };
  expect((await ask(`${node.url}/readyz`)).status).toBe(503);
  expect((await ask(`${node.url}/readyz?a=1&noleader`)).status).toBe(200);
  readiness = { leaderKnown: true, appliedIndex: 9, requiredIndex: 9 };
  expect(await ask(`${node.url}/readyz`)).toMatchObject({
    status: 200,
    json: { ready: true, reasons: [] },
  });
});

test("the cluster is shown as the node sees it", async () => {
  const operations = fakeOperations();
  await using node = await startServer({ operations });
  expect((await ask(`${node.url}/cluster`)).json).toEqual(
    JSON.parse(JSON.stringify(operations.clusterStatus())),
  );
});

const SCRUBBED = {
  verifiedPages: 7,
  learntPages: 0,
  skippedPages: 1,
  damagedPages: 2,
  entries: 40,
  damagedEntries: [17],
  elapsedMs: 3,
};

test("operators remove nodes, hand leadership over, checkpoint and compare databases", async () => {
  const asked: [string, NodeId | undefined][] = [];
  await using node = await startServer({
    operations: fakeOperations({
      remove: (id) => Promise.resolve(void asked.push(["remove", id])),
      transfer: (id) => Promise.resolve(void asked.push(["transfer", id])),
      assign: (id, role) => {
        asked.push([role, id]);
        return Promise.resolve(role === "voter" ? "learner" : role);
      },
      checkpoint: () => Promise.resolve({ index: 12 }),
      digest: () => Promise.resolve({ index: 12, sha256: "ab", pages: 3 }),
      scrub: () => Promise.resolve(SCRUBBED),
    }),
  });
  const send = (path: string, body?: string) =>
    ask(node.url + path, { method: "POST", ...(body === undefined ? {} : { body }) });
  const done = { status: 200, json: { done: true } };
  expect(await send("/cluster/remove", '{"id":5}')).toMatchObject(done);
  expect(await send("/cluster/transfer", '{"id":6}')).toMatchObject(done);
  expect(await send("/cluster/transfer", "{}")).toMatchObject(done);
  expect(await send("/cluster/transfer")).toMatchObject(done);
  const spare = await send("/cluster/role", '{"id":7,"role":"spare"}');
  expect(spare).toMatchObject({ status: 200, json: { done: true, role: "spare" } });
  expect(await send("/cluster/scrub")).toMatchObject({ status: 200, json: SCRUBBED });
  const voter = await send("/cluster/role", '{"id":7,"role":"voter"}');
  expect(voter).toMatchObject({ status: 200, json: { done: false, role: "learner" } });
  expect(asked.splice(-2)).toEqual([["spare", 7], ["voter", 7]]);
  expect(asked).toEqual([["remove", 5], ["transfer", 6], ["transfer", undefined], [
    "transfer",
    undefined,
  ]]);
  expect((await send("/cluster/checkpoint")).json).toEqual({ index: 12 });
  expect((await ask(`${node.url}/cluster/digest`)).json).toEqual({
    index: 12,
    sha256: "ab",
    pages: 3,
  });
});

test("a change that names no node is refused, and so is one that is not allowed now", async () => {
  await using node = await startServer();
  const remove = (body: string) => ask(`${node.url}/cluster/remove`, { method: "POST", body });
  const refused: [string, string][] = [
    ["", "id must be that of a node: missing"],
    ['{"id":null}', "id must be that of a node: missing"],
    ['{"id":"5"}', 'id must be a positive integer; it is "5"'],
    ['{"id":-1}', "id must be a positive integer; it is -1"],
    ["[5]", "The body must be an object"],
    ["{", "The body is not JSON: it ends unexpectedly at offset 1"],
  ];
  for (const [body, message] of refused) {
    expect(await remove(body)).toMatchObject({ status: 400, json: { code: "PROTOCOL", message } });
  }
  const assign = (body: string) => ask(`${node.url}/cluster/role`, { method: "POST", body });
  const expected = "role must be one of voter, standby, spare; it is";
  for (const [role, shown] of [[`"learner"`, `"learner"`], ["3", "3"], ["null", "null"]]) {
    expect(await assign(`{"id":5,"role":${role}}`)).toMatchObject({
      status: 400,
      json: { code: "PROTOCOL", message: `${expected} ${shown}` },
    });
  }
  expect((await assign('{"id":5}')).json).toMatchObject({ message: `${expected} undefined` });
  expect((await assign('{"role":"spare"}')).status).toBe(400);
  expect((await assign('{"id":5,"role":"spare"}')).status).toBe(409);
  expect(await remove('{"id":5}')).toMatchObject({ status: 409, json: { code: "MEMBERSHIP" } });
  expect(node.failures).toEqual([]);
});
