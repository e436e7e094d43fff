import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PAGE_REQUESTS_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { parseAddress } from "../../lib/io/address.ts";
import { type Clock, systemClock } from "../../lib/io/clock.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import { initialConfiguration } from "../../lib/raft/configuration.ts";
import type { LogIndex, SnapshotBase } from "../../lib/raft/types.ts";
import { databasePath } from "../../lib/replica/database_paths.ts";
import type { SnapshotSource } from "../../lib/replica/snapshot_source.ts";
import { SnapshotGiver } from "../../lib/snapshot/snapshot_giver.ts";
import { SnapshotTaker } from "../../lib/snapshot/snapshot_taker.ts";
import { dial } from "../../lib/transport/dial.ts";
import { helloOf } from "../../lib/transport/handshake.ts";
import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import { type DatabaseList, MAIN_ALONE } from "../../lib/wire/database_list.ts";
import { pageRequestBytes } from "../../lib/wire/pages.ts";
import { Lines } from "../node/lines.ts";
import { CLUSTER, fastClock, startNode, type TestNode, until } from "../transport/harness.ts";

const PAGE_BYTES = 4096;
const TAKER = 1;
const GIVER = 2;
const IDENTITY = { clusterId: () => CLUSTER, nodeId: TAKER, bootId: 7 };
const BASE: SnapshotBase = {
  index: 50,
  term: 2,
  chain: { a: 1, b: 2 },
  configuration: initialConfiguration([{ id: GIVER, address: "h:1", httpUrl: "http://h:1" }]),
  knownInTerm: 2,
};

const DIAL = { network: tcpNetwork, clock: systemClock, bodyBytesMax: 2 ** 20 };

const fixtures: Fixture[] = [];
afterEach(async () => {
  for (const fixture of fixtures.splice(0)) await fixture.close();
});

/** Pages that look like the file of a database. */
function database(pages: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed);
  const bytes = new Uint8Array(pages * PAGE_BYTES).map(() => below(random, 256));
  bytes.set([PAGE_BYTES >> 8, PAGE_BYTES & 255], 16);
  return bytes;
}

/** One node that gives, over TCP, and one that takes. */
class Fixture {
  readonly lines = new Lines();
  readonly folder = mkdtempSync(join(tmpdir(), "dqlite-transfer-"));
  readonly theirs = join(this.folder, "theirs.db");
  /** The folder of the node that takes. */
  readonly taken = join(this.folder, "taken");
  readonly ours = databasePath(this.taken);
  databases: DatabaseList = MAIN_ALONE;
  came: DatabaseList | undefined;
  base: SnapshotBase | undefined = BASE;
  /** Requests after which the source does not vouch any more. */
  vouchesFor = Infinity;
  isMember = true;
  check: (first: number, pages: Uint8Array, damaged: boolean) => number | undefined = () =>
    undefined;
  checkpoints = 0;
  readonly #giver: SnapshotGiver;
  node!: TestNode;

