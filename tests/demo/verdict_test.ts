import { expect, test } from "bun:test";
import { parsePlaces, type Place } from "../../lib/demo/dataset.ts";
import { Ledger } from "../../lib/demo/ledger.ts";
import { LocalCluster } from "../../lib/demo/nodes.ts";
import { formatVerdict, passed, reachVerdict } from "../../lib/demo/verdict.ts";

const PLACES = parsePlaces(JSON.stringify(
  Array.from({ length: 10 }, (_, i) => ({
    name: `place ${i}`,
    lat: `${i}.5`,
    lng: `-${i}.25`,
    country: "AD",
    admin1: "1",
    admin2: "",
  })),
));

/** A row of the demo's table. */
type Row = [batch: number, place: number, values: Place];

function ledger(): Ledger {
  const ledger = new Ledger();
  ledger.answer(ledger.begin(0, 3), "acknowledged");
  ledger.answer(ledger.begin(3, 2), "rejected");
  ledger.answer(ledger.begin(5, 2), "unknown");
  ledger.begin(7, 2);
  ledger.answer(ledger.begin(9, 3), "acknowledged");
  return ledger;
}

function rows(...numbers: readonly (readonly [batch: number, place: number])[]): Row[] {
  return numbers.map(([batch, place]) => [batch, place, PLACES.at(place)]);
}

const GOOD = rows([0, 0], [0, 1], [0, 2], [2, 5], [2, 6], [4, 9], [4, 10], [4, 11]);

/** Nodes that hold `table`, as far as the verdict asks them. */
async function verdict(
  table: readonly Row[],
  hashes = ["a", "a", "a"],
): Promise<{ good: boolean; text: string }> {
  const cluster = await LocalCluster.plan({ command: ["none"], folder: "/none", count: 3 });
  const servers = cluster.nodes.map((node, i) =>
    Bun.serve({
      hostname: "127.0.0.1",
      port: Number(new URL(node.url).port),
      fetch: async (request) => {
        const path = new URL(request.url).pathname;
        if (path === "/cluster") return Response.json({ commitIndex: 7 });
        if (path === "/cluster/digest") {
          return Response.json({ index: 7, sha256: hashes[i], pages: 3 });
        }
        return Response.json({ results: [answer(await request.text(), table)] });
      },
    })
  );
  try {
    const checks = await reachVerdict(cluster, ledger(), PLACES, new AbortController().signal);
    return { good: passed(checks), text: formatVerdict(checks) };
  } finally {
    for (const server of servers) await server.stop(true);
  }
}

function answer(body: string, table: readonly Row[]): unknown {
  const { sql, args } = JSON.parse(body).requests[0].stmt;
  const integer = (value: number) => ({ type: "integer", value: String(value) });
  const text = (value: string) => ({ type: "text", value });
  const found = sql.startsWith("PRAGMA") ? [[text("ok")]] : table
    .map(([batch, place, { name, country, admin1, admin2, lat, lng }], i) => [
      integer(i + 1),
      integer(batch),
      integer(place),
      ...[name, country, admin1, admin2].map(text),
      { type: "float", value: lat },
      { type: "float", value: lng },
    ])
    .slice(Number(args[0].value));
  return { type: "ok", response: { type: "execute", result: { cols: [], rows: found } } };
}

test("the verdict is good when all that was answered is true", async () => {
  const { good, text } = await verdict(GOOD);
  expect(text).toEndWith("PASS");
  expect(good).toBe(true);
});

test.each([
  ["an acknowledged row is missing", GOOD.slice(1), "transaction 0 (acknowledged): 2 of 3"],
  ["a row is there twice", [...GOOD, GOOD[0]!], "is there twice"],
  ["a refused row is there", [...GOOD, ...rows([1, 3])], "transaction 1 (rejected): 1 of 2"],
  ["a transaction is torn", GOOD.toSpliced(3, 1), "transaction 2 (unknown): 1 of 2"],
  ["an unanswered transaction is torn", [...GOOD, ...rows([3, 8])], "transaction 3 (no answer): 1"],
  ["a row was never sent", [...GOOD, ...rows([0, 9])], "was not sent by its transaction"],
  ["a row belongs to nobody", [...GOOD, ...rows([77, 1])], "belongs to no transaction"],
  [
    "a value differs",
    [...GOOD.slice(1), [0, 0, { ...PLACES.at(0), lat: 9 }] as Row],
    "holds 9, not 0.5",
  ],
])("the verdict is bad when %s", async (_, table, evidence) => {
  const { good, text } = await verdict(table);
  expect(good).toBe(false);
  expect(text).toContain(evidence);
  expect(text).toEndWith("FAIL");
});

test("the verdict is bad when the pages of one database differ", async () => {
  const { good, text } = await verdict(GOOD, ["a", "b", "a"]);
  expect(good).toBe(false);
  expect(text).toContain("n2: 3 pages, sha256 b");
});
