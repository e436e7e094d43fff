import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import type { SegmentLog } from "../../lib/log/segment_log.ts";
import { commandOf, type Runtime } from "../io/runtimes.ts";
import { command, commands, contents } from "./harness.ts";
import { openReal } from "./real_log.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "log-"));
  try {
    await run(join(folder, "log"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function closed(log: SegmentLog): Promise<void> {
  return new Promise((resolve) => log.close(resolve));
}

/** Lets a process write until some entries are durable, then kills it; returns the last of them. */
async function writeAndKill(runtime: Runtime, folder: string, count: number): Promise<number> {
  const writer = Bun.spawn([...commandOf(runtime, "tests/log/writer_child.ts"), folder], {
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  let lines = 0;
  const decoder = new TextDecoder();
  for await (const chunk of writer.stdout) {
    text += decoder.decode(chunk, { stream: true });
    lines = text.split("\n").length;
    if (lines > count) writer.kill("SIGKILL");
  }
  await writer.exited;
  expect(lines).toBeGreaterThan(count);
  // The last line may have been cut off by the end of the process.
  return Number(text.split("\n").at(-2));
}

test("entries on a real disk are there after closing, over many segments", async () => {
  await inFolder(async (folder) => {
    const log = openReal(new NodeDisk(), folder);
    const order: number[] = [];
    await new Promise<void>((resolve) => {
      for (let index = 1; index <= 300; index++) {
        const batch = { hardState: undefined, truncateFrom: undefined };
        log.append({ ...batch, entries: [command(index, 1, 4200)] }, () => {
          order.push(index);
          if (index === 300) resolve();
        });
      }
    });
    expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(contents(log)).toEqual(commands(1, 300, 1, 4200));
    await closed(log);
    const again = openReal(new NodeDisk(), folder);
    expect(contents(again)).toEqual(commands(1, 300, 1, 4200));
    await closed(again);
  });
});

test(
  "what a killed process was told to be durable is there, whatever runtime goes on",
  async () => {
    await inFolder(async (folder) => {
      let before = 0;
      for (const runtime of ["bun", "deno", "bun", "deno"] as const) {
        const durable = await writeAndKill(runtime, folder, 120);
        expect(durable).toBeGreaterThan(before);
        const log = openReal(new NodeDisk(), folder);
        expect(log.lastIndex).toBeGreaterThanOrEqual(durable);
        // Every body is verified when it is read; the sizes tell that it is the right one.
        for (const entry of contents(log)) {
          const size = entry.type === "command" ? entry.payload.length : 0;
          expect(entry).toEqual(command(entry.index, entry.term, size));
        }
        before = log.lastIndex;
        await closed(log);
      }
    });
  },
  30_000,
);
