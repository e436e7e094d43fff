import { expect, test } from "bun:test";
import {
  handedOver,
  packFromWorker,
  packToWorker,
  unpack,
} from "../../lib/session/worker_codec.ts";
import type { FromWorker, ToWorker } from "../../lib/session/worker_messages.ts";
import { decodePipeline } from "../../lib/wire/hrana/decode.ts";
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

test("requests whose text is known go as that text", () => {
  const text = '{"baton":null,"requests":[{"type":"execute","stmt":{"sql":"SELECT ?\\n",' +
    '"args":[{"type":"integer","value":"9007199254740993"}]}},{"type":"close"}]}';
  const { requests } = decodePipeline(text);
  const job = { streamId: 7, requests, writable: false };
  const jobs = [{ ...job, id: 1, text }, { ...job, id: 2, text: `\n${text}\n` }];
  const message: ToWorker = { type: "run", jobs, grant: undefined };
  expect(typeof packToWorker(message)).toBe("string");
  expect(crossed(message)).toEqual({
    type: "run",
    jobs: [{ ...job, id: 1 }, { ...job, id: 2 }],
  } as unknown as ToWorker);
});

test("results arrive as they were sent: texts as texts, bytes as the very bytes", () => {
  const result = { refused: undefined, seq: 1, captured: true, open: false, inTransaction: false };
  const texts: FromWorker = {
    type: "granted_done",
    results: [
      { ...result, id: 1, results: ['{"type":"ok"}', '{"a":"ä\\n"}'] },
      { ...result, id: 2, results: [] },
    ],
    grant: 3,
  };
  expect(handedOver(texts)).toEqual([]);
  expect(typeof packFromWorker(texts)).toBe("string");
  expect(unpack<FromWorker>(structuredClone(packFromWorker(texts)))).toEqual(texts);

  const bytes = new TextEncoder().encode("1");
  const body = new TextEncoder().encode("{}");
  const large: FromWorker = {
    type: "done",
    results: [
      { ...result, id: 1, results: [["[", bytes, "]"], "2"] },
      { ...result, id: 2, results: [], body },
    ],
  };
  const transfer = handedOver(large);
  expect(transfer).toEqual([bytes.buffer, body.buffer]);
  const arrived = unpack<FromWorker>(structuredClone(packFromWorker(large), { transfer }));
  expect(arrived).toEqual({
    type: "done",
    results: [
      { ...result, id: 1, results: [["[", new TextEncoder().encode("1"), "]"], "2"] },
      { ...result, id: 2, results: [], body: new TextEncoder().encode("{}") },
    ],
  });
  expect([bytes.length, body.length]).toEqual([0, 0]);
});

test("pages cross as bytes", () => {
  const set = { pages: [2], bytes: new Uint8Array([1, 255]) };
  const message: ToWorker = { type: "file_task", id: 4, task: { type: "repair", set } };
  expect(crossed(message)).toEqual(message);
});

test("a job says which database it is about, in whichever form it crosses", () => {
  const database = { id: 7, path: "/data/databases/7.db" };
  const text = '{"baton":null,"requests":[{"type":"close"}]}';
  const { requests } = decodePipeline(text);
  for (const given of [{}, { text }, { text, isLong: true }]) {
    const job = { id: 1, database, streamId: undefined, requests, writable: true, ...given };
    const message = crossed({ type: "run", jobs: [job], grant: 2 });
    expect(message.type === "run" && message.jobs[0]!.database).toEqual(database);
  }
});
