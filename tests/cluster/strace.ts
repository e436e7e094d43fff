/**
 * Shows with strace that no acknowledgement leaves before the quorum's sync: three nodes, each
 * traced, take single inserts, at the leader and at followers. For each the answer must leave after
 * the log writes of two nodes have returned, into files that were opened with O_DSYNC.
 * `bun tests/cluster/strace.ts` prints the system calls of the last insert, in order.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { NodeProcess } from "../../lib/demo/nodes.ts";
import { pause, waitUntil } from "../../lib/demo/wait.ts";
import { freePorts, temporaryFolder } from "../../lib/io/process.ts";
import { commandOf, DEFAULT_RUNNER, run, START_TIMEOUT_MS } from "./harness.ts";

const CALLS = "openat,fdatasync,fsync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg";
const INSERTS = 20;
/** The row, to be found in what is written and sent. */
const MARK = "marked-row-";
/** Longer than a log needs to be idle before it writes its close record. */
const QUIET_MS = 300;
const PAGE_BYTES = 4096;

interface Call {
  readonly node: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly name: string;
  readonly text: string;
}

/** Lines as `-ttt -T -yy` give them: start in seconds, the call, and what it took. */
function readCalls(folder: string, nodes: readonly NodeProcess[]): Call[] {
  const calls: Call[] = [];
  for (const { name: node } of nodes) {
    for (const file of readdirSync(folder).filter((name) => name.startsWith(`${node}.trace.`))) {
      for (const line of readFileSync(join(folder, file), "latin1").split("\n")) {
        const match = /^(\d+\.\d+) (\w+)\((.*) = .*<(\d+\.\d+)>$/.exec(line);
        if (match === null) continue;
        const startMs = Number(match[1]) * 1000;
        const endMs = startMs + Number(match[4]) * 1000;
        calls.push({
          node,
          startMs,
          endMs,
          name: match[2]!,
          text: line.slice(match[1]!.length + 1),
        });
      }
    }
  }
  return calls.sort((a, b) => a.startMs - b.startMs);
}

const isSend = (call: Call) => /^(sendto|sendmsg|write|writev)$/.test(call.name);

/** Descriptors of segments that were opened so that a write returns once it is durable. */
function durableFiles(calls: readonly Call[]): Set<string> {
  const found = new Set<string>();
  for (const { node, name, text } of calls) {
    const match = /O_DSYNC.* = (\d+<[^>]+\.segment>)/.exec(text);
    if (name === "openat" && match !== null) found.add(`${node} ${match[1]}`);
  }
  return found;
}

/** A write of a batch with a page in it, unlike those of votes and close records. */
function isLogWrite(call: Call, durable: ReadonlySet<string>): boolean {
  const match = /^pwrite\w*\((\d+<[^>]+\.segment>).* = (\d+) </.exec(call.text);
  return match !== null && durable.has(`${call.node} ${match[1]}`) && Number(match[2]) > PAGE_BYTES;
}

interface Span {
  readonly asked: NodeProcess;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Holds one insert against the rule; gives its calls. */
function check(
  calls: readonly Call[],
  durable: ReadonlySet<string>,
  { asked, fromMs, toMs }: Span,
): Call[] {
  const own = calls.filter((call) => call.startMs >= fromMs && call.startMs <= toMs);
  const port = new URL(asked.url).port;
  const reply = own.find((call) =>
    call.node === asked.name && isSend(call) && call.text.includes(`127.0.0.1:${port}->`) &&
    call.text.includes("HTTP/1.1 200")
  );
  if (reply === undefined) throw new Error("The trace shows no answer");
  const synced = new Set(
    own.filter((call) => isLogWrite(call, durable) && call.endMs <= reply.startMs)
      .map((call) => call.node),
  );
  if (synced.size < 2) {
    throw new Error(`The answer left when ${[...synced]} had synced:\n${show(own, fromMs)}`);
  }
  return own;
}

function show(calls: readonly Call[], fromMs: number): string {
  return calls.map(({ node, startMs, endMs, text }) => {
    const at = (ms: number) => (ms - fromMs).toFixed(3).padStart(8);
    return `${at(startMs)} ${at(endMs)} ${node} ${text.slice(0, 230)}`;
  }).join("\n");
}

const { path: folder, remove } = temporaryFolder("dqlite-strace-");
const ports = await freePorts(6);
const nodes: NodeProcess[] = [];
for (let i = 0; i < 3; i++) {
  const trace = ["strace", "-D", "-ff", "-yy", "-ttt", "-T", "-s", "48", "-e", `trace=${CALLS}`];
  const name = `n${i + 1}`;
  nodes.push(
    new NodeProcess({
      name,
      command: [...trace, "-o", join(folder, `${name}.trace`), ...commandOf(DEFAULT_RUNNER)],
      folder: join(folder, name),
      listenPort: ports[2 * i]!,
      httpPort: ports[2 * i + 1]!,
      join: i === 0 ? [] : [nodes[0]!.address],
    }),
  );
}
const spans: Span[] = [];
try {
  for (const node of nodes) {
    await node.start();
    await node.waitReady(START_TIMEOUT_MS);
  }
  await waitUntil("all vote", START_TIMEOUT_MS, async () => {
    const { members } = await nodes[0]!.cluster();
    return members.length === 3 && members.every((member) => member.role === "voter");
  });
  await run(nodes[0]!, "CREATE TABLE t(x)");
  for (let i = 0; i < INSERTS; i++) {
    await pause(QUIET_MS);
    // The leader is asked first and last, its followers in between.
    const asked = nodes[i === INSERTS - 1 ? 0 : i % nodes.length]!;
    const fromMs = performance.timeOrigin + performance.now();
    await run(asked, `INSERT INTO t VALUES('${MARK}${i}')`);
    spans.push({ asked, fromMs, toMs: performance.timeOrigin + performance.now() });
  }
} finally {
  for (const node of nodes) await node.stop();
}
const calls = readCalls(folder, nodes);
let last: Call[] = [];
const durable = durableFiles(calls);
for (const span of spans) last = check(calls, durable, span);
console.log("How the logs are opened:");
const opened = calls.filter((call) => call.name === "openat" && /O_DSYNC/.test(call.text));
console.log(opened.slice(0, 6).map(({ node, text }) => `${node} ${text}`).join("\n"));
console.log("\nThe last insert (ms: begin, end):");
console.log(show(last, spans.at(-1)!.fromMs));
console.log(`\n${spans.length} inserts: every answer left after two nodes had synced`);
remove();
