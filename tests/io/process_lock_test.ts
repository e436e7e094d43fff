import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFile } from "../../lib/io/process_lock.ts";
import { commandOf, type Runtime } from "./runtimes.ts";

/** A process that tries to take the lock when told to. */
class Contender {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";

  constructor(runtime: Runtime, path: string) {
    const command = [...commandOf(runtime, "tests/io/lock_child.ts"), path];
    this.#process = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    this.#reader = this.#process.stdout.getReader();
  }

  async line(): Promise<string> {
    while (!this.#text.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`The process ended after ${this.#text}`);
      this.#text += new TextDecoder().decode(value);
    }
    const [line = "", ...rest] = this.#text.split("\n");
    this.#text = rest.join("\n");
    return line;
  }

  async try(): Promise<string> {
    this.#process.stdin.write("go\n");
    await this.#process.stdin.flush();
    return await this.line();
  }

  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

async function inFolder(run: (path: string, contenders: Contender[]) => Promise<void>) {
  const folder = mkdtempSync(join(tmpdir(), "lock-"));
  const contenders: Contender[] = [];
  try {
    await run(join(folder, "lock"), contenders);
  } finally {
    for (const contender of contenders) await contender.kill();
    rmSync(folder, { recursive: true });
  }
}

for (const runtime of ["bun", "deno"] as const) {
  test(`a lock held by a ${runtime} process ends with it, killed or not`, async () => {
    await inFolder(async (path, contenders) => {
      const holder = new Contender(runtime, path);
      contenders.push(holder);
      expect([await holder.line(), await holder.try()]).toEqual(["ready", "held"]);
      expect(lockFile(path)).toBeUndefined();
      await holder.kill();
      const unlock = lockFile(path);
      expect(readFileSync(path, "utf8")).toBe(`${process.pid}\n`);
      unlock?.();
      expect(readdirSync(join(path, ".."))).toEqual(["lock"]);
    });
  }, 20_000);
}

test("of many processes that race for the lock of a dead one, exactly one gets it", async () => {
  await inFolder(async (path, contenders) => {
    for (let i = 0; i < 6; i++) contenders.push(new Contender("bun", path));
    for (const contender of contenders) expect(await contender.line()).toBe("ready");
    for (let round = 0; contenders.length > 1; round++) {
      const answers = await Promise.all(contenders.map((contender) => contender.try()));
      expect(answers.filter((answer) => answer === "held").length).toBe(1);
      const [holder] = contenders.splice(answers.indexOf("held"), 1);
      await holder!.kill();
    }
  });
}, 20_000);

test("a process cannot take the same lock twice, but again after it gave it back", async () => {
  await inFolder((path) => {
    const unlock = lockFile(path);
    expect(unlock).toBeDefined();
    expect(lockFile(path)).toBeUndefined();
    unlock?.();
    const again = lockFile(path);
    expect(again).toBeDefined();
    again?.();
    return Promise.resolve();
  });
});

test("the claim of a process that is gone, or from before a restart, does not count", async () => {
  await inFolder((path) => {
    const claims = [`${path}.999999999-5-boot`, `${path}.${process.pid}-1-other-boot`];
    for (const claim of claims) writeFileSync(claim, "held\n");
    const unlock = lockFile(path);
    expect(unlock).toBeDefined();
    for (const claim of claims) expect(existsSync(claim)).toBe(false);
    unlock?.();
    return Promise.resolve();
  });
});
