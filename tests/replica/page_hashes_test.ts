import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../ffi/open.ts";
import { Connection } from "../../lib/database/connection.ts";
import { createDatabaseImage } from "../../lib/database/create.ts";
import { scrubPages } from "../../lib/database/page_integrity.ts";
import { ReplicaHandle } from "../../lib/database/replica_handle.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { ClaimPace } from "../../lib/replica/claim_pace.ts";
import { databasePath } from "../../lib/replica/database_paths.ts";
import { SqliteMachine } from "../../lib/replica/sqlite_machine.ts";
import { decodeCommand, encodeCreate, MAIN_DATABASE_ID } from "../../lib/wire/command.ts";

const library = await openLibrary();
const PAGE_BYTES = 4_096;
const cleanups: (() => void)[] = [];
const NO_EARLIER = () => undefined;

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A machine that tells a digest with every batch, and what it found to differ. */
class Machine {
  readonly folder = mkdtempSync(join(tmpdir(), "dqlite-hashes-"));
  readonly diverged: number[] = [];
  index = 0;
  machine: SqliteMachine;

  constructor() {
    this.machine = this.#open();
    cleanups.push(() => {
      this.machine.closeAll();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  get path(): string {
    return databasePath(this.folder);
  }

  get hashFile(): string {
    return join(this.folder, "page_hashes");
  }

  get unknownPages(): number {
    return this.machine.hashes()!.unknownPages;
  }

  restart(): void {
    this.machine.closeAll();
    this.machine = this.#open();
  }

  apply(payload: Uint8Array): void {
    while (!this.machine.apply(this.index + 1, payload, NO_EARLIER));
    this.index++;
  }

  /** As the leader: commits a transaction and returns its entry. */
  write(sql: string): Uint8Array {
    using connection = this.connect();
    connection.exec(sql);
    this.machine.captured();
    const part = this.machine.drain()!;
    expect(part.complete).toBe(true);
    this.machine.release(MAIN_DATABASE_ID, part.seq, ++this.index);
    return part.payload;
  }

  checkpoint(): void {
    using connection = this.connect();
    this.machine.beginCheckpoint(this.index);
    expect(connection.checkpoint().complete).toBe(true);
    this.machine.completeCheckpoint(this.index);
  }

  scrub() {
    using connection = this.connect();
    return scrubPages(connection, 1, 1_000_000);
  }

  /** Changes a byte of a page behind everybody's back. */
  damage(page: number): void {
    const bytes = readFileSync(this.path);
    bytes[(page - 1) * PAGE_BYTES + 3_000]! ^= 0x20;
    writeFileSync(this.path, bytes);
  }

  connect(): Connection {
    return Connection.open(library, this.path, { role: "session" });
  }

  #open(): SqliteMachine {
    return new SqliteMachine({
      disk: new NodeDisk(),
      folder: this.folder,
      openHandle: (path) => ReplicaHandle.open(library, path),
      newClaimPace: () => new ClaimPace(undefined, 1),
      onDiverged: (_id, { index }) => void this.diverged.push(index),
    });
  }
}

/** A leader and a follower over the same history: some hundred pages, in the files. */
function pair(): [Machine, Machine] {
  const leader = new Machine();
  const follower = new Machine();
  const create = encodeCreate(MAIN_DATABASE_ID, "main", createDatabaseImage(library));
  for (const one of [leader, follower]) one.apply(create);
  leader.machine.lead();
  follower.apply(leader.write("CREATE TABLE t (a, b)"));
  follower.apply(leader.write(
    `INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
      SELECT i, randomblob(3000) FROM n`,
  ));
  follower.checkpoint();
  return [leader, follower];
}

const ADD = "INSERT INTO t VALUES (1, randomblob(50))";

test("a follower finds that it holds what the leader holds", () => {
  const [leader, follower] = pair();
  for (let i = 0; i < 5; i++) follower.apply(leader.write(ADD));
  expect(follower.machine.verifiedIndex).toBe(follower.index - 1);
  expect(follower.diverged).toEqual([]);
  expect(follower.machine.digestAt(follower.index - 1))
    .toEqual(leader.machine.digestAt(leader.index - 1)!);
});

test("only some entries carry a digest", () => {
  const leader = new Machine();
  leader.apply(encodeCreate(MAIN_DATABASE_ID, "main", createDatabaseImage(library)));
  const pace = new ClaimPace(() => 0, 4);
  expect(Array.from({ length: 9 }, () => pace.isDue())).toEqual(
    [true, false, false, false, true, false, false, false, true],
  );
  leader.machine.lead();
  const payloads = [leader.write("CREATE TABLE t (a, b)"), leader.write(ADD)];
  expect(payloads.map((payload) => {
    const command = decodeCommand(payload);
    return command.type === "frames" && command.claim?.index;
  })).toEqual([undefined, 2]);
});

test("what a page should hold is known again after a restart", () => {
  const [leader, follower] = pair();
  const missed = leader.write(ADD);
  follower.apply(missed);
  follower.restart();
  follower.index = follower.machine.checkpointIndex;
  expect(follower.unknownPages).toBe(0);
  follower.apply(missed);
  follower.apply(leader.write(ADD));
  follower.apply(leader.write(ADD));
  expect(follower.machine.verifiedIndex).toBe(follower.index - 1);
  follower.damage(60);
  expect(follower.scrub()).toMatchObject({ damagedPages: 1, learntPages: 0 });
});

test("without its file the hashes are learnt, and then hold", () => {
  const [leader, follower] = pair();
  follower.machine.closeAll();
  rmSync(follower.hashFile);
  follower.restart();
  follower.index = follower.machine.checkpointIndex;
  expect(follower.unknownPages).toBeGreaterThan(90);
  follower.apply(leader.write(ADD));
  expect(follower.machine.digestAt(follower.index)).toBeUndefined();
  expect(follower.scrub().learntPages).toBeGreaterThan(80);
  expect(follower.unknownPages).toBe(0);
  for (let i = 0; i < 3; i++) follower.apply(leader.write(ADD));
  expect(follower.diverged).toEqual([]);
  expect(follower.machine.verifiedIndex).toBe(follower.index - 1);
  follower.checkpoint();
  follower.restart();
  expect(follower.unknownPages).toBe(0);
});

test("hashes of another checkpoint are not taken for those of this one", () => {
  const [leader, follower] = pair();
  const stale = readFileSync(follower.hashFile);
  follower.apply(leader.write(ADD));
  follower.checkpoint();
  follower.machine.closeAll();
  writeFileSync(follower.hashFile, stale);
  follower.restart();
  expect(follower.unknownPages).toBeGreaterThan(90);
});

test("a replica that learnt a damaged page differs, and says so", () => {
  const [leader, follower] = pair();
  follower.machine.closeAll();
  rmSync(follower.hashFile);
  follower.damage(50);
  follower.restart();
  follower.index = follower.machine.checkpointIndex;
  expect(follower.scrub().damagedPages).toBe(0);
  for (let i = 0; i < 3; i++) follower.apply(leader.write(ADD));
  expect(follower.diverged.length).toBeGreaterThan(0);
  expect(follower.machine.verifiedIndex).toBe(0);
});

test("after an office that ended, what it noted is not held against the next leader", () => {
  const [leader, follower] = pair();
  follower.apply(leader.write(ADD));
  leader.machine.follow();
  expect(leader.machine.rewind(() => leader.machine.lastSeq())).toBe(true);
  follower.machine.lead();
  for (let i = 0; i < 4; i++) leader.apply(follower.write(ADD));
  expect(leader.diverged).toEqual([]);
  expect(leader.machine.verifiedIndex).toBe(leader.index - 1);
});
