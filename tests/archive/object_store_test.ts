import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openObjectStore } from "../../lib/io/object_store_open.ts";
import { commandOf, type Runtime } from "../io/runtimes.ts";
import { S3Server } from "./s3_server.ts";

const TIMEOUT_MS = 60_000;
const OK = { output: "ok\n", errors: "", status: 0 };
const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function newServer(): Promise<S3Server> {
  const server = await S3Server.start();
  cleanups.push(() => server.stop());
  return server;
}

async function checked(runtime: Runtime, where: string, env: Record<string, string>) {
  const command = [...commandOf(runtime, "tests/archive/store_checks_main.ts"), where];
  const child = Bun.spawn(command, {
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { output, errors, status: await child.exited };
}

for (const runtime of ["bun", "deno"] as const) {
  test(`a folder keeps objects under ${runtime}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "dqlite-store-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const result = await checked(runtime, join(folder, "made", "when needed"), {});
    expect(result).toEqual(OK);
  }, TIMEOUT_MS);

  test(`a bucket keeps objects under ${runtime}`, async () => {
    const server = await newServer();
    expect(await checked(runtime, "s3://archive", server.env)).toEqual(OK);
    expect(await checked(runtime, "s3://other/a & b/ü/", server.env)).toEqual(OK);
  }, TIMEOUT_MS);
}

test("a bucket that is not there, or cannot be reached, is told by name", async () => {
  const server = await newServer();
  await expect(openObjectStore("s3://none/x", server.env).get("a", 1)).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("s3://none/x answers with status 404: NoSuchBucket"),
  });
  const store = openObjectStore("s3://archive", server.env);
  await server.stop();
  await expect(store.put("a", new Uint8Array(1))).rejects.toMatchObject({
    code: "CONNECTION_LOST",
    outcome: "rejected",
    message: expect.stringContaining("s3://archive: "),
  });
}, TIMEOUT_MS);

test("a place that is none, and missing credentials, are refused before anything is done", () => {
  expect(() => openObjectStore("s3://archive", {})).toThrow("no credentials for s3://archive");
  expect(() => openObjectStore("ftp://archive", {})).toThrow("ftp://archive is no archive");
  const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_ENDPOINT_URL: "nowhere" };
  expect(() => openObjectStore("s3://archive", env)).toThrow("nowhere is no http://");
});
