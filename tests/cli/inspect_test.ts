import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { SeededRandom } from "../../lib/base/random.ts";
import { inspect } from "../../lib/cli/inspect.ts";
import { runCli } from "../../lib/cli/run.ts";
import { MemoryDisk } from "../../lib/io/disk_memory.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { openFolder } from "../../lib/io/folder.ts";
import type { Program } from "../../lib/io/program.ts";
import { SegmentLog } from "../../lib/log/segment_log.ts";
import { writeCheckpoint } from "../../lib/replica/checkpoint_record.ts";
import { CLUSTER, command, CONFIGURATION, fullBatch, Loop } from "../log/harness.ts";

const DIR = "/data";
const LOG = `${DIR}/log`;

interface Sample {
  readonly disk: MemoryDisk;
  readonly nodeId: number;
}

/** A folder of a node that was stopped in order, unless `use` keeps it. */
function sample(use: (log: SegmentLog, loop: Loop) => void = () => {}): Sample {
  const loop = new Loop();
  const disk = new MemoryDisk(loop.schedule);
  const folder = openFolder(disk, DIR, loop.clock);
  folder.setClusterId(CLUSTER);
  const { nodeId } = folder.identity;
  const log = SegmentLog.open({
    disk,
    folder: LOG,
    clusterId: CLUSTER,
    nodeId,
    random: new SeededRandom(99),
    onFatal: (error) => {
      throw error;
    },
    clock: loop.clock,
    segmentBytes: 64 * 1024,
  });
  log.append(
    fullBatch({
      hardState: { term: 1, votedFor: 9 },
      entries: [{ type: "configuration", index: 1, term: 1, configuration: CONFIGURATION }],
    }),
    () => {},
  );
  loop.settle();
  log.append(
    fullBatch({
      hardState: { term: 2, votedFor: undefined },
      entries: [command(2, 1, 50), { type: "noop", index: 3, term: 2 }, command(4, 2, 70)],
    }),
    () => {},
  );
  loop.settle();
  use(log, loop);
  log.close(() => {});
  loop.settle();
  folder.close();
  writeCheckpoint(disk, DIR, { completeIndex: 2, fuzzyIndex: 3 });
  return { disk, nodeId };
}

function fakeProgram(args: string[] = []) {
  const written = { out: "", errors: "" };
  const program: Program = {
    args,
    env: {},
    platform: "test",
    stdout: (text) => written.out += text,
    stderr: (text) => written.errors += text,
    readTextFile: () => "",
    wallMs: () => 0,
    onStopRequest: () => {},
    exit: () => {
      throw new Error("exit");
    },
  };
  return { program, written };
}

async function run({ disk, nodeId }: Sample, settings = { entries: false, json: false }) {
  const { program, written } = fakeProgram();
  const status = await inspect({ settings, rest: [DIR], program }, disk);
  const node = settings.json ? `"NODE"` : "NODE";
  return { status, out: written.out.replaceAll(String(nodeId), node) };
}

/** Every file of the disk, with its bytes. */
function snapshot(disk: MemoryDisk): string {
  return [DIR, LOG].flatMap((folder) => disk.list(folder).map((name) => `${folder}/${name}`))
    .filter((path) => path !== LOG)
    .map((path) => {
      const file = disk.open(path, { create: false });
      const bytes = file.read(0, file.size());
      file.close();
      return `${path} ${bytes.length} ${Bun.hash(bytes)}`;
    }).join("\n");
}

const HEAD = `/data
  node NODE of cluster 0123456789abcdef0123456789abcdef, made 1970-01-01T00:00:00.000Z
  not in use
  checkpoint: complete up to 2, begun up to 3

hard state
  records: term 2, no vote
`;

test("a sound folder is shown in full, and left as it is", async () => {
  const folder = sample();
  const before = snapshot(folder.disk);
  expect(await run(folder)).toEqual({
    status: 0,
    out: `${HEAD}  state.a: term 2, no vote, write 6, segments 1 to 1
  state.b: term 1, vote for 9, write 5, segments 1 to 1

segments
  sequence  first index  salt      records  size   state
  1         1            91db5dfb  696      65536  closed
  2         -            -         -        -      unused

entries
  1 to 2  term 1  121 bytes
  3 to 4  term 2  70 bytes

configurations
  1  term 1  voters 7
    7  127.0.0.1:9001  http://127.0.0.1:8080

a start goes on as it is
nothing is wrong
`,
  });
  expect(snapshot(folder.disk)).toBe(before);
});

