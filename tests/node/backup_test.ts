import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { writeBackup } from "../../lib/backup_file.ts";
import { BACKUPS_MAX } from "../../lib/base/limits.ts";
import { NodeCalls } from "../../lib/client/node_calls.ts";
import { systemClock } from "../../lib/io/clock.ts";
import type { Disk, DiskFile } from "../../lib/io/disk.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import type { Node } from "../../lib/node.ts";
import { cleanUp, newFolder, start, TIMEOUT_MS, waitFor } from "./harness.ts";
import { command } from "./program.ts";

const ROWS = 2_000;
const FILL = `WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
  INSERT INTO t SELECT i, randomblob(1000) FROM n`;

const servers: { stop(): void }[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) server.stop();
  await cleanUp();
});

async function filledNode(): Promise<Node> {
  const node = await start({ dir: newFolder() });
  await node.client().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  await node.client().execute(FILL);
  return node;
}

function rowsOf(path: string): number {
  const database = new Database(path, { readonly: true });
  try {
    expect(database.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    return Number(database.query("SELECT count(*) FROM t").values()[0]![0]);
  } finally {
    database.close();
  }
}

function calls(url: string): NodeCalls {
  return new NodeCalls({
    urls: [url],
    fetch: (url, init) => globalThis.fetch(url, init),
    clock: systemClock,
    signal: new AbortController().signal,
  });
}

function backupTo(path: string, url: string, disk: Disk = new NodeDisk()) {
  return writeBackup({
    disk,
    calls: calls(url),
    path,
    replace: false,
    verify: true,
    stale: false,
    onProgress: () => {},
  });
}

/** Answers as the node did, with the bytes that `change` makes of its answer, then cuts. */
async function impostor(
  url: string,
  change: (answer: Buffer) => Uint8Array,
): Promise<{ url: string; requests: () => number }> {
  const response = await fetch(`${url}/cluster/backup?sha256`);
  const body = Buffer.from(await response.arrayBuffer());
  let head = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n`;
  for (const [name, value] of response.headers) {
    if (name.startsWith("x-dqlite-")) head += `${name}: ${value}\r\n`;
  }
  const sent = change(body);
  let requests = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      requests++;
      socket.write(`${head}\r\n`);
      socket.end(sent);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push({ stop: () => server.close() });
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}`, requests: () => requests };
}

/** A disk on which files cannot grow beyond a size. */
function smallDisk(bytesMax: number): Disk {
  const full = () => Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  const limit = (file: DiskFile): DiskFile =>
    new Proxy(file, {
      get(target, name: keyof DiskFile) {
        if (name !== "write") {
          const value = target[name];
          return typeof value === "function" ? value.bind(target) : value;
        }
        return (offset: number, bytes: Uint8Array) => {
          if (offset + bytes.length > bytesMax) throw full();
          target.write(offset, bytes);
        };
      },
    });
  return new (class extends NodeDisk {
    override open(...args: Parameters<NodeDisk["open"]>): DiskFile {
      return limit(super.open(...args));
    }
  })();
}

test("a backup is a plain file, and replaces another one only with --force", async () => {
  const node = await filledNode();
  const folder = newFolder();
  const path = `${folder}/out.db`;
  expect(await command("backup", "--url", node.httpUrl, path)).toMatchObject({ status: 0 });
  expect(rowsOf(path)).toBe(ROWS);
  await node.client().execute("INSERT INTO t VALUES (0, NULL)");
  const refused = await command("backup", "--url", node.httpUrl, path);
  expect(refused).toMatchObject({ status: 2, out: "" });
  expect(refused.errors).toContain("exists already");
  expect(refused.errors).toContain("--force");
  expect(rowsOf(path)).toBe(ROWS);
  expect(await command("backup", "--url", node.httpUrl, "--force", path))
    .toMatchObject({ status: 0 });
  expect(rowsOf(path)).toBe(ROWS + 1);
  expect(readdirSync(folder)).toEqual(["out.db"]);
}, TIMEOUT_MS);

