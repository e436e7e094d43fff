import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { digestOf } from "../../lib/database/digest.ts";
import { sha256 } from "../../lib/io/hash.ts";
import { Folder } from "./fixture.ts";

const FILL = "WITH s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s LIMIT 800) " +
  "INSERT INTO t SELECT zeroblob(1000) FROM s";

test("the digest is that of the file once the WAL is copied into it", () => {
  using folder = new Folder();
  folder.image();
  const db = folder.connect();
  db.exec(`CREATE TABLE t (a); ${FILL}`);
  const digest = digestOf(db, sha256());
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const file = readFileSync(folder.file());
  const whole = sha256();
  whole.update(file);
  expect(digest).toEqual({ sha256: whole.digestHex(), pages: file.length / 4_096 });
  expect(digestOf(db, sha256())).toEqual(digest);
  db.exec("INSERT INTO t VALUES (1)");
  expect(digestOf(db, sha256()).sha256).not.toBe(digest.sha256);
});

test("what is written meanwhile does not show", () => {
  using folder = new Folder();
  folder.image();
  const writer = folder.connect();
  writer.exec(`CREATE TABLE t (a); ${FILL}`);
  const reader = folder.connect({ role: "readonly" });
  const before = digestOf(reader, sha256());
  let begun = 0;
  const during = digestOf(reader, sha256(), () => {
    begun++;
    writer.exec("DELETE FROM t; VACUUM");
  });
  expect(begun).toBe(1);
  expect(during).toEqual(before);
  expect(digestOf(reader, sha256())).not.toEqual(before);
});