test("--entries gives every entry its line, --json gives everything as data", async () => {
  const folder = sample();
  const { out } = await run(folder, { entries: true, json: false });
  expect(out.slice(out.indexOf("entries\n"), out.indexOf("\nconfigurations"))).toBe(`entries
  1  term 1  configuration  71 bytes
  2  term 1  command  50 bytes
  3  term 2  noop  0 bytes
  4  term 2  command  70 bytes
`);
  const json = JSON.parse((await run(folder, { entries: true, json: true })).out);
  expect(json.identity.clusterId).toBe(CLUSTER);
  expect(json.ranges).toEqual([
    { term: 1, first: 1, last: 2, bodyBytes: 121 },
    { term: 2, first: 3, last: 4, bodyBytes: 70 },
  ]);
  expect(json.entries[2]).toEqual({ index: 3, term: 2, type: "noop", bodyBytes: 0 });
  expect(json.configurations[0].configuration).toEqual(CONFIGURATION);
  expect([json.problems, json.start.possible]).toEqual([[], true]);
});

test("damage is named with file, offset and what was expected, and the status is 1", async () => {
  const folder = sample();
  const segment = `${LOG}/0000000000000001.segment`;
  const batch = "the body of the record of batch 1";
  folder.disk.damage(segment, 8192 + 60, (byte) => byte ^ 1);
  folder.disk.damage(`${LOG}/state.a`, 60, (byte) => byte ^ 1);
  folder.disk.damage(`${DIR}/checkpoint`, 12, (byte) => byte ^ 1);
  const before = snapshot(folder.disk);
  const { status, out } = await run(folder);
  expect(status).toBe(1);
  expect(out).toContain("  state.a: damaged\n");
  expect(out.slice(out.indexOf("a start is refused"))).toBe(`a start is refused:
  ${segment} is damaged at offset 8192: expected ${batch} (damaged closed batch, one slot damaged)
wrong: 3
  /data/checkpoint at offset 0: expected the checksum ec86836e
  ${LOG}/state.a at offset 0: expected a valid hard state, but it is damaged
  ${segment} at offset 8192: expected ${batch}
`);
  expect(snapshot(folder.disk)).toBe(before);
});

test("a damaged identity is told, and known from its copy", async () => {
  const folder = sample();
  folder.disk.damage(`${DIR}/identity.json`, 40, (byte) => byte ^ 1);
  const { status, out } = await run(folder);
  expect(status).toBe(1);
  expect(out).toContain("a start goes on as it is\nwrong: 1\n  /data/identity.json at offset 14");
});

test("an identity damaged in both files hides nothing else", async () => {
  const folder = sample();
  for (const name of ["identity.json", "identity.json.copy"]) {
    folder.disk.damage(`${DIR}/${name}`, 40, (byte) => byte ^ 1);
  }
  const { status, out } = await run(folder);
  expect(status).toBe(1);
  expect(out).toContain(
    "/data/identity.json at offset 0: expected the identity of a node with its checksum\n",
  );
  expect(out).toContain("  3 to 4  term 2  70 bytes\n");
  expect(out).toContain("a start is refused:\n  /data/identity.json is damaged\n");
});

test("a torn tail is no damage: the start cuts it", async () => {
  const { disk, nodeId } = sample();
  const loop = new Loop();
  disk.schedule = loop.schedule;
  const log = SegmentLog.open({
    disk,
    folder: LOG,
    clusterId: CLUSTER,
    nodeId,
    random: new SeededRandom(1),
    onFatal: () => {},
    clock: loop.clock,
  });
  log.append(fullBatch({ entries: [command(5, 2, 3000)] }), () => {});
  loop.turn();
  const crashed = disk.crash((path, sector) => path.endsWith("1.segment") && sector % 2 === 0);
  const { status, out } = await run({ disk: crashed, nodeId });
  expect(status).toBe(0);
  expect(out).toContain("torn\n");
  expect(out).toContain("a start cuts the torn batch at offset 8888\nnothing is wrong\n");
});

test("a folder in use is read, not locked, and said to be in use", async () => {
  const path = mkdtempSync(join(tmpdir(), "dqlite-inspect-"));
  try {
    const disk = new NodeDisk();
    const folder = openFolder(disk, `${path}/node`);
    const { program, written } = fakeProgram(["inspect", `${path}/node`]);
    expect(await runCli(program)).toBe(0);
    expect(written.out).toContain(`in use by process ${process.pid}`);
    folder.close();
    expect(await runCli(program)).toBe(0);
    expect(written.out).toContain("  not in use\n");
    expect(written.out).toContain("a start founds a cluster or joins one\n");
  } finally {
    rmSync(path, { recursive: true });
  }
});

test("a folder that is none is an error, and so is a call without one", async () => {
  for (
    const [args, status, message] of [
      [["inspect", "/no/such/folder"], 1, "There is no data folder at /no/such/folder"],
      [["inspect"], 2, "inspect takes one data folder, not 0"],
      [["inspect", "a", "b"], 2, "inspect takes one data folder, not 2"],
    ] as const
  ) {
    const { program, written } = fakeProgram([...args]);
    expect([args, await runCli(program)]).toEqual([args, status]);
    expect(written.errors).toContain(message);
    expect(written.out).toBe("");
  }
});
