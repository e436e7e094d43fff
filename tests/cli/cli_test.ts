import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { DatabaseError } from "../../lib/base/errors.ts";
import { VERSION } from "../../lib/base/version.ts";
import { runCli } from "../../lib/cli/run.ts";
import { serve, type StartNode } from "../../lib/cli/serve.ts";
import type { Program } from "../../lib/io/program.ts";
import type { NodeOptions } from "../../lib/node_options.ts";

const ROOT = join(import.meta.dir, "../..");

/** A program that keeps what it is told. */
function fakeProgram(args: string[] = [], env: Record<string, string> = {}) {
  const written = { out: "", errors: "" };
  let onStop: ((signal: "SIGINT" | "SIGTERM") => void) | undefined;
  const program: Program = {
    args,
    env,
    platform: "test",
    stdout: (text) => written.out += text,
    stderr: (text) => written.errors += text,
    readTextFile: (path) => readFileSync(path, "utf8"),
    wallMs: () => 0,
    onStopRequest: (callback) => onStop = callback,
    exit: () => {
      throw new Error("exit");
    },
  };
  return { program, written, stop: (signal: "SIGINT" | "SIGTERM") => onStop!(signal) };
}

async function run(...args: string[]) {
  const { program, written } = fakeProgram(args);
  return { status: await runCli(program), ...written };
}

test("version is that of the package", async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  expect(VERSION).toBe(version);
  expect(await run("version")).toEqual({
    status: 0,
    out: `dqlite ${version} (test)\n`,
    errors: "",
  });
  expect((await run("--version")).out).toBe(`${version}\n`);
});

test("a misspelt option or command is refused with the right one", async () => {
  const option = await run("serve", "--jion", "a:1");
  expect([option.status, option.out]).toEqual([2, ""]);
  expect(option.errors).toContain("unknown option '--jion'");
  expect(option.errors).toContain("--join");
  const command = await run("serv");
  expect(command.status).toBe(2);
  expect(command.errors).toContain("serve");
});

test("wrong usage ends with status 2", async () => {
  for (
    const args of [
      [],
      ["version", "extra"],
      ["serve", "positional"],
      ["serve", "--dir"],
      ["serve", "--listen", "nowhere"],
      ["serve", "--config", "/no/such/file"],
      ["shell", "--mode", "jsno"],
      ["demo", "--seconds", "soon"],
    ]
  ) {
    const { status, out, errors } = await run(...args);
    expect([args, status, out]).toEqual([args, 2, ""]);
    expect(errors).not.toBe("");
  }
});

test("help shows every option with its variable and default", async () => {
  const help = await run("serve", "--help");
  expect(help.status).toBe(0);
  for (const text of ["--advertise-http <URL>", "DQLITE_JOIN", "default: 127.0.0.1:9001"]) {
    expect(help.out.replace(/\s+/g, " ")).toContain(text);
  }
  expect((await run("--help")).out).toContain("shell");
  expect((await run("help", "shell")).out).toContain("--timeout");
});

/** Calls `serve` with a node that is started by `start`. */
function serving(start: StartNode) {
  const { program, written, stop } = fakeProgram();
  const settings = {
    dir: "d",
    listen: "127.0.0.1:0",
    http: "127.0.0.1:0",
    from: undefined,
    archive: undefined,
    archiveKeep: undefined,
    join: ["a:1"],
    role: "voter",
    transactionMax: 4096 * 1024 * 1024,
    advertise: undefined,
    advertiseHttp: "http://b",
    logFormat: "json",
    logLevel: "info",
    config: undefined,
  } as const;
  const status = serve({ settings: { ...settings, join: ["a:1"] }, rest: [], program }, start);
  return { status, written, stop };
}

