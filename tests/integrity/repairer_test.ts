import { expect, test } from "bun:test";
import type { PageSet } from "../../lib/database/page_integrity.ts";
import { Repairer } from "../../lib/integrity/repairer.ts";
import type { FileTask } from "../../lib/session/file_task.ts";
import type { FileTasks } from "../../lib/session/file_tasks.ts";
import { Lines } from "../node/lines.ts";
import { ManualClock } from "../session/manual_clock.ts";

const PAGE: PageSet = { pages: [5], bytes: new Uint8Array(512) };

test("a page that was copied before it was damaged is mended from the WAL", async () => {
  const clock = new ManualClock();
  const log = new Lines();
  const done: string[] = [];
  let damaged = [5];
  const answers: Record<FileTask["type"], () => unknown> = {
    damaged: () => damaged,
    // Its newest version is in the WAL.
    scrub: () => ({ next: 0, verifiedPages: 0, learntPages: 0, damagedPages: 0, skippedPages: 1 }),
    read: () => PAGE,
    repair: () => {
      damaged = [];
      return 1;
    },
  };
  const repairer = new Repairer({
    tasks: {
      run: (task: FileTask) => {
        done.push(task.type);
        return Promise.resolve(answers[task.type]());
      },
    } as unknown as FileTasks,
    clock,
    log,
    damagedPages: () => damaged.length,
    mayRead: () => true,
    sources: () => [],
    ask: () => Promise.reject(new Error("nobody is to be asked")),
    checkpoint: () => Promise.resolve(done.push("checkpoint")),
  });
  repairer.start();
  repairer.hurry();
  for (let turn = 0; turn < 50 && repairer.repairedPages === 0; turn++) await Bun.sleep(0);
  repairer.stop();
  expect(done.slice(0, 5)).toEqual(["damaged", "scrub", "checkpoint", "read", "repair"]);
  expect([repairer.repairedPages, damaged]).toEqual([1, []]);
  expect(log.with("repaired damaged pages")).toEqual([{ pages: 1, from: "the WAL" }]);
});
