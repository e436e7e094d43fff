import { afterEach, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseError } from "../../lib/base/errors.ts";
import type { Node } from "../../lib/node.ts";
import type { NodeOptions } from "../../lib/node_options.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, view, waitFor } from "./harness.ts";

afterEach(cleanUp);

async function roles(node: Node): Promise<string[]> {
  return (await view(node)).members.map(({ role }) => role).toSorted();
}

async function ready(node: Node): Promise<boolean> {
  return (await fetch(`${node.httpUrl}/readyz`)).status === 200;
}

async function post(node: Node, path: string, body: unknown): Promise<unknown> {
  const response = await fetch(node.httpUrl + path, { method: "POST", body: JSON.stringify(body) });
  return await response.json();
}

/** Sends a statement to this very node. */
async function rowsAt(node: Node, sql: string): Promise<unknown> {
  const response = await fetch(`${node.httpUrl}/v2/pipeline`, {
    method: "POST",
    body: JSON.stringify({
      requests: [{ type: "execute", stmt: { sql, want_rows: true } }, { type: "close" }],
    }),
  });
  const { results } = await response.json() as {
    results: { response: { result: { rows: { value: string }[][] } } }[];
  };
  return results[0]!.response.result.rows.map((row) => row.map(({ value }) => value));
}

test("a standby receives everything and serves reads, but does not vote", async () => {
  const first = await start({ dir: newFolder() });
  await first.client().execute("CREATE TABLE t(a)");
  const standby = await start({ dir: newFolder(), join: [first.address], role: "standby" });
  await waitFor("the standby is ready", () => ready(standby));
  expect(await roles(first)).toEqual(["standby", "voter"]);
  expect((await view(standby)).role).toBe("standby");
  await first.client().execute("INSERT INTO t VALUES(7)");
  expect(await rowsAt(standby, "SELECT a FROM t")).toEqual([["7"]]);
  expect((await view(standby)).appliedIndex).toBeGreaterThan(2);
  // The only voter goes on without it.
  await standby.stop();
  await first.client().execute("INSERT INTO t VALUES(8)");
}, TIMEOUT_MS);

test("a spare holds no data, and passes reads and writes on", async () => {
  const first = await start({ dir: newFolder() });
  await first.client().execute("CREATE TABLE t(a)");
  const spare = await start({ dir: newFolder(), join: [first.address], role: "spare" });
  await waitFor("the spare is ready", () => ready(spare));
  expect(await roles(spare)).toEqual(["spare", "voter"]);
  expect((await view(spare)).role).toBe("spare");
  await rowsAt(spare, "INSERT INTO t VALUES(7)");
  expect(await rowsAt(spare, "SELECT a FROM t")).toEqual([["7"]]);
  await spare.client().execute("INSERT INTO t VALUES(8)");
  expect((await spare.client().execute("SELECT a FROM t")).rows.length).toBe(2);
  expect(await view(spare)).toMatchObject({ lastIndex: 0, appliedIndex: 0 });

  const voter = await post(spare, "/cluster/role", { id: spare.nodeId, role: "voter" });
  expect(voter).toEqual({ done: true, role: "voter" });
  await waitFor("it applies everything", async () => {
    return (await view(spare)).appliedIndex === (await view(first)).appliedIndex;
  });
  expect(await rowsAt(spare, "SELECT count(*) FROM t")).toEqual([["2"]]);
  expect(await post(first, "/cluster/role", { id: first.nodeId, role: "spare" })).toEqual({
    done: true,
    role: "spare",
  });
  expect(await post(first, "/cluster/role", { id: spare.nodeId, role: "spare" }))
    .toMatchObject({ code: "MEMBERSHIP", message: expect.stringContaining("only voter") });
  // Its data stands still now, so it does not answer from it.
  await rowsAt(first, "INSERT INTO t VALUES(9)");
  expect(await rowsAt(first, "SELECT count(*) FROM t")).toEqual([["3"]]);
}, TIMEOUT_MS);

test("the first node of a cluster is a voter", async () => {
  let code: string | undefined;
  try {
    await start({ dir: newFolder(), role: "spare" });
  } catch (error) {
    code = (error as DatabaseError).code;
  }
  expect(code).toBe("CONFIG");
}, TIMEOUT_MS);