test("serve says when the node is ready, and stops it in order", async () => {
  const events: string[] = [];
  let given: NodeOptions | undefined;
  const { status, written, stop } = serving((options) => {
    given = options;
    const node = {
      address: "127.0.0.1:7",
      httpUrl: "http://127.0.0.1:8",
      nodeId: 9,
      stop: () => Promise.resolve(void events.push("stopped")),
    };
    return Promise.resolve(node);
  });
  while (written.out === "") await Bun.sleep(1);
  expect(written.out).toBe(
    "dqlite node 9 ready: http http://127.0.0.1:8, cluster 127.0.0.1:7\n",
  );
  expect(given).toMatchObject({ dir: "d", join: ["a:1"], advertiseHttp: "http://b" });
  expect(Object.hasOwn(given!, "advertise")).toBe(false);
  stop("SIGTERM");
  expect(await status).toBe(0);
  expect(events).toEqual(["stopped"]);
  const messages = written.errors.trim().split("\n").map((line) => JSON.parse(line).message);
  expect(messages).toEqual(["stopping", "stopped"]);
});

test("serve ends at once when it is stopped while it still waits for its cluster", async () => {
  const { status, written, stop } = serving(() => new Promise(() => {}));
  stop("SIGINT");
  expect(await status).toBe(0);
  expect(written.out).toBe("");
});

test("a node that cannot start, or go on, is an error with its hint", async () => {
  const taken = new DatabaseError("ADDRESS", "Port 1 is taken", { hint: "Choose another" });
  const refused = serving(() => Promise.reject(taken));
  expect(await refused.status).toBe(1);
  expect(refused.written.errors).toBe("Error: Port 1 is taken\nHint: Choose another\n");
  const broken = serving((options) => {
    options.onFatal!(new DatabaseError("DISK", "The disk is gone"));
    return new Promise(() => {});
  });
  expect(await broken.status).toBe(1);
  expect(broken.written.errors).toBe("Error: The disk is gone\n");
});

test("a node that was removed is stopped in order, with a status of its own", async () => {
  for (const isEarly of [false, true]) {
    const events: string[] = [];
    const removed = new DatabaseError("REMOVED", "It was removed", { hint: "Join anew" });
    const { status, written } = serving((options) => {
      const node = {
        address: "127.0.0.1:7",
        httpUrl: "http://127.0.0.1:8",
        nodeId: 9,
        stop: () => Promise.resolve(void events.push("stopped")),
      };
      if (isEarly) options.onFatal!(removed);
      else setTimeout(() => options.onFatal!(removed), 5);
      const early = new Promise<typeof node>((resolve) => setTimeout(resolve, 5, node));
      return isEarly ? early : Promise.resolve(node);
    });
    expect(await status).toBe(3);
    expect(events).toEqual(["stopped"]);
    expect(written.errors).toBe("Error: It was removed\nHint: Join anew\n");
  }
});

test("the executable runs under Bun and under Deno, and ends at a second signal", async () => {
  // The command of the package is a launcher, which does not pass signals on.
  const launcher = join(ROOT, "node_modules/.bin/deno");
  const deno = Bun.spawnSync([launcher, "eval", "console.log(Deno.execPath())"]).stdout;
  const commands = [["bun"], [deno.toString().trim(), "run", "-A"]];
  for (const command of commands) {
    const child = Bun.spawnSync([...command, join(ROOT, "cli.ts"), "version"]);
    expect(child.stdout.toString()).toContain(`dqlite ${VERSION} (`);
    expect(child.exitCode).toBe(0);
    const script = join(ROOT, "tests/cli/stubborn.ts");
    const stubborn = Bun.spawn([...command, script], { stdout: "pipe" });
    const reader = stubborn.stdout.getReader();
    const next = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await next()).toBe("ready\n");
    stubborn.kill("SIGTERM");
    expect(await next()).toBe("SIGTERM\n");
    stubborn.kill("SIGINT");
    expect(await stubborn.exited).toBe(130);
  }
}, 20_000);

test("output is whole when its reader is slow, and quiet when it goes away", () => {
  const script = join(ROOT, "tests/cli/verbose.ts");
  const slow = Bun.spawnSync(["sh", "-c", `bun ${script} | (sleep 0.3; wc -c)`]);
  expect(slow.stdout.toString().trim()).toBe("2000000");
  const gone = Bun.spawnSync(["sh", "-c", `bun ${script} | head -c 3`]);
  expect([gone.stdout.toString(), gone.stderr.toString()]).toEqual(["012", ""]);
});
