/**
 * How long the executable takes to start: `dqlite version` to its end, and `dqlite serve` in an
 * empty folder, and in the same folder again, to the first answered query. The files are in memory
 * after the first rounds. `bun tests/bench/startup.ts [EXECUTABLE]`.
 */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { NodeProcess } from "../../lib/demo/nodes.ts";
import { freePorts, startProcess, temporaryFolder } from "../../lib/io/process.ts";
import { median } from "./measurement.ts";
import { figure, textTable } from "./text_table.ts";

const EXECUTABLE = new URL("../../dist/dqlite", import.meta.url).pathname;
const ROUNDS = 11;
/** Rounds that only bring the files into memory. */
const WARM_ROUNDS = 2;
const POLL_MS = 1;
const TIMEOUT_MS = 20_000;
const WANTED_MS = { version: 60, founding: 300, again: 300 } as const;
const BODY = '{"requests":[{"type":"execute","stmt":{"sql":"SELECT 1"}},{"type":"close"}]}';

/** Runs `dqlite version`. */
async function version(executable: string): Promise<number> {
  const startMs = performance.now();
  const code = await new Promise((resolve, reject) => {
    const child = spawn(executable, ["version"], { stdio: "ignore" });
    child.once("error", reject);
    child.once("exit", resolve);
  });
  if (code !== 0) throw new Error(`${executable} version ended with ${code}`);
  return performance.now() - startMs;
}

/** Starts a node and asks it until it answers; then ends it. */
async function serve(executable: string, folder: string): Promise<number> {
  const [listenPort, httpPort] = await freePorts(2);
  const node = new NodeProcess({
    name: "n1",
    command: [executable],
    folder,
    listenPort: listenPort!,
    httpPort: httpPort!,
    join: [],
  });
  const startMs = performance.now();
  await node.start();
  try {
    while (!await answers(httpPort!)) {
      if (performance.now() - startMs > TIMEOUT_MS || !node.running) throw new Error(node.output);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return performance.now() - startMs;
  } finally {
    await node.stop();
  }
}

/** Whether a query is answered with its row. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8");
    socket.on("connect", () => {
      socket.write(
        "POST /v2/pipeline HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" +
          `content-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`,
      );
    });
    socket.on("data", (part: string) => {
      text += part;
      if (!text.includes('"rows"')) return;
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}

async function main(): Promise<void> {
  const executable = process.argv[2] ?? EXECUTABLE;
  // Fails with a message of its own when there is no executable.
  await (await startProcess([executable, "version"])).exited;
  const times = { version: [], founding: [], again: [] } as Record<string, number[]>;
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
    const folder = temporaryFolder("dqlite-bench-start-");
    try {
      const found = {
        version: await version(executable),
        founding: await serve(executable, folder.path),
        again: await serve(executable, folder.path),
      };
      if (round < WARM_ROUNDS) continue;
      for (const [name, ms] of Object.entries(found)) times[name]!.push(ms);
    } finally {
      folder.remove();
    }
  }
  const lines = [["start", "wanted ms", "median ms", "lowest", "highest", "reached"]];
  const names = {
    version: "dqlite version, to its end",
    founding: "dqlite serve, empty folder, to the first answer",
    again: "dqlite serve, same folder, to the first answer",
  };
  for (const [name, words] of Object.entries(names)) {
    const found = times[name]!;
    const wanted = WANTED_MS[name as keyof typeof WANTED_MS];
    const middle = median(found);
    const figures = [middle, Math.min(...found), Math.max(...found)].map(figure);
    lines.push([words, `≤ ${wanted}`, ...figures, middle <= wanted ? "yes" : "no"]);
  }
  console.log(textTable(lines, 1));
}

await main();
