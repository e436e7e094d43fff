import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { TestNode } from "../client/test_node.ts";

const ROOT = join(import.meta.dir, "../..");
const BUN = ["bun", join(ROOT, "cli.ts")];
const DENO = [join(ROOT, "node_modules/.bin/deno"), "run", "-A", join(ROOT, "cli.ts")];
const KEYS = { up: "\x1b[A", tab: "\t", ctrlC: "\x03", ctrlD: "\x04", ctrlU: "\x15" };

let folder = "";
let node: TestNode;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dqlite-shell-"));
  node = await TestNode.start(join(folder, "data.db"));
});

afterAll(async () => {
  await node.stop();
  rmSync(folder, { recursive: true });
});

/** A shell in a pseudo-terminal. */
class Screen {
  readonly #process: Bun.Subprocess;
  #text = "";
  #from = 0;
  #changed = Promise.withResolvers<void>();

  constructor(command: string[], home: string) {
    this.#process = Bun.spawn([...command, "shell", "--url", node.url], {
      env: { ...process.env, HOME: home, TERM: "xterm" },
      terminal: {
        cols: 100,
        rows: 40,
        data: (_, bytes) => {
          this.#text += new TextDecoder().decode(bytes);
          this.#changed.resolve();
          this.#changed = Promise.withResolvers();
        },
      },
    });
  }

  /** Types `keys`, and waits for `expected` in what the shell writes from then on. */
  async type(keys: string, expected: string): Promise<string> {
    this.#from = this.#text.length;
    this.#process.terminal!.write(keys);
    return await this.see(expected);
  }

  async see(expected: string): Promise<string> {
    const deadline = performance.now() + 8_000;
    while (!this.#seen().includes(expected)) {
      const left = deadline - performance.now();
      if (left <= 0) {
        throw new Error(`No ${JSON.stringify(expected)} in ${JSON.stringify(this.#seen())}`);
      }
      await Promise.race([this.#changed.promise, Bun.sleep(left)]);
    }
    return this.#seen();
  }

  async exited(): Promise<number> {
    return await this.#process.exited;
  }

  #seen(): string {
    // Without the sequences that move the cursor.
    // deno-lint-ignore no-control-regex
    return this.#text.slice(this.#from).replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/\r/g, "");
  }
}

function home(): string {
  return mkdtempSync(join(folder, "home-"));
}

for (const [runtime, command] of [["Bun", BUN], ["Deno", DENO]] as const) {
  test(`a statement over several lines runs once it is complete, on ${runtime}`, async () => {
    const screen = new Screen(command, home());
    await screen.see("dqlite> ");
    await screen.type("select 'a;\r", "   ...> ");
    await screen.type("b' as x,\r", "   ...> ");
    const shown = await screen.type("1.0 as y;\r", "└");
    expect(shown).toContain("│ a; │ 1.0 │");
    expect(shown).toContain("│ b  │     │");
    await screen.type(KEYS.ctrlD, "");
    expect(await screen.exited()).toBe(0);
  }, 20_000);
}

test("a statement is one entry of the history, also in the next session", async () => {
  const place = home();
  const first = new Screen(BUN, place);
  await first.see("dqlite> ");
  await first.type("select 41 -- not this\r", "   ...> ");
  await first.type("  + 1;\r", "│ 42");
  await first.type("select 2;\r", "│ 2 │");
  await first.type(KEYS.up + KEYS.up, "select 41 + 1;");
  await first.type("\r", "│ 42");
  await first.type(".quit\r", "");
  expect(await first.exited()).toBe(0);
  const file = join(place, ".dqlite_history");
  expect(readFileSync(file, "utf8")).toBe(
    "select 41 + 1;\nselect 2;\nselect 41 + 1;\n.quit\n",
  );
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const second = new Screen(BUN, place);
  await second.see("dqlite> ");
  await second.type(KEYS.up + KEYS.up, "select 41 + 1;");
  await second.type("\r", "│ 42");
  await second.type(".exit 3\r", "");
  expect(await second.exited()).toBe(3);
}, 20_000);

test("tab completes keywords, names of the database and commands", async () => {
  const screen = new Screen(BUN, home());
  await screen.see("dqlite> ");
  await screen.type("create table completing (some_column);\r", "dqlite> ");
  await screen.type("sel" + KEYS.tab, "select");
  await screen.type(" * from compl" + KEYS.tab, "completing");
  await screen.type(KEYS.ctrlU + "SELECT some_c" + KEYS.tab, "some_column");
  await screen.type(KEYS.ctrlU + ".sche" + KEYS.tab, ".schema");
  await screen.type(" comp" + KEYS.tab, "completing");
  await screen.type("\r", "CREATE TABLE completing (some_column);");
  await screen.type(KEYS.ctrlD, "");
  expect(await screen.exited()).toBe(0);
}, 20_000);

test("Ctrl-C drops what was typed, and Ctrl-D leaves", async () => {
  const screen = new Screen(BUN, home());
  await screen.see("dqlite> ");
  await screen.type("select 1,\r", "   ...> ");
  await screen.type("nonsense here" + KEYS.ctrlC, "dqlite> ");
  const shown = await screen.type("select 7;\r", "│ 7 │");
  expect(shown).not.toContain("Error");
  await screen.type(KEYS.ctrlD, "");
  expect(await screen.exited()).toBe(0);
}, 20_000);

test("Ctrl-C gives up a statement that does not end, and its transaction", async () => {
  const screen = new Screen(BUN, home());
  await screen.see("dqlite> ");
  await screen.type("begin;\r", "dqlite> ");
  await screen.type("create table given_up (a);\r", "dqlite> ");
  node.faults.push({ type: "hang" });
  const hanging = node.pipelines.length + 1;
  await screen.type("select 1;\r", "\n");
  while (node.pipelines.length < hanging) await Bun.sleep(1);
  await screen.type(KEYS.ctrlC, "rolled back");
  await screen.see("dqlite> ");
  node.expireStreams();
  const shown = await screen.type(".tables given%\rselect 7;\r", "│ 7 │");
  expect(shown.replaceAll(".tables given%", "")).not.toContain("given_up");
  await screen.type(KEYS.ctrlD, "");
  expect(await screen.exited()).toBe(0);
}, 20_000);

test("a lost transaction is told in plain words", async () => {
  const screen = new Screen(BUN, home());
  await screen.see("dqlite> ");
  await screen.type("begin;\r", "dqlite> ");
  await screen.type("create table lost (a);\r", "dqlite> ");
  node.expireStreams();
  const shown = await screen.type("insert into lost values (1);\r", "Hint:");
  expect(shown).toContain("Error: The connection was lost, the open transaction was rolled back");
  await screen.type("select 7;\r", "│ 7 │");
  await screen.type(KEYS.ctrlD, "");
  expect(await screen.exited()).toBe(0);
}, 20_000);

test("a history file that is damaged or too long does no harm", async () => {
  const place = home();
  const old = Array.from({ length: 1_500 }, (_, i) => `select ${i};`).join("\n");
  writeFileSync(join(place, ".dqlite_history"), `\n\n\\\n${old}`);
  const screen = new Screen(BUN, place);
  await screen.see("dqlite> ");
  await screen.type("select 'new';\r", "│ new   │");
  await screen.type(KEYS.ctrlD, "");
  expect(await screen.exited()).toBe(0);
  const lines = readFileSync(join(place, ".dqlite_history"), "utf8").trim().split("\n");
  expect([lines.length, lines.at(-2), lines.at(-1)]).toEqual([
    1_000,
    "select 1499;",
    "select 'new';",
  ]);
}, 20_000);