  constructor(clock: Clock) {
    fixtures.push(this);
    mkdirSync(this.taken);
    const source = {
      begin: () => this.base,
      progress: () => this.vouchesFor-- > 0,
      end: () => 70,
    } as unknown as SnapshotSource;
    this.#giver = new SnapshotGiver({
      source,
      disk: new NodeDisk(),
      pathOf: (id) => id === MAIN_DATABASE_ID ? this.theirs : `${this.theirs}-${id}`,
      isOpen: () => false,
      databases: () => this.databases,
      clock,
      log: this.lines,
      isMember: () => this.isMember,
      check: (_id, ...pages) => this.check(...pages),
      checkpoint: () => void this.checkpoints++,
      onFatal: (error) => {
        throw error;
      },
    });
  }

  static async start(pages = 300, clock: Clock = systemClock): Promise<Fixture> {
    const fixture = new Fixture(clock);
    writeFileSync(fixture.theirs, database(pages, 1));
    fixture.node = await startNode(GIVER, {
      options: { servePages: (from, channel) => fixture.#giver.serve(from, channel) },
    });
    return fixture;
  }

  /** What an attempt comes to: the fuzzy index, or that it failed. */
  take(least: LogIndex = 1): Promise<LogIndex | "failed"> {
    const taker = new SnapshotTaker({
      disk: new NodeDisk(),
      folder: this.taken,
      network: tcpNetwork,
      clock: systemClock,
      identity: IDENTITY,
      log: this.lines,
      addressOf: (id) => id === GIVER ? this.node.member.address : undefined,
    });
    return new Promise((resolve) => {
      taker.fetch(GIVER, least, {
        begin: (base, proceed) => {
          expect(base).toEqual(BASE);
          proceed();
        },
        done: (fuzzyIndex, databases) => {
          this.came = databases;
          resolve(fuzzyIndex);
        },
        failed: () => resolve("failed"),
      });
    });
  }

  get isSame(): boolean {
    return Buffer.compare(readFileSync(this.theirs), readFileSync(this.ours)) === 0;
  }

  async close(): Promise<void> {
    await this.node.transport.close();
    this.#giver.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

test("a database comes whole to a node that has none", async () => {
  const fixture = await Fixture.start();
  expect(await fixture.take()).toBe(70);
  expect(fixture.isSame).toBe(true);
  expect(fixture.lines.with("took a snapshot")[0]).toMatchObject({ pages: 300, writtenPages: 300 });
});

test("every database comes, and pages that are the same do not travel", async () => {
  const fixture = await Fixture.start(10);
  const databases = [...MAIN_ALONE.databases];
  for (let id = 2; id <= 40; id++) {
    databases.push({ id, name: `d${id}`, createdIndex: id });
    const bytes = database(1 + id % 7 * 30, id);
    writeFileSync(`${fixture.theirs}-${id}`, bytes);
    const ours = databasePath(fixture.taken, id);
    mkdirSync(join(fixture.taken, "databases"), { recursive: true });
    if (id % 2 === 0) writeFileSync(ours, Buffer.concat([bytes, database(1, 99)]));
  }
  fixture.databases = { lastId: 50, databases };
  expect(await fixture.take()).toBe(70);
  expect(fixture.isSame).toBe(true);
  expect(fixture.came).toEqual(fixture.databases);
  let written = 10;
  for (let id = 2; id <= 40; id++) {
    const ours = readFileSync(databasePath(fixture.taken, id));
    const theirs = readFileSync(`${fixture.theirs}-${id}`);
    expect(Buffer.compare(ours, theirs)).toBe(0);
    if (id % 2 === 1) written += theirs.length / PAGE_BYTES;
  }
  expect(fixture.lines.with("took a snapshot")[0]).toMatchObject({
    databases: 40,
    writtenPages: written,
  });
});

test("a database that is dropped meanwhile ends the copy", async () => {
  const fixture = await Fixture.start(10);
  const entry = { id: 2, name: "gone", createdIndex: 3 };
  fixture.databases = { lastId: 2, databases: [...MAIN_ALONE.databases, entry] };
  expect(await fixture.take()).toBe("failed");
  fixture.databases = { lastId: 2, databases: MAIN_ALONE.databases };
  expect(await fixture.take()).toBe(70);
  expect(fixture.came).toEqual(fixture.databases);
});

test("only pages that differ come to a node that has most, and a longer file is cut", async () => {
  const fixture = await Fixture.start();
  const bytes = Buffer.concat([database(300, 1), database(80, 2)]);
  for (const page of [0, 63, 64, 299]) bytes[page * PAGE_BYTES + 100]! ^= 1;
  writeFileSync(fixture.ours, bytes);
  expect(await fixture.take()).toBe(70);
  expect(fixture.isSame).toBe(true);
  expect(fixture.lines.with("gave a snapshot")[0]).toMatchObject({ pages: 300, sentPages: 4 });
});

test("a source that vouches no more ends the copy, and the next one goes on", async () => {
  const fixture = await Fixture.start(640);
  fixture.vouchesFor = 5;
  expect(await fixture.take()).toBe("failed");
  fixture.vouchesFor = Infinity;
  expect(await fixture.take()).toBe(70);
  expect(fixture.isSame).toBe(true);
  expect(fixture.lines.with("took a snapshot")[0]).toMatchObject({
    pages: 640,
    writtenPages: 640 - 5 * 64,
  });
});

test("a file that grows, or shrinks, while it is copied ends at its last size", async () => {
  for (const pages of [10, 500]) {
    const fixture = await Fixture.start();
    const taken = fixture.take();
    // The offer is made of the file as it is; then it changes.
    await until(() => fixture.lines.with("gives a snapshot").length > 0, "the offer");
    writeFileSync(fixture.theirs, database(pages, 1));
    expect(await taken).toBe(70);
    expect(readFileSync(fixture.ours).length).toBe(pages * PAGE_BYTES);
  }
});

test("whoever has nothing of use says so, and makes a checkpoint", async () => {
  const fixture = await Fixture.start();
  expect(await fixture.take(51)).toBe("failed");
  expect(fixture.checkpoints).toBe(1);
  fixture.base = undefined;
  expect(await fixture.take()).toBe("failed");
  expect(fixture.checkpoints).toBe(2);
  fixture.base = BASE;
  fixture.isMember = false;
  expect(await fixture.take()).toBe("failed");
  expect(fixture.checkpoints).toBe(2);
  const reasons = fixture.lines.with("takes no snapshot").map(({ reason }) => reason);
  expect(reasons[2]).toContain("no member");
});

test("a taker that asks for too much at once breaks the protocol", async () => {
  const fixture = await Fixture.start();
  const address = parseAddress(fixture.node.member.address);
  const hello = helloOf(IDENTITY, "pages", GIVER);
  let isClosed = false;
  const channel = dial({ ...DIAL, address, hello }, {
    onEstablished() {
      for (let i = 0; i < PAGE_REQUESTS_MAX + 2; i++) {
        channel.write(pageRequestBytes({ type: "ask", least: 1 }));
      }
    },
    onFrame: () => {},
    onDrain: () => {},
    onClose: () => isClosed = true,
  });
  await until(() => isClosed, "the end of the connection");
  expect(fixture.node.witness.rejects[0]!.reason.code).toBe("PROTOCOL");
});

test("a taker that stalls is given up", async () => {
  const fixture = await Fixture.start(300, fastClock(200));
  const address = parseAddress(fixture.node.member.address);
  const hello = helloOf(IDENTITY, "pages", GIVER);
  let isClosed = false;
  const channel = dial({ ...DIAL, address, hello }, {
    onEstablished: () => void channel.write(pageRequestBytes({ type: "ask", least: 1 })),
    onFrame: () => {},
    onDrain: () => {},
    onClose: () => isClosed = true,
  });
  await until(() => isClosed, "the end of the connection");
  expect(fixture.lines.with("ends a snapshot that it gives")[0]!["reason"]).toContain("nothing");
});

test("a page that differs is read again, and given once it is repaired", async () => {
  const fixture = await Fixture.start();
  const whole = readFileSync(fixture.theirs);
  const torn = Buffer.from(whole);
  torn[70 * PAGE_BYTES + 5]! ^= 1;
  writeFileSync(fixture.theirs, torn);
  const marked: boolean[] = [];
  fixture.check = (first, pages, damaged) => {
    const expected = whole.subarray((first - 1) * PAGE_BYTES).subarray(0, pages.length);
    if (Buffer.compare(pages, expected) === 0) return undefined;
    marked.push(damaged);
    if (damaged) writeFileSync(fixture.theirs, whole);
    return 71;
  };
  expect(await fixture.take()).toBe(70);
  expect(fixture.isSame).toBe(true);
  // Not at the first look: a checkpoint may have been writing it.
  expect(marked).toEqual([false, true]);
});

test("a damaged page that nobody repairs is not given: the giving ends, and says why", async () => {
  const fixture = await Fixture.start(300, fastClock(10));
  fixture.check = (first, pages) =>
    first <= 71 && 71 < first + pages.length / PAGE_BYTES ? 71 : undefined;
  expect(await fixture.take()).toBe("failed");
  const [ends] = fixture.lines.with("ends a snapshot that it gives");
  expect(ends!["reason"]).toContain("page 71");
  expect(fixture.lines.with("takes no snapshot").at(-1)!["reason"]).toContain("page 71");
  // The range before it came, the one with it did not.
  expect(readFileSync(fixture.ours).length).toBe(64 * PAGE_BYTES);
});