/** Starts a node and waits for its error. */
async function fate(options: NodeOptions): Promise<DatabaseError> {
  const { promise, resolve } = Promise.withResolvers<Error>();
  const node = await start({ ...options, onFatal: resolve });
  const timeout = Bun.sleep(10_000).then(() => new Error("nothing happened"));
  const error = await Promise.race([promise, timeout]);
  await node.stop();
  if (!(error instanceof DatabaseError)) throw error;
  return error;
}

for (const role of ["voter", "standby", "spare"] as const) {
  test(`a ${role} that was down while it was removed is told when it comes back`, async () => {
    const first = await start({ dir: newFolder() });
    const dir = newFolder();
    const node = await start({ dir, join: [first.address], role });
    await waitFor(
      "it has its role",
      async () => (await roles(first)).includes(role) && ready(node),
    );
    if (role === "voter") {
      // Two voters cannot do without one of them.
      await start({ dir: newFolder(), join: [first.address] });
      await waitFor(
        "three voters",
        async () => (await roles(first)).join() === "voter,voter,voter",
      );
    }
    await node.stop();
    expect(await post(first, "/cluster/remove", { id: node.nodeId })).toEqual({ done: true });
    // Without `join` it knows the others from its own folder only; every time it is told again.
    for (let time = 0; time < 2; time++) {
      const error = await fate({ dir });
      expect([error.code, error.outcome]).toEqual(["REMOVED", "rejected"]);
    }
    expect((await view(first)).members.some(({ id }) => id === node.nodeId)).toBe(false);
    // A damaged list of members is as good as none; the seeds help then.
    const roster = join(dir, "members.json");
    expect(readFileSync(roster, "utf8")).toContain(first.address);
    writeFileSync(roster, "{");
    expect((await fate({ dir, join: [first.address] })).code).toBe("REMOVED");
    // With an empty folder it is a new node, which may have the old one's address.
    rmSync(dir, { recursive: true });
    const again = await start({ dir, join: [first.address], listen: node.address, role });
    expect(again.address).toBe(node.address);
    expect(again.nodeId).not.toBe(node.nodeId);
    await waitFor("the new one is ready", () => ready(again));
  }, TIMEOUT_MS);
}

test("a spare that comes back at another address is found there", async () => {
  const first = await start({ dir: newFolder() });
  const dir = newFolder();
  const before = await start({ dir, join: [first.address], role: "spare" });
  await waitFor("the spare is ready", () => ready(before));
  await before.stop();
  const after = await start({ dir });
  expect(after.address).not.toBe(before.address);
  await waitFor("the spare is ready again", () => ready(after));
  expect(JSON.stringify(await view(first))).toContain(after.address);
}, TIMEOUT_MS);

for (const role of ["voter", "standby", "spare"] as const) {
  test(`a ${role} that is removed while it runs takes no more requests`, async () => {
    const first = await start({ dir: newFolder() });
    const errors: Error[] = [];
    const node = await start({
      dir: newFolder(),
      join: [first.address],
      role,
      onFatal: (error) => errors.push(error),
    });
    const count = role === "voter" ? 2 : 1;
    await waitFor("it has its role", async () => {
      const same = (await roles(first)).filter((known) => known === role);
      return same.length === count && ready(node);
    });
    await post(first, "/cluster/remove", { id: node.nodeId });
    await waitFor("the node is told", () => errors.length > 0);
    expect(errors).toMatchObject([{ code: "REMOVED" }]);
    const startedMs = performance.now();
    expect(await refusalAt(node)).toBe("SHUTTING_DOWN");
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  }, TIMEOUT_MS);
}

async function refusalAt(node: Node): Promise<string> {
  const response = await fetch(`${node.httpUrl}/v2/pipeline`, {
    method: "POST",
    body: JSON.stringify({
      requests: [{ type: "execute", stmt: { sql: "SELECT 1" } }, { type: "close" }],
    }),
  });
  return (await response.json() as { code: string }).code;
}

test("leadership goes to a voter that is there when another went away unnoticed", async () => {
  const leader = await start({ dir: newFolder() });
  const gone = await start({ dir: newFolder(), join: [leader.address] });
  const other = await start({ dir: newFolder(), join: [leader.address] });
  await waitFor("all vote", async () => (await roles(leader)).join() === "voter,voter,voter");
  await leader.client().execute("CREATE TABLE t(a)");
  await gone.stop();
  expect(await post(leader, "/cluster/transfer", {})).toMatchObject({ done: true });
  expect((await view(leader)).role).not.toBe("leader");
  await waitFor("the other leads", async () => (await view(other)).role === "leader");
}, TIMEOUT_MS);
