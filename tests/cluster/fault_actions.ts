/**
 * Faults of the machine, as actions of `kill_anywhere.ts`: a node is started so that some system
 * calls on some of its files fail from some moment on. It goes on, or it stops and says what failed
 * and where. strace makes the calls fail, since the runtime makes them without the C library.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { below } from "../../lib/base/random.ts";
import type { NodeProcess } from "../../lib/demo/nodes.ts";
import { integer, query } from "../../lib/demo/sql.ts";
import { pause } from "../../lib/demo/wait.ts";
import type { Action, Scene } from "./kill_actions.ts";

/** A way in which a disk fails. */
interface Fault {
  readonly name: string;
  /** Files in the data folder; a segment that is yet to be made counts as well. */
  files(folder: string): readonly string[];
  readonly calls: string;
  readonly error: "EIO" | "ENOSPC" | "EROFS" | "EMFILE";
  /** The first call that fails is drawn from this many. */
  readonly calls1Max: number;
}

const STRACE = "/usr/bin/strace";
/** Time that a node with a fault is watched. */
const WATCH_MS = 6_000;
const POLL_MS = 50;
const WRITES = "pwrite64,pwritev,pwritev2,write";
const SYNCS = "fsync,fdatasync";
const LARGE = "INSERT INTO faulty SELECT ?1, randomblob(6000000)";

function segments(folder: string): readonly string[] {
  const names = readdirSync(join(folder, "log")).filter((name) => name.endsWith(".segment"));
  const last = Number(names.toSorted().at(-1)?.split(".")[0]);
  for (const next of [1, 2]) names.push(`${String(last + next).padStart(16, "0")}.segment`);
  return names.map((name) => `log/${name}`);
}

const only = (...names: string[]) => () => names;

const FAULTS: readonly Fault[] = [
  { name: "log write", files: segments, calls: WRITES, error: "EIO", calls1Max: 60 },
  { name: "log sync", files: segments, calls: SYNCS, error: "EIO", calls1Max: 3 },
  { name: "log space", files: segments, calls: WRITES, error: "ENOSPC", calls1Max: 60 },
  {
    name: "vote",
    files: only("log/state.a", "log/state.b"),
    calls: `${WRITES},${SYNCS}`,
    error: "EIO",
    calls1Max: 8,
  },
  { name: "log read", files: segments, calls: "pread64", error: "EIO", calls1Max: 12 },
  { name: "wal write", files: only("main.db-wal"), calls: WRITES, error: "EIO", calls1Max: 400 },
  { name: "wal space", files: only("main.db-wal"), calls: WRITES, error: "ENOSPC", calls1Max: 400 },
  { name: "wal read", files: only("main.db-wal"), calls: "pread64", error: "EIO", calls1Max: 200 },
  { name: "database write", files: only("main.db"), calls: WRITES, error: "EIO", calls1Max: 40 },
  { name: "database space", files: only("main.db"), calls: WRITES, error: "ENOSPC", calls1Max: 9 },
  { name: "database sync", files: only("main.db"), calls: SYNCS, error: "EIO", calls1Max: 2 },
  { name: "database read", files: only("main.db"), calls: "pread64", error: "EIO", calls1Max: 60 },
  {
    name: "checkpoint record",
    files: only("checkpoint.new", "checkpoint.copy.new"),
    calls: `${WRITES},${SYNCS}`,
    error: "EIO",
    calls1Max: 6,
  },
  {
    name: "read-only",
    files: (folder) => [".", "log", "main.db", "main.db-wal", ...segments(folder)],
    calls: `${WRITES},${SYNCS},ftruncate,rename,renameat,renameat2,unlink`,
    error: "EROFS",
    calls1Max: 200,
  },
  {
    name: "descriptors",
    files: only(),
    calls: "openat,socket,accept4,accept",
    error: "EMFILE",
    calls1Max: 400,
  },
];

/** Whether system calls can be made to fail here. */
export const MAY_INJECT = existsSync(STRACE) &&
  Bun.spawnSync([STRACE, "-qq", "-e", "inject=getpid:retval=1", "true"]).exitCode === 0;

function tracer({ files, calls, error }: Fault, folder: string, first: number): string[] {
  const paths = files(folder).flatMap((name) => ["-P", join(folder, name)]);
  const inject = `inject=${calls}:error=${error}:when=${first}+`;
  return [STRACE, "-D", "-f", "-qq", "-o", `${folder}.trace`, "-e", `trace=${calls}`, "-e", inject]
    .concat(paths);
}

function actionOf(fault: Fault): Action {
  let said = "";
  return {
    name: fault.name,
    schema: [`CREATE TABLE IF NOT EXISTS faulty(round INTEGER, x BLOB)`],
    said: () => said,
    victims: ({ random, nodes }) => Promise.resolve([nodes[below(random, nodes.length)]!]),
    async begin(scene, [victim]) {
      await victim!.kill();
      const first = 1 + below(scene.random, fault.calls1Max);
      await victim!.start(tracer(fault, victim!.folder, first));
      const outcome = await watch(victim!, scene);
      const trace = readFileSync(`${victim!.folder}.trace`, "latin1");
      const failed = trace.split("(INJECTED)").length - 1;
      said = `${failed} calls failed, from number ${first} on: ${outcome}`;
    },
  };
}

/** Gives the node a bit of everything to do. @returns What came of it. */
async function watch(victim: NodeProcess, { round }: Scene): Promise<string> {
  const untilMs = performance.now() + WATCH_MS;
  const isOver = () => !victim.running || performance.now() > untilMs;
  const settled = (async () => {
    while (!isOver() && !await victim.ready()) await pause(POLL_MS);
    const { nodeId } = await victim.cluster();
    // It leads for a while, if it can.
    await fetch(`${victim.url}/cluster/transfer`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: nodeId }),
    });
    while (!isOver()) {
      await query(victim.url, LARGE, [integer(round)]);
      await query(victim.url, "DELETE FROM faulty");
      await victim.checkpoint().catch(() => {});
      await pause(POLL_MS);
    }
  })().catch(() => {});
  while (!isOver()) await pause(POLL_MS);
  const { running, output } = victim;
  await victim.kill();
  await settled;
  if (running) return "goes on";
  const { code } = await victim.exited;
  const words = output.trimEnd().split("\n").filter((line) => line.startsWith("Error: "));
  const [error] = words;
  if (code !== 1 || error === undefined || !error.includes(victim.folder)) {
    throw new Error(`${victim.name} ended with ${code} and did not say what and where:\n${output}`);
  }
  return error.replaceAll(victim.folder, "…");
}

/** All of them. */
export const FAULT_ACTIONS: readonly Action[] = FAULTS.map(actionOf);
