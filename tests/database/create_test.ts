import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { createDatabaseImage } from "../../lib/database/create.ts";
import { Folder, library } from "./fixture.ts";

/** Bytes that count the writes to a file and name SQLite's version (file format, §1.3). */
const VARYING = [24, 25, 26, 27, 92, 93, 94, 95, 96, 97, 98, 99];

test("an image is the same each time, and what SQLite writes to a new file", () => {
  for (const pageSize of [512, 4_096, 65_536]) {
    for (const encoding of ["UTF-8", "UTF-16le", "UTF-16be"] as const) {
      using folder = new Folder();
      const image = createDatabaseImage(library, { pageSize, encoding });
      expect(createDatabaseImage(library, { pageSize, encoding })).toEqual(image);
      const db = folder.connect();
      db.exec(`PRAGMA page_size = ${pageSize}; PRAGMA encoding = '${encoding}'`);
      db.exec("CREATE TABLE first (a); DROP TABLE first; VACUUM; PRAGMA journal_mode = WAL");
      db.close();
      const file = new Uint8Array(readFileSync(folder.file()));
      for (const at of VARYING) file[at] = image[at]!;
      expect(file).toEqual(image);
    }
  }
});

test("an image is a sound database in WAL mode", () => {
  using folder = new Folder();
  writeFileSync(folder.file(), createDatabaseImage(library, { encoding: "UTF-16be" }));
  const db = folder.connect();
  const value = (sql: string) => db.prepare(sql).statement!.run().rows.decode()[0]![0];
  expect(value("PRAGMA integrity_check")).toBe("ok");
  expect(value("PRAGMA journal_mode")).toBe("wal");
  expect(value("PRAGMA encoding")).toBe("UTF-16be");
  expect(value("PRAGMA page_count")).toBe(1n);
  expect(value("PRAGMA auto_vacuum")).toBe(0n);
  db.exec("CREATE TABLE t (a); INSERT INTO t VALUES ('é🚀')");
  expect(value("SELECT a FROM t")).toBe("é🚀");
});
