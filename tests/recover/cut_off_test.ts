import { afterEach, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../lib/io/clock.ts";
import type { Disk, DiskFile, OpenFileOptions } from "../../lib/io/disk.ts";
import { NodeDisk } from "../../lib/io/disk_node.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { choose } from "../../lib/recover/choice.ts";
import { makeCluster, type Wish } from "../../lib/recover/new_cluster.ts";
import { readSurvivor } from "../../lib/recover/survivor.ts";
import { cleanUp, newFolder, start } from "../node/harness.ts";
import { contents, insert, range, recover, rows } from "./harness.ts";

afterEach(cleanUp);

const TIMEOUT_MS = 240_000;
/** More than there are. */
const STEPS_MAX = 100_000;
const LAST_STEPS = 10;
const STRIDE = Number(process.env["STRIDE"] ?? 8);

/**
 * A machine that stops at one step: neither that one nor any later one happens. Plain writes are no
 * steps of their own, as each is followed by one that makes it durable.
 */
class StoppingDisk implements Disk {
  readonly #disk = new NodeDisk();
  /** Steps that still happen. */
  left: number;

  constructor(left: number) {
    this.left = left;
  }

  step(): void {
    if (this.left-- <= 0) throw new Error("the machine stopped");
  }

  open(path: string, options: OpenFileOptions): DiskFile {
    if (options.create && !this.#disk.exists(path)) this.step();
    const file = this.#disk.open(path, options);
    const step = () => this.step();
    return {
      path,
      read: (offset, length) => file.read(offset, length),
      write: (offset, bytes) => {
        if (this.left > 0) file.write(offset, bytes);
      },
      sync: () => (step(), file.sync()),
      syncLater: (done) => (step(), file.syncLater(done)),
      writeDurably: (operation, offset, parts, done) => {
        // Segments are made ahead of time, beside everything else.
        if (operation === "prepare segment" && this.left > 0) {
          return file.writeDurably(operation, offset, parts, done);
        }
        try {
          step();
        } catch (error) {
          return queueMicrotask(() => done(error as Error));
        }
        file.writeDurably(operation, offset, parts, done);
      },
      size: () => file.size(),
      truncate: (size) => (step(), file.truncate(size)),
      close: () => file.close(),
    };
  }

  exists(path: string): boolean {
    return this.#disk.exists(path);
  }

  list(folder: string): string[] {
    return this.#disk.list(folder);
  }

  createFolder(path: string): void {
    this.step();
    this.#disk.createFolder(path);
  }

  remove(path: string): void {
    this.step();
    this.#disk.remove(path);
  }

  removeFolder(path: string): void {
    this.step();
    this.#disk.removeFolder(path);
  }

  rename(from: string, to: string): void {
    this.step();
    this.#disk.rename(from, to);
  }

  freeBytes(folder: string): number {
    return this.#disk.freeBytes(folder);
  }

  syncFolder(folder: string): void {
    this.step();
    this.#disk.syncFolder(folder);
  }

  lock(path: string): (() => void) | undefined {
    return this.#disk.lock(path);
  }

  isLocked(path: string): boolean {
    return this.#disk.isLocked(path);
  }
}

/** A folder that a node with rows 1 to 5 left. */
async function leftFolder(): Promise<string> {
  const dir = join(newFolder(), "node");
  const node = await start({ dir });
  await node.client().execute("CREATE TABLE t (a)");
  await insert(node, 1, 5);
  await node.stop();
  // The next segment may still be on its way to the disk.
  const copy = join(newFolder(), "node");
  cpSync(dir, copy, { recursive: true });
  return copy;
}

/** Makes a cluster of the folder; the machine stops after so many steps. @returns What was left. */
async function attempt(dir: string, wish: Wish, steps: number): Promise<number> {
  const disk = new StoppingDisk(steps);
  const survivor = readSurvivor(new NodeDisk(), dir);
  const edges = { disk, clock: systemClock, random: new SeededRandom(1) };
  const clusterId = "00112233445566778899aabbccddeeff";
  try {
    await makeCluster({ ...edges, clusterId }, choose([survivor]), wish);
    return disk.left;
  } catch (error) {
    if (disk.left > 0) throw error;
    return 0;
  } finally {
    survivor.close();
  }
}

/** Where to stop: at some of the first steps, and at each of the last, when names change. */
function* stops(total: number): Generator<number> {
  for (let steps = 0; steps < total; steps += steps < total - LAST_STEPS ? STRIDE : 1) yield steps;
}

test("a recovery in place may be cut off at any step and is taken to its end", async () => {
  const left = await leftFolder();
  const copy = () => {
    const dir = join(newFolder(), "node");
    cpSync(left, dir, { recursive: true });
    return dir;
  };
  const wish = { to: undefined, nodes: [] };
  const total = STEPS_MAX - await attempt(copy(), wish, STEPS_MAX);
  expect(total).toBeGreaterThan(LAST_STEPS);
  for (const steps of stops(total)) {
    const dir = copy();
    expect(await attempt(dir, wish, steps)).toBe(0);
    const again = await recover(dir);
    expect([steps, again.status, again.errors]).toEqual([steps, 0, ""]);
    expect(await rows(dir)).toEqual(range(5));
  }
}, TIMEOUT_MS);

test("making copies may be cut off at any step, and be done again", async () => {
  const dir = await leftFolder();
  const before = contents(dir);
  const nodes = [{ id: 1, address: "127.0.0.1:9001" }, { id: 2, address: "127.0.0.1:9002" }];
  const first = { to: join(newFolder(), "new"), nodes };
  const total = STEPS_MAX - await attempt(dir, first, STEPS_MAX);
  expect(existsSync(`${first.to}/2`)).toBe(true);
  // The last step makes a finished folder's name durable.
  for (const steps of stops(total - 1)) {
    const to = join(newFolder(), "new");
    expect(await attempt(dir, { to, nodes }, steps)).toBe(0);
    expect([steps, existsSync(to)]).toEqual([steps, false]);
    const again = await recover(dir, "--to", to, "--nodes", "7=127.0.0.1:9001");
    expect([steps, again.status, again.errors]).toEqual([steps, 0, ""]);
    expect(readdirSync(to)).toEqual(["7"]);
    expect(await rows(`${to}/7`)).toEqual(range(5));
  }
  expect(contents(dir)).toBe(before);
}, TIMEOUT_MS);
