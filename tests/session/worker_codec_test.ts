import { expect, test } from "bun:test";
import { packToWorker, unpack } from "../../lib/session/worker_codec.ts";
import type { ToWorker } from "../../lib/session/worker_messages.ts";
import type { Value } from "../../lib/wire/hrana/types.ts";

function run(args: readonly Value[]): ToWorker {
  const stmt = { sql: "SELECT ?", args, namedArgs: [], wantRows: true };
  const requests = [{ type: "execute", stmt } as const];
  const jobs = [{ id: 1, streamId: undefined, requests, writable: true }];
  return { type: "run", jobs, grant: 3 };
}

function crossed(message: ToWorker): ToWorker {
  return unpack<ToWorker>(structuredClone(packToWorker(message)));
}

test("values arrive as they were sent, whichever way they go", () => {
  const rows: Value[][] = [
    [null, 1.5, "text", ""],
    [2n ** 63n - 1n, -(2n ** 63n)],
    [new Uint8Array([0, 255]), "\u{1f600}\0"],
    [-0, Infinity],
  ];
  for (const args of rows) expect(crossed(run(args))).toEqual(run(args));
});

test("what JSON can carry goes as a text", () => {
  expect(typeof packToWorker(run([1, "a", null]))).toBe("string");
  expect(typeof packToWorker(run([1n]))).toBe("object");
});
