import { expect, test } from "bun:test";
import { query, readReply } from "../../lib/demo/sql.ts";
import { startProcess } from "../../lib/io/process.ts";
import { denoBinary } from "../cluster/harness.ts";

const rows = { cols: [], rows: [[{ type: "integer", value: "1" }]], affected_row_count: 0 };

function batch(steps: number, errors: Record<number, { message: string; code: string }>): string {
  const done = (step: number) => step < steps - 1 && !(step in errors);
  const list = Array.from({ length: steps }, (_, step) => step);
  const result = {
    step_results: list.map((step) => done(step) ? rows : null),
    step_errors: list.map((step) => errors[step] ?? null),
  };
  return JSON.stringify({
    results: [
      { type: "ok", response: { type: "store_sql" } },
      { type: "ok", response: { type: "batch", result } },
      { type: "ok", response: { type: "close" } },
    ],
  });
}

test("a batch counts as acknowledged only when COMMIT has a result", () => {
  expect(readReply(200, batch(4, {})).type).toBe("ok");
  const reply = readReply(200, batch(4, { 2: { message: "m", code: "LEADERSHIP_LOST" } }));
  expect(reply).toEqual({ type: "error", outcome: "unknown", message: "LEADERSHIP_LOST: m" });
  const constraint = readReply(200, batch(4, { 1: { message: "m", code: "SQLITE_CONSTRAINT" } }));
  expect(constraint).toMatchObject({ type: "error", outcome: "rejected" });
});

test("errors have the outcome that their code promises, and none is taken on trust", () => {
  const outcome = (status: number, body: unknown) => {
    const reply = readReply(status, JSON.stringify(body));
    return reply.type === "error" ? reply.outcome : reply.type;
  };
  expect(outcome(503, { message: "m", code: "NO_LEADER" })).toBe("rejected");
  expect(outcome(503, { message: "m", code: "CONNECTION_LOST" })).toBe("unknown");
  expect(outcome(500, { message: "m", code: "WHAT_IS_THIS" })).toBe("unknown");
  expect(outcome(500, { message: "m", code: "toString" })).toBe("unknown");
  expect(outcome(200, { results: [{ type: "error", error: { message: "m" } }] })).toBe("unknown");
  expect(readReply(502, "<html>")).toMatchObject({ type: "error", outcome: "unknown" });
});

test("a refused connection wrote nothing; one that breaks may have", async () => {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.terminate() },
  });
  const url = `http://127.0.0.1:${server.port}`;
  expect(await query(url, "SELECT 1")).toMatchObject({ type: "error", outcome: "unknown" });
  server.stop(true);
  expect(await query(url, "SELECT 1")).toMatchObject({ type: "error", outcome: "rejected" });
});

test.each([["Bun", [process.execPath]], ["Deno", [denoBinary(), "run", "-A"]]])(
  "%s calls a write unknown when its node is gone before the answer",
  async (_, runtime) => {
    let requests = 0;
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) => {
        await request.text();
        if (++requests === 1) return Response.json({ results: [] });
        // The request was taken: now the node dies, and its port is closed as well.
        await server.stop(true);
        return new Response();
      },
    });
    const script = new URL("./ask_twice.ts", import.meta.url).pathname;
    const child = await startProcess([...runtime, script, `http://127.0.0.1:${server.port}`]);
    await child.exited;
    await server.stop(true);
    expect(requests).toBe(2);
    expect(JSON.parse(child.outputTail())).toMatchObject([
      { type: "ok" },
      { type: "error", outcome: "unknown" },
    ]);
  },
);
