import { expect, test } from "bun:test";
import { existsSync, readdirSync, statSync } from "node:fs";
import { RESTORE_PART_BYTES } from "../../lib/base/limits.ts";
import { pause } from "../../lib/demo/wait.ts";
import { sha256Hex } from "../../lib/io/hash.ts";
import { runCommand } from "./command.ts";
import { DEFAULT_RUNNER, onCluster, START_TIMEOUT_MS } from "./harness.ts";
import { expectEqualPages, restoreAtLast, shownBy } from "./restore.ts";
import { makeSample, sampleContent } from "./sample.ts";

const ROUNDS = 10;
const ROWS = 12_000;
const TEST_TIMEOUT_MS = 400_000;

/** Waits until the whole file is put aside, or the command is over. */
async function isSent(path: string, sizeBytes: number, ended: Promise<unknown>): Promise<void> {
  let over = false;
  void ended.then(() => over = true);
  while (!over && (statSync(path, { throwIfNoEntry: false })?.size ?? 0) < sizeBytes) {
    await pause(1);
  }
}

test(
  "a leader killed at any moment of a restore leaves the old content or the new one, as was told",
  async () => {
    await onCluster({}, async ({ cluster, nodes, folder }) => {
      const files = [0, 1].map((at) => `${folder}/sample-${at}.db`);
      for (const [at, path] of files.entries()) {
        makeSample(path, { rows: ROWS, mark: `file ${at}` });
      }
      const contents = files.map(sampleContent);
      const urls = nodes.map(({ url }) => url).join(",");
      const began = performance.now();
      await restoreAtLast(DEFAULT_RUNNER, "--url", urls, "--force", files[0]!);
      const tookMs = performance.now() - began;

      let held = 0;
      const outcomes: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const next = 1 - held;
        const leader = await cluster.leader(START_TIMEOUT_MS);
        const args = ["restore", "--url", urls, "--force", files[next]!];
        const restoring = runCommand(DEFAULT_RUNNER, ...args);
        // In some rounds while the file is sent, in others while it takes effect.
        const sent = round % 2 === 1;
        if (sent) {
          await isSent(`${leader.folder}/restore.db`, statSync(files[next]!).size, restoring);
        }
        await pause(tookMs * round / ROUNDS);
        await leader.kill();
        const { status, errors } = await restoring;
        await leader.start();
        await cluster.waitReady(START_TIMEOUT_MS);

        const shown = await shownBy(nodes[0]!);
        const now = contents.findIndex((content) =>
          JSON.stringify(content) === JSON.stringify(shown)
        );
        expect(now).toBeGreaterThanOrEqual(0);
        if (status === 0) expect(now).toBe(next);
        else if (!errors.includes("whether it took effect is not known")) expect(now).toBe(held);
        for (const node of nodes) expect(await shownBy(node)).toEqual(contents[now]!);
        await expectEqualPages(nodes);
        // What was put aside is gone after a start.
        expect(existsSync(`${leader.folder}/restore.db`)).toBe(false);
        outcomes.push(status === 0 ? "done" : now === next ? "unknown, done" : "not done");
        held = now;
      }
      console.error(`restores under kills: ${outcomes.join("; ")}`);
      expect(readdirSync(folder).filter((name) => name.includes("partial"))).toEqual([]);
    });
  },
  TEST_TIMEOUT_MS,
);

test(
  "a restore that is never asked to take effect changes nothing, and others may begin",
  async () => {
    await onCluster({ count: 1 }, async ({ nodes, folder }) => {
      const [node] = nodes;
      const path = `${folder}/sample.db`;
      makeSample(path, { rows: 3_000 });
      const ask = async (step: string, body: BodyInit) => {
        const init = { method: "POST", body };
        const response = await fetch(`${node!.url}/cluster/restore/${step}`, init);
        return { status: response.status, json: await response.json() as Record<string, unknown> };
      };
      const bytes = await Bun.file(path).bytes();
      const request = { pages: bytes.length / 4_096, pageSizeBytes: 4_096, force: false };
      const { json: { id } } = await ask("begin", JSON.stringify(request));
      expect(await ask("begin", JSON.stringify(request))).toMatchObject({ json: { code: "BUSY" } });

      const send = async (offset: number, part: Uint8Array<ArrayBuffer>, sha256?: string) => {
        const head = { id, offset, sha256: sha256 ?? await sha256Hex(part) };
        return await ask("part", new Blob([`${JSON.stringify(head)}\n`, part]));
      };
      const part = bytes.slice(0, RESTORE_PART_BYTES);
      expect(await send(0, part, "00".repeat(32))).toMatchObject({ json: { code: "PROTOCOL" } });
      expect(await send(4_096, part)).toMatchObject({ json: { code: "PROTOCOL" } });
      expect(await send(0, part)).toMatchObject({ status: 200 });
      // Sent once more, since the answer was lost.
      expect(await send(0, part)).toMatchObject({ status: 200 });
      expect(await ask("commit", JSON.stringify({ id }))).toMatchObject({
        json: { code: "PROTOCOL", message: expect.stringContaining("not whole") },
      });
      expect(await ask("abort", JSON.stringify({ id }))).toMatchObject({ status: 200 });
      expect(await send(part.length, part)).toMatchObject({
        status: 404,
        json: { code: "RESTORE_UNKNOWN" },
      });
      expect(existsSync(`${node!.folder}/restore.db`)).toBe(false);
      const ended = await runCommand(DEFAULT_RUNNER, "restore", "--url", node!.url, path);
      expect(ended).toMatchObject({ status: 0 });
      expect(await shownBy(node!)).toEqual(sampleContent(path));
    });
  },
  TEST_TIMEOUT_MS,
);
