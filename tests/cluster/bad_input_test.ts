import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "../../lib/base/crc32c.ts";
import { countVoters, type NodeProcess } from "../../lib/demo/nodes.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { freePorts } from "../../lib/io/process.ts";
import { commandOf, DEFAULT_RUNNER, number, onCluster, run, START_TIMEOUT_MS } from "./harness.ts";

const TEST_TIMEOUT_MS = 60_000;
/** Time a node has to notice that it cannot run. */
const REFUSAL_TIMEOUT_MS = 15_000;
const NOBODY = "65534";

/** Starts a node that must refuse to run, and returns what it says. */
async function refusal(node: NodeProcess): Promise<string> {
  await node.start();
  const status = await Promise.race([node.exited, pause(REFUSAL_TIMEOUT_MS)]);
  if (status === undefined) throw new Error(`${node.name} runs, but must not:\n${node.output}`);
  expect(node.output).toMatch(/^Error: /m);
  expect(node.output).not.toMatch(/^\s+at /m);
  expect(status.code).toBe(1);
  return node.output;
}

/** A hash of every file under a folder, to see that nothing was touched but the lock. */
function contents(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || entry.name === "lock") continue;
    found[path] = createHash("sha256").update(readFileSync(path)).digest("hex");
  }
  return found;
}

/** Sends bytes to a cluster port and waits until the node closes the connection. */
async function sendGarbage(node: NodeProcess, bytes: Uint8Array): Promise<void> {
  const [hostname, port] = node.address.split(":");
  let open = true;
  const socket = await Bun.connect({
    hostname: hostname!,
    port: Number(port),
    socket: { data: () => {}, close: () => void (open = false), error: () => void (open = false) },
  });
  socket.write(bytes);
  try {
    await waitUntil("the node closes the connection", REFUSAL_TIMEOUT_MS, () => !open);
  } finally {
    socket.terminate();
  }
}

test("garbage on the cluster port is refused and harms nobody", async () => {
  await onCluster({}, async ({ cluster, nodes }) => {
    await run(nodes[0]!, "CREATE TABLE t(n INTEGER)");
    const before = await nodes[0]!.cluster();
    const encoder = new TextEncoder();
    const word = (value: bigint) => new Uint8Array(new BigUint64Array([value, value]).buffer);
    const garbage = [
      encoder.encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      encoder.encode("hello"),
      crypto.getRandomValues(new Uint8Array(65_536)),
      new Uint8Array(4_096),
      new Uint8Array(4_096).fill(0xff),
      word(7n),
    ];
    await Promise.all(nodes.flatMap((node) => garbage.map((bytes) => sendGarbage(node, bytes))));
    await cluster.waitReady(START_TIMEOUT_MS);
    for (const node of nodes) {
      await run(node, "INSERT INTO t VALUES(1)");
      const view = await node.cluster();
      expect(view.term).toBe(before.term);
      expect(countVoters(view)).toBe(3);
    }
    expect(await number(nodes[0]!, "SELECT count(*) FROM t")).toBe(3);
  });
}, TEST_TIMEOUT_MS);

test("an address that is taken is named", async () => {
  await onCluster({ count: 1 }, async ({ nodes, addNode }) => {
    const [first] = nodes;
    const listenPort = Number(first!.address.split(":")[1]);
    const httpPort = Number(new URL(first!.url).port);
    expect(await refusal(await addNode("same_listen", { listenPort }))).toContain(first!.address);
    const output = await refusal(await addNode("same_http", { httpPort }));
    expect(output).toContain(`127.0.0.1:${httpPort}`);
    await run(first!, "CREATE TABLE t(n INTEGER)");
  });
}, TEST_TIMEOUT_MS);

test("a data folder that is locked by a running node is left alone", async () => {
  await onCluster({ count: 1 }, async ({ nodes, addNode }) => {
    const folder = nodes[0]!.folder;
    expect(await refusal(await addNode("second", { folder }))).toContain(folder);
    await run(nodes[0]!, "CREATE TABLE t(n INTEGER)");
    await nodes[0]!.kill();
    await nodes[0]!.start();
    await nodes[0]!.waitReady(START_TIMEOUT_MS);
    expect(await number(nodes[0]!, "SELECT count(*) FROM t")).toBe(0);
  });
}, TEST_TIMEOUT_MS);

