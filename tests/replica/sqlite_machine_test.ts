import { afterEach, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import type { Library } from "../../ffi/library.ts";
import { Connection } from "../../lib/database/connection.ts";
import { createDatabaseImage } from "../../lib/database/create.ts";
import { ReplicaHandle } from "../../lib/database/replica_handle.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { EMPTY_CONFIGURATION } from "../../lib/raft/configuration.ts";
import { databasePath } from "../../lib/replica/database_paths.ts";
import { SqliteMachine } from "../../lib/replica/sqlite_machine.ts";
import { encodeCreate, MAIN_DATABASE_ID } from "../../lib/wire/command.ts";

const cleanups: (() => void)[] = [];
const NO_EARLIER = () => undefined;

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A machine in a folder of its own, and the commands that went through it, from index 1. */
class Replicated {
  readonly folder = mkdtempSync(join(tmpdir(), "dqlite-machine-"));
  readonly log: Uint8Array[] = [];
  readonly #library: Library;
  machine: SqliteMachine;

  constructor(library: Library) {
    this.#library = library;
    this.machine = this.#open();
    cleanups.push(() => {
      this.machine.closeAll();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  #open(): SqliteMachine {
    return new SqliteMachine({
      disk: new NodeDisk(),
      folder: this.folder,
      openHandle: (path) => ReplicaHandle.open(this.#library, path),
    });
  }

  restart(): void {
    this.machine.closeAll();
    this.machine = this.#open();
  }

  earlier = (index: number) => this.log[index - 1];

  /** Applies the next command; returns in how many slices. */
  apply(payload: Uint8Array, earlier = this.earlier): number {
    this.log.push(payload);
    let slices = 1;
    while (!this.machine.apply(this.log.length, payload, earlier)) slices++;
    return slices;
  }

  /** Copies what is committed into the file. */
  checkpoint(): void {
    using connection = Connection.open(this.#library, databasePath(this.folder), {
      role: "session",
    });
    expect(connection.checkpoint().complete).toBe(true);
  }

  query(sql: string): unknown {
    using connection = Connection.open(this.#library, databasePath(this.folder), {
      role: "session",
    });
    return connection.prepare(sql).statement!.run().rows.decode()[0]![0];
  }

  write(sql: string): void {
    using connection = Connection.open(this.#library, databasePath(this.folder), {
      role: "session",
    });
    connection.exec(sql);
  }

  drain(): Uint8Array[] {
    const payloads: Uint8Array[] = [];
    this.machine.captured();
    for (let part = this.machine.drain(); part; part = this.machine.drain()) {
      payloads.push(part.payload);
    }
    return payloads;
  }
}

async function pair(): Promise<[Replicated, Replicated]> {
  const library = await openLibrary();
  const create = encodeCreate(MAIN_DATABASE_ID, "main", createDatabaseImage(library));
  const nodes: [Replicated, Replicated] = [new Replicated(library), new Replicated(library)];
  for (const node of nodes) node.apply(create);
  nodes[0].machine.lead();
  nodes[0].write("CREATE TABLE t (a)");
  for (const payload of nodes[0].drain()) nodes[1].apply(payload);
  return nodes;
}

const LARGE = `INSERT INTO t WITH RECURSIVE n (i) AS
  (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT randomblob(4000) FROM n`;

test("a batch in parts is applied in slices, and seen only as a whole", async () => {
  const [leader, follower] = await pair();
  leader.write(LARGE);
  const parts = leader.drain();
  expect(parts.length).toBeGreaterThan(2);
  for (const part of parts.slice(0, -1)) expect(follower.apply(part)).toBe(1);
  expect(follower.query("SELECT count(*) FROM t")).toBe(0n);
  expect(follower.apply(parts.at(-1)!)).toBe(parts.length);
  expect(follower.query("SELECT count(*) FROM t")).toBe(2500n);
});

test("parts that passed by are read once; after a start they are found again", async () => {
  const [leader, follower] = await pair();
  leader.write(LARGE);
  const parts = leader.drain();
  const reads: number[] = [];
  const earlier = (index: number) => {
    reads.push(index);
    return follower.earlier(index);
  };
  for (const part of parts) follower.apply(part, earlier);
  expect(reads).toHaveLength(parts.length - 1);

  follower.restart();
  const batch = follower.log.length;
  // The restart lost the WAL, as a crash does: everything but the creation is applied again.
  for (let index = 2; index <= batch - parts.length; index++) {
    follower.machine.apply(index, follower.earlier(index)!, NO_EARLIER);
  }
  while (!follower.machine.apply(batch, follower.earlier(batch)!, follower.earlier));
  expect(follower.query("SELECT count(*) FROM t")).toBe(2500n);
});

test("a batch whose leader died in the middle leaves nothing behind", async () => {
  const [leader, follower] = await pair();
  leader.write(LARGE);
  const parts = leader.drain();
  follower.apply(parts[0]!);
  leader.machine.follow();
  expect(leader.machine.rewind(() => leader.machine.lastSeq() - 1)).toBe(true);
  leader.machine.lead();
  leader.write("INSERT INTO t VALUES (1)");
  for (const payload of leader.drain()) follower.apply(payload);
  expect(follower.query("SELECT count(*) FROM t")).toBe(1n);
});

test("a record of a checkpoint says where replay begins", async () => {
  const [, follower] = await pair();
  expect(follower.machine.checkpointIndex).toBe(1);
  follower.machine.beginCheckpoint(2);
  follower.restart();
  expect(follower.machine.checkpointIndex).toBe(1);
  expect(follower.machine.consistentIndex).toBe(2);
  follower.machine.completeCheckpoint(2);
  follower.restart();
  expect(follower.machine.checkpointIndex).toBe(2);
});

test("the file of another node replaces the database, and entries go on from there", async () => {
  const [leader, source] = await pair();
  leader.write("INSERT INTO t VALUES (1), (2)");
  for (const payload of leader.drain()) source.apply(payload);
  source.checkpoint();
  const index = source.log.length;
  leader.write("INSERT INTO t VALUES (3)");
  const [later] = leader.drain();
  const taker = new Replicated(await openLibrary());
  for (const payload of source.log.slice(0, 2)) taker.apply(payload);
  expect(taker.query("SELECT count(*) FROM t")).toBe(0n);
  taker.machine.beginInstall();
  expect([taker.machine.installing, taker.machine.exists]).toEqual([true, false]);
  taker.restart();
  expect([taker.machine.installing, taker.machine.checkpointIndex]).toEqual([true, 0]);
  copyFileSync(databasePath(source.folder), databasePath(taker.folder));
  const base = {
    index,
    term: 1,
    chain: { a: 1, b: 2 },
    configuration: EMPTY_CONFIGURATION,
    knownInTerm: 1,
  };
  taker.machine.completeInstall(base, index + 1);
  expect(taker.machine.apply(index + 1, later!, NO_EARLIER)).toBe(true);
  expect(taker.query("SELECT sum(a) FROM t")).toBe(6n);
  taker.restart();
  const { checkpointIndex, consistentIndex, installed } = taker.machine;
  expect([checkpointIndex, consistentIndex, installed]).toEqual([index, index + 1, base]);
  expect(taker.query("SELECT sum(a) FROM t")).toBe(3n);
});