test("a backup is not put beside a journal that SQLite would take for its own", async () => {
  const node = await filledNode();
  const path = `${newFolder()}/out.db`;
  writeFileSync(`${path}-wal`, "of another database");
  const { status, errors } = await command("backup", "--url", node.httpUrl, "--force", path);
  expect(status).toBe(2);
  expect(errors).toContain(`${path}-wal would be taken for a part of the backup`);
}, TIMEOUT_MS);

test("a backup that is cut off or changed on its way never becomes a file", async () => {
  const node = await filledNode();
  const folder = newFolder();
  const cut = await impostor(node.httpUrl, (answer) => answer.subarray(0, answer.length / 2));
  await expect(backupTo(`${folder}/cut.db`, cut.url)).rejects.toMatchObject({
    code: "CONNECTION_LOST",
  });
  expect(cut.requests()).toBe(3);
  const lastByte = await impostor(node.httpUrl, (answer) => answer.subarray(0, -1));
  await expect(backupTo(`${folder}/almost.db`, lastByte.url)).rejects.toMatchObject({
    code: "CONNECTION_LOST",
  });
  const changed = await impostor(node.httpUrl, (answer) => {
    answer[answer.length - 5_000]! ^= 1;
    return answer;
  });
  await expect(backupTo(`${folder}/changed.db`, changed.url)).rejects.toMatchObject({
    code: "CORRUPT",
    message: expect.stringContaining("checksum"),
  });
  expect(readdirSync(folder)).toEqual([]);
}, TIMEOUT_MS);

test("a full disk ends a backup with a clear error and leaves nothing", async () => {
  const node = await filledNode();
  const folder = newFolder();
  await expect(backupTo(`${folder}/out.db`, node.httpUrl, smallDisk(1_000_000))).rejects
    .toMatchObject({ code: "DISK_FULL", message: expect.stringContaining("The disk is full") });
  expect(readdirSync(folder)).toEqual([]);
  const nowhere = await command("backup", "--url", node.httpUrl, `${folder}/none/out.db`);
  expect(nowhere.status).toBe(1);
  expect(nowhere.errors).toContain("Cannot write");
}, TIMEOUT_MS);

test("nobody to take a backup from is told by address", async () => {
  const { status, errors } = await command(
    "backup",
    "--url",
    "http://127.0.0.1:1,http://127.0.0.1:2",
    `${newFolder()}/out.db`,
  );
  expect(status).toBe(1);
  expect(errors).toContain("http://127.0.0.1:1: ");
  expect(errors).toContain("http://127.0.0.1:2: ");
}, TIMEOUT_MS);

test("backups at once are bounded, and one whose client went away is let go of", async () => {
  const node = await filledNode();
  // More than sockets and servers keep for a client that reads nothing.
  await node.client().execute("CREATE TABLE large AS SELECT zeroblob(20000) FROM t");
  const url = `${node.httpUrl}/cluster/backup`;
  const readers = await Promise.all(
    Array.from({ length: BACKUPS_MAX }, async () => (await fetch(url)).body!.getReader()),
  );
  for (const reader of readers) await reader.read();
  const refused = await fetch(url);
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ code: "BUSY" });

  for (const reader of readers) await reader.cancel();
  await waitFor("there is room for a backup", async () => {
    const response = await fetch(url);
    if (response.status === 429) return false;
    expect((await response.bytes()).length).toBe(
      Number(response.headers.get("x-dqlite-pages")) *
        Number(response.headers.get("x-dqlite-page-size")),
    );
    return true;
  });
  // No snapshot is left that would hold a checkpoint up.
  await node.client().execute("DELETE FROM large");
  const checkpoint = await fetch(`${node.httpUrl}/cluster/checkpoint`, { method: "POST" });
  expect(await checkpoint.json()).toMatchObject({ index: expect.any(Number) });
}, TIMEOUT_MS);

test("a backup is not begun by a question for its head", async () => {
  const node = await filledNode();
  const response = await fetch(`${node.httpUrl}/cluster/backup`, { method: "HEAD" });
  expect(response.status).toBe(400);
}, TIMEOUT_MS);
