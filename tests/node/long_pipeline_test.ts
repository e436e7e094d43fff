/** Pipelines that are long are decoded by the worker that runs them, and judged by their text. */
import { afterEach, expect, test } from "bun:test";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS } from "./harness.ts";

afterEach(cleanUp);

/** Longer than what is decoded at once. */
const PADDING = "x".repeat(5_000);

interface Reply {
  readonly baton: string | null;
  readonly code?: string;
  readonly message?: string;
  readonly results: readonly { readonly type: string }[];
}

async function send(node: Node, body: string): Promise<{ status: number; reply: Reply }> {
  const response = await fetch(`${node.httpUrl}/v2/pipeline`, { method: "POST", body });
  return { status: response.status, reply: await response.json() as Reply };
}

async function count(node: Node): Promise<unknown> {
  return (await node.client().execute("SELECT count(*) FROM t")).rows[0]![0];
}

async function startWithTable(): Promise<Node> {
  const node = await start({ dir: newFolder() });
  await node.client().execute("CREATE TABLE t (a)");
  return node;
}

const insert = `{"type":"execute","stmt":{"sql":"INSERT INTO t VALUES ('${PADDING}')"}}`;
const close = '{"type":"close"}';

test("a long write is done, a long read is answered", async () => {
  const node = await startWithTable();
  const { reply } = await send(node, ` { "requests": [${insert},${insert}, ${close}\n]} `);
  expect(reply.results.map(({ type }) => type)).toEqual(["ok", "ok", "ok"]);
  expect(await count(node)).toBe(2);
  const read = `{"type":"execute","stmt":{"sql":"SELECT a, '${PADDING}' FROM t"}}`;
  const answer = await send(node, `{"baton":null,"requests":[${read},${close}]}`);
  // Twice in each of two rows, and in the name of a column.
  expect(JSON.stringify(answer.reply).split(PADDING)).toHaveLength(6);
}, TIMEOUT_MS);

test(
  "a long text that is no pipeline is refused as a short one is, and holds nobody up",
  async () => {
    const node = await startWithTable();
    for (
      const rest of [`,{"type":"nothing"},${close}]}`, `,,${close}]}`, `,{"type":1},${close}]}`]
    ) {
      const short = await send(node, `{"requests":[${close}${rest}`);
      const long = await send(node, `{"requests":[${insert}${rest}`);
      expect([short.status, long.status]).toEqual([400, 400]);
      expect(long.reply.code).toBe("PROTOCOL");
      if (rest.startsWith(",{")) expect(long.reply.message).toBe(short.reply.message!);
    }
    expect(await count(node)).toBe(0);
  },
  TIMEOUT_MS,
);

test("a long text that only ends like one that closes its stream leaves it open", async () => {
  const node = await startWithTable();
  const begin = '{"type":"execute","stmt":{"sql":"BEGIN"}}';
  const first = await send(node, `{"requests":[${begin},${insert}],"more":[${close}]}`);
  expect(first.reply.baton).toBeString();
  const baton = JSON.stringify(first.reply.baton);
  const second = await send(node, `{"requests":[${insert}],"baton":${baton},"more":[${close}]}`);
  expect(second.reply.results).toHaveLength(1);
  const last = JSON.stringify(second.reply.baton);
  const commit = `{"type":"execute","stmt":{"sql":"COMMIT --${PADDING}"}}`;
  const third = await send(node, `{"baton":${last},"requests":[${commit},${close}]}`);
  expect(third.reply.baton).toBeNull();
  expect(await count(node)).toBe(2);
}, TIMEOUT_MS);

test("a follower passes a long write on", async () => {
  const leader = await startWithTable();
  const follower = await start({ dir: newFolder(), join: [leader.address] });
  const { reply } = await send(follower, `{"requests":[${insert},${close}]}`);
  expect(reply.results.map(({ type }) => type)).toEqual(["ok", "ok"]);
  expect(await count(follower)).toBe(1);
}, TIMEOUT_MS);
