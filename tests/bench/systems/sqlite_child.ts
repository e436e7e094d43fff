/** Measures SQLite in this process: one connection, prepared statements, no network. */
import { below, SeededRandom } from "../../../lib/base/random.ts";
import { Latencies } from "../measurement.ts";
import { flushedBytes, readUsage } from "../processes.ts";
import { SLOT_MIN } from "../request_template.ts";
import type { SqliteJob } from "./sqlite.ts";
import {
  INSERT,
  PAYLOAD,
  READ,
  READ_ROWS,
  SCAN,
  SCAN_ROWS,
  SCHEMA,
  TRANSACTION_ROWS,
} from "./system.ts";

interface Statement {
  run(...args: unknown[]): unknown;
  get(...args: unknown[]): unknown;
  all(...args: unknown[]): unknown[];
}
interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** One operation of the workload; throws when its result is not right. */
function operation(database: Database, job: SqliteJob): () => void {
  const random = new SeededRandom(1);
  let n = SLOT_MIN;
  const insert = database.prepare(INSERT);
  switch (job.kind) {
    case "insert":
      return () => insert.run(n++, PAYLOAD);
    case "transaction": {
      const begin = database.prepare("BEGIN IMMEDIATE");
      const commit = database.prepare("COMMIT");
      return () => {
        begin.run();
        for (let row = 0; row < TRANSACTION_ROWS; row++) insert.run(n++, PAYLOAD);
        commit.run();
      };
    }
    case "read": {
      const read = database.prepare(READ);
      return () => {
        if (read.get(SLOT_MIN + below(random, READ_ROWS)) === undefined) throw new Error("No row");
      };
    }
    case "scan": {
      const scan = database.prepare(SCAN);
      return () => {
        const rows = scan.all(SLOT_MIN + below(random, READ_ROWS - SCAN_ROWS + 1));
        if (rows.length !== SCAN_ROWS) throw new Error(`${rows.length} rows`);
      };
    }
  }
}

async function main(): Promise<void> {
  const job = JSON.parse(process.argv[2]!) as SqliteJob;
  const module = "node:sqlite";
  const { DatabaseSync } = await import(module);
  const database = new DatabaseSync(`${job.folder}/plain.db`) as Database;
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`PRAGMA synchronous = ${job.synced ? "FULL" : "OFF"}`);
  for (const statement of SCHEMA) database.exec(statement);
  const run = operation(database, job);
  for (const end = performance.now() + job.warmupMs; performance.now() < end;) run();
  const latencies = new Latencies();
  const diskBefore = flushedBytes();
  const before = readUsage([process.pid]);
  const startMs = performance.now();
  let nowMs = startMs;
  for (const endMs = startMs + job.measureMs; nowMs < endMs;) {
    run();
    const doneMs = performance.now();
    latencies.add(doneMs - nowMs);
    nowMs = doneMs;
  }
  const after = readUsage([process.pid]);
  const diskAfter = flushedBytes();
  database.close();
  const seconds = (nowMs - startMs) / 1000;
  const operations = latencies.count;
  const [p50Ms, p99Ms] = latencies.quantiles([0.5, 0.99]);
  console.log(JSON.stringify({
    operations,
    seconds,
    operationsPerSecond: operations / seconds,
    p50Ms,
    p99Ms,
    errors: 0,
    serverCpuUs: (after.cpuUs - before.cpuUs) / operations,
    generatorCpuUs: 0,
    leaderWrittenBytes: (after.writtenBytes - before.writtenBytes) / operations,
    diskBytes: (diskAfter - diskBefore) / operations,
  }));
}

await main();
