import { openLibrary } from "../../../ffi/open.ts";
import { startProcess, temporaryFolder } from "../../../lib/io/process.ts";
import type { Measurement } from "../measurement.ts";
import type { EmbeddedSystem, Times, WorkloadKind } from "./system.ts";

/** What the child that measures plain SQLite is told. */
export interface SqliteJob {
  readonly folder: string;
  readonly synced: boolean;
  readonly kind: WorkloadKind;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** Our SQLite library in one process, in WAL mode: what one machine does without a network. */
export class PlainSqlite implements EmbeddedSystem {
  readonly type = "embedded";
  readonly name = "sqlite";
  readonly durability = "synced: its WAL is synced; unsynced: the system has it in memory";
  readonly labels = ["synced", "unsynced"];

  async version(): Promise<string> {
    const library = await openLibrary();
    const number = library.c.sqlite3_libversion_number();
    const parts = [number / 1_000_000, (number / 1_000) % 1_000, number % 1_000];
    return parts.map(Math.floor).join(".");
  }

  async measure(label: string, kind: WorkloadKind, times: Times): Promise<Measurement> {
    const folder = temporaryFolder("dqlite-bench-sqlite-");
    try {
      const job: SqliteJob = { folder: folder.path, synced: label === "synced", kind, ...times };
      const script = new URL("./sqlite_child.ts", import.meta.url).pathname;
      const child = await startProcess([process.execPath, script, JSON.stringify(job)]);
      const { code } = await child.exited;
      if (code !== 0) throw new Error(`The SQLite child failed: ${child.outputTail()}`);
      return JSON.parse(child.outputTail()) as Measurement;
    } finally {
      folder.remove();
    }
  }
}
