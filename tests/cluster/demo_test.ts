import { expect, test } from "bun:test";
import { waitUntil } from "../../lib/demo/wait.ts";
import { startProcess } from "../../lib/io/process.ts";
import { commandOf, DEFAULT_RUNNER, START_TIMEOUT_MS } from "./harness.ts";

const TEST_TIMEOUT_MS = 90_000;

test("the demo kills nodes under load and finds every row", async () => {
  const command = [...commandOf(DEFAULT_RUNNER), "demo", "--seconds", "6", "--seed", "7"];
  const demo = await startProcess(command);
  const { code } = await demo.exited;
  const output = demo.outputTail();
  expect(output).toEndWith("PASS\n");
  expect(code).toBe(0);
  expect(output).toContain("kills");
  expect(output).not.toContain("FAILED");
}, TEST_TIMEOUT_MS);

test("the demo takes its nodes with it when it is interrupted", async () => {
  const demo = await startProcess([...commandOf(DEFAULT_RUNNER), "demo", "--seconds", "60"]);
  const url = await waitUntil("the nodes run", START_TIMEOUT_MS, () => {
    const found = /n3 {2}(http:\/\/\S+)/.exec(demo.outputTail())?.[1];
    return demo.running ? found : "the demo ended";
  });
  expect(demo.outputTail()).toContain(url);
  await (await fetch(`${url}/health`)).arrayBuffer();
  demo.signal("SIGINT");
  const { code } = await demo.exited;
  expect(code).toBe(1);
  expect(demo.outputTail()).toContain("Interrupted");
  await waitUntil("the nodes are gone", START_TIMEOUT_MS, async () => {
    return await fetch(`${url}/health`).then(() => false, () => true);
  });
}, TEST_TIMEOUT_MS);