test("a folder that holds something else is left alone", async () => {
  await onCluster({ count: 1 }, async ({ folder, addNode }) => {
    const foreign = join(folder, "foreign");
    mkdirSync(foreign);
    writeFileSync(join(foreign, "thesis.txt"), "two years of work");
    const before = contents(foreign);
    expect(await refusal(await addNode("in_foreign", { folder: foreign }))).toContain(foreign);
    expect(contents(foreign)).toEqual(before);
    const file = join(foreign, "thesis.txt");
    expect(await refusal(await addNode("in_file", { folder: file }))).toContain(file);
    expect(contents(foreign)).toEqual(before);
  });
}, TEST_TIMEOUT_MS);

test("a folder of a newer format is left alone", async () => {
  await onCluster({ count: 1 }, async ({ nodes, addNode }) => {
    const { folder } = nodes[0]!;
    await nodes[0]!.stop();
    const identity = `${folder}/identity.json`;
    const newer = readFileSync(identity, "utf8").replace(/"format": *1\b/, '"format": 99');
    // Only with a checksum that fits it is newer; else it would be damaged, and mended.
    const covered = newer.slice(0, newer.lastIndexOf('"checksum"'));
    const checksum = crc32c(new TextEncoder().encode(covered)).toString(16).padStart(8, "0");
    writeFileSync(identity, `${covered}"checksum": "${checksum}"\n}\n`);
    const before = contents(folder);
    const output = await refusal(await addNode("older", { folder }));
    expect(output).toContain("99");
    expect(output).toContain(folder);
    expect(contents(folder)).toEqual(before);
  });
}, TEST_TIMEOUT_MS);

test("a folder that cannot be written is named", async () => {
  await onCluster({ count: 1 }, async ({ folder, nodes, addNode }) => {
    await nodes[0]!.stop();
    // Permissions do not hold for root: then the node runs as nobody.
    const isRoot = process.getuid!() === 0;
    const asNobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    const command = [...(isRoot ? asNobody : []), ...commandOf(DEFAULT_RUNNER)];
    for (const path of [folder, nodes[0]!.folder]) chmodSync(path, 0o555);
    const before = contents(nodes[0]!.folder);
    const output = await refusal(
      await addNode("read_only", { folder: nodes[0]!.folder, command }),
    );
    expect(output).toContain(nodes[0]!.folder);
    expect(await refusal(await addNode("no_parent", { command }))).toContain("no_parent");
    expect(contents(nodes[0]!.folder)).toEqual(before);
    for (const path of [folder, nodes[0]!.folder]) chmodSync(path, 0o755);
  });
}, TEST_TIMEOUT_MS);

test("a node of another cluster is not taken in", async () => {
  await onCluster({ count: 1 }, async ({ folder, nodes, addNode }) => {
    const stranger = await addNode("stranger");
    await stranger.start();
    await stranger.waitReady(START_TIMEOUT_MS);
    await run(stranger, "CREATE TABLE mine(n INTEGER)");
    const { clusterId } = await stranger.cluster();
    await stranger.stop();

    const data = join(folder, "stranger");
    const joining = await addNode("joining", { folder: data, join: [nodes[0]!.address] });
    expect(await refusal(joining)).toContain(clusterId);
    const view = await nodes[0]!.cluster();
    expect(view.members).toHaveLength(1);

    await stranger.start();
    await stranger.waitReady(START_TIMEOUT_MS);
    expect(await number(stranger, "SELECT count(*) FROM mine")).toBe(0);
  });
}, TEST_TIMEOUT_MS);

test("a join address that does not answer is tried until it does, and that is said", async () => {
  await onCluster({ count: 1 }, async ({ nodes, addNode }) => {
    const [listenPort] = await freePorts(1);
    const address = `127.0.0.1:${listenPort}`;
    const late = await addNode("late", { join: [address] });
    await late.start();
    await waitUntil("the node says whom it cannot reach", START_TIMEOUT_MS, () => {
      return late.output.includes(address);
    });
    expect(late.running).toBe(true);
    expect(await late.ready()).toBe(false);

    const seed = await addNode("seed", { listenPort: listenPort!, join: [nodes[0]!.address] });
    await seed.start();
    await late.waitReady(START_TIMEOUT_MS);
    await waitUntil("all three vote", START_TIMEOUT_MS, async () => {
      return countVoters(await late.cluster()) === 3;
    });
    expect((await late.cluster()).clusterId).toBe((await nodes[0]!.cluster()).clusterId);
  });
}, TEST_TIMEOUT_MS);
