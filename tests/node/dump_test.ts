import { afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { openLibrary } from "../../ffi/open.ts";
import { Connection } from "../../lib/database/connection.ts";
import { makeSample, SAMPLE_QUERIES, sampleContent } from "../cluster/sample.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS } from "./harness.ts";
import { command } from "./program.ts";

afterEach(cleanUp);

/** The first queries show what a dump carries; it does not carry the numbers of a PRAGMA. */
const CARRIED = SAMPLE_QUERIES.filter((sql) => !sql.includes("pragma_")).length;

test("a dump makes the same tables again, and is the same on stdout and in a file", async () => {
  const folder = newFolder();
  const path = `${folder}/sample.db`;
  makeSample(path, { rows: 1_000 });
  const node = await start({ dir: newFolder(), from: path });
  await node.client().execute("INSERT INTO sample VALUES (0, 'a' || char(10) || '''b', x'00ff')");
  const { status, out, errors } = await command("dump", "--url", node.httpUrl);
  expect([status, errors]).toEqual([0, ""]);

  const file = `${folder}/dump.sql`;
  expect(await command("dump", "--url", node.httpUrl, file)).toEqual({
    status: 0,
    out: "",
    errors: "",
  });
  expect(readFileSync(file, "utf8")).toBe(out);
  const refused = await command("dump", "--url", node.httpUrl, file);
  expect(refused.status).toBe(2);
  expect(refused.errors).toContain("exists already");

  const copy = `${folder}/copy.db`;
  // The one of Bun refuses to write to the schema, as a dump of a virtual table does.
  const database = Connection.open(await openLibrary(), copy, { role: "plain" });
  database.exec(out);
  database.close();
  const original = `${folder}/original.db`;
  expect(await command("backup", "--url", node.httpUrl, original)).toMatchObject({ status: 0 });
  expect(sampleContent(copy).slice(0, CARRIED)).toEqual(sampleContent(original).slice(0, CARRIED));
  expect(readdirSync(folder).sort()).toEqual([
    "copy.db",
    "dump.sql",
    "original.db",
    "sample.db",
  ]);
}, TIMEOUT_MS);

test("a dump of nobody leaves no file", async () => {
  const folder = newFolder();
  const { status, errors } = await command(
    "dump",
    "--url",
    "http://127.0.0.1:1",
    `${folder}/dump.sql`,
  );
  expect(status).toBe(1);
  expect(errors).toContain("No node answers");
  expect(readdirSync(folder)).toEqual([]);
}, TIMEOUT_MS);
