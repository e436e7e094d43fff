import { expect, test } from "bun:test";
import { HTTP_IDLE_MS } from "../../lib/base/limits.ts";
import type { HttpReply } from "../../lib/io/http.ts";
import { serve } from "./wire.ts";

const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: h\r\n${more}\r\n`;
const reply = (body: string): HttpReply => ({ status: 200, contentType: "text/plain", body });

test("replies that come at once leave in one write, in their order", async () => {
  const { wire } = serve(({ path }) => reply(path));
  await wire.arrive(get("/a") + get("/b") + get("/c"));
  const [write, ...others] = wire.take();
  expect(others).toEqual([]);
  expect(write!.split("\r\n\r\n").slice(1).map((part) => part.slice(0, 2))).toEqual([
    "/a",
    "/b",
    "/c",
  ]);
});

test("requests are answered one at a time, and who sends ahead is held back", async () => {
  const releases: (() => void)[] = [];
  const { wire, host } = serve(({ path }) =>
    new Promise((resolve) => releases.push(() => resolve(reply(path))))
  );
  const count = 3_000;
  await wire.arrive(Array.from({ length: count }, (_, i) => get(`/${i}`)).join(""));
  expect([releases.length, host.requests, wire.isPaused]).toEqual([1, 1, true]);
  for (let i = 0; i < count; i++) {
    releases[i]!();
    await new Promise((resolve) => setImmediate(resolve));
    expect(host.requests).toBeLessThanOrEqual(1);
  }
  expect(wire.isPaused).toBe(false);
  const bodies = wire.take().map((write) => write.split("\r\n\r\n")[1]);
  expect(bodies).toEqual(Array.from({ length: count }, (_, i) => `/${i}`));
});

test("a connection is kept for all that come, and closed when one asks for it", async () => {
  const { wire } = serve(() => reply("x"));
  for (let i = 0; i < 1_000; i++) await wire.arrive(get("/"));
  expect([wire.take().length, wire.isEnded]).toEqual([1_000, false]);
  await wire.arrive(get("/", "Connection: close\r\n") + get("/"));
  const [last, ...others] = wire.take();
  expect([last!.includes("connection: close"), others, wire.isEnded]).toEqual([true, [], true]);
});

test("an older client keeps its connection when it says so", async () => {
  const { wire } = serve(() => reply("x"));
  const old = (more: string) => `GET / HTTP/1.0\r\n${more}\r\n`;
  await wire.arrive(old("Connection: keep-alive\r\n"));
  expect([wire.take().length, wire.isEnded]).toEqual([1, false]);
  await wire.arrive(old(""));
  expect([wire.take().length, wire.isEnded]).toEqual([1, true]);
});

test("an idle connection is closed, but not while its request is answered", async () => {
  let release = () => {};
  const { wire, host } = serve(() => new Promise((resolve) => release = () => resolve(reply("x"))));
  const served = host.served!;
  await wire.arrive(get("/"));
  served.period(HTTP_IDLE_MS + 1);
  expect(wire.isDestroyed).toBe(false);
  release();
  await wire.arrive("\r\n");
  served.period(HTTP_IDLE_MS);
  expect(wire.isDestroyed).toBe(false);
  served.period(1);
  expect(wire.isDestroyed).toBe(true);
});
