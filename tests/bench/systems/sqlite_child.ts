/** Measures SQLite in this process: one connection, prepared statements, no network. */
import { openLibrary } from "../../../ffi/open.ts";
import { below, SeededRandom } from "../../../lib/base/random.ts";
import { Connection } from "../../../lib/database/connection.ts";
import type { Statement } from "../../../lib/database/statement.ts";
import { Latencies, type Measurement } from "../measurement.ts";
import { flushedBytes, readUsage, residentMib, usagePerOperation } from "../processes.ts";
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

/** One operation of the workload; throws when its result is not right. */
function operation(database: Connection, job: SqliteJob): () => void {
  const random = new SeededRandom(1);
  let n = SLOT_MIN;
  const prepare = (sql: string): Statement => database.prepareOwned(sql).statement!;
  const insert = prepare(INSERT);
  const rowsOf = (statement: Statement, first: number, count: number) => {
    const rows = statement.run([BigInt(first)]).rows.decode();
    if (rows.length !== count) throw new Error(`${rows.length} rows`);
  };
  switch (job.kind) {
    case "insert":
      return () => void insert.run([BigInt(n++), PAYLOAD]);
    case "transaction": {
      const begin = prepare("BEGIN IMMEDIATE");
      const commit = prepare("COMMIT");
      return () => {
        begin.run();
        for (let row = 0; row < TRANSACTION_ROWS; row++) insert.run([BigInt(n++), PAYLOAD]);
        commit.run();
      };
    }
    case "read": {
      const read = prepare(READ);
      return () => rowsOf(read, SLOT_MIN + below(random, READ_ROWS), 1);
    }
    case "scan": {
      const scan = prepare(SCAN);
      const firsts = READ_ROWS - SCAN_ROWS + 1;
      return () => rowsOf(scan, SLOT_MIN + below(random, firsts), SCAN_ROWS);
    }
  }
}

async function main(): Promise<void> {
  const job = JSON.parse(process.argv[2]!) as SqliteJob;
  const library = await openLibrary();
  const database = Connection.open(library, `${job.folder}/plain.db`, { role: "plain" });
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`PRAGMA synchronous = ${job.synced ? "FULL" : "OFF"}`);
  for (const statement of SCHEMA) database.exec(statement);
  const run = operation(database, job);
  for (const end = performance.now() + job.warmupMs; performance.now() < end;) run();
  const latencies = new Latencies();
  const diskBefore = flushedBytes();
  const before = readUsage([process.pid]);
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  let nowMs = startMs;
  for (const endMs = startMs + job.measureMs; nowMs < endMs;) {
    run();
    const doneMs = performance.now();
    latencies.add(doneMs - nowMs);
    nowMs = doneMs;
  }
  const cpu = process.cpuUsage(cpuBefore);
  const after = readUsage([process.pid]);
  const diskAfter = flushedBytes();
  const leaderResidentMib = residentMib(process.pid);
  database.close();
  const seconds = (nowMs - startMs) / 1000;
  const operations = latencies.count;
  const [p50Ms, p99Ms, p999Ms, maxMs] = latencies.quantiles([0.5, 0.99, 0.999, 1]);
  const measurement: Measurement = {
    operations,
    seconds,
    operationsPerSecond: operations / seconds,
    p50Ms: p50Ms!,
    p99Ms: p99Ms!,
    p999Ms: p999Ms!,
    maxMs: maxMs!,
    offeredPerSecond: undefined,
    errors: 0,
    errorSample: undefined,
    ...usagePerOperation(before, after, operations),
    wireBytes: undefined,
    // The client is in the same process.
    generatorCpuUs: 0,
    generatorShare: (cpu.user + cpu.system) / 1e6 / seconds,
    diskBytes: diskAfter === undefined || diskBefore === undefined
      ? undefined
      : (diskAfter - diskBefore) / operations,
    leaderResidentMib,
  };
  console.log(JSON.stringify(measurement));
}

await main();
