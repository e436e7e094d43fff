import { startProcess, temporaryFolder } from "../../../lib/io/process.ts";
import type { Measurement } from "../measurement.ts";
import type { EmbeddedSystem, WorkloadKind } from "./system.ts";

/** What the child that measures plain SQLite is told. */
export interface SqliteJob {
  readonly folder: string;
  readonly synced: boolean;
  readonly kind: WorkloadKind;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** SQLite alone, in one process, in WAL mode: what a single machine can do without a network. */
export class PlainSqlite implements EmbeddedSystem {
  readonly type = "embedded";
  readonly name = "sqlite";
  readonly labels = ["synced", "unsynced"];

  async version(): Promise<string> {
    const module = "node:sqlite";
    const { DatabaseSync } = await import(module);
    const database = new DatabaseSync(":memory:");
    const row = database.prepare("SELECT sqlite_version() AS version").get();
    database.close();
    return String(row.version);
  }

  async measure(
    label: string,
    kind: WorkloadKind,
    times: { readonly warmupMs: number; readonly measureMs: number },
  ): Promise<Measurement> {
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
