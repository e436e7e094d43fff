/**
 * The real state machine over the real SQLite, with the product's executor for those who use the
 * database; all in one thread.
 */
import type { Library } from "../../../ffi/library.ts";
import { assert } from "../../../lib/base/assert.ts";
import { crc32c } from "../../../lib/base/crc32c.ts";
import { Connection } from "../../../lib/database/connection.ts";
import { ReplicaHandle } from "../../../lib/database/replica_handle.ts";
import type { Clock } from "../../../lib/io/clock.ts";
import { sha256 } from "../../../lib/io/hash.ts";
import type { LogIndex, SnapshotBase } from "../../../lib/raft/types.ts";
import { ClaimPace } from "../../../lib/replica/claim_pace.ts";
import { databasePath } from "../../../lib/replica/database_paths.ts";
import { SqliteMachine } from "../../../lib/replica/sqlite_machine.ts";
import type {
  Captured,
  CommittedSeqs,
  EarlierPayload,
} from "../../../lib/replica/state_machine.ts";
import { BriefRunner } from "../../../lib/session/brief_runner.ts";
import { Executor } from "../../../lib/session/executor.ts";
import type { FromWorker, Job, JobResult } from "../../../lib/session/worker_messages.ts";
import { MAIN_DATABASE_ID } from "../../../lib/wire/command.ts";
import { jsonText } from "../../../lib/wire/hrana/encode.ts";
import type { StreamRequest } from "../../../lib/wire/hrana/types.ts";
import { require } from "../checkers/violation.ts";
import type { Content, Head, MachineOptions, PageCopy, SimulatedMachine } from "../database.ts";
import { PowerCut } from "../faults.ts";
import { headFrom, headOf, SqliteContent } from "./content.ts";
import { DatabaseFiles } from "./files.ts";
import { HEAD_SQL, type Step, type Transaction, transactionOf } from "./sql.ts";

/** What all machines of a run share. */
export interface SqliteOptions {
  readonly library: Library;
  readonly pageBytes: number;
  /** Bound of an entry, small, so that batches have parts. */
  readonly payloadBytesMax: number;
}

/** A transaction that takes its time. */
interface Open {
  readonly id: number;
  readonly transaction: Transaction;
  /** Size of the WAL before it. */
  readonly walBytes: number;
}

/** One in so many transactions takes its time, in thousandths. */
const SLOW_PERMILLE = 300;
/** One in so many transactions meets an old reader, in thousandths. */
const READER_PERMILLE = 60;

/** Batches between two digests that a leader tells. */
const CLAIM_BATCHES = 2;

/** Checkpoints in the middle of which the power goes off, in thousandths. */
const CUT_PERMILLE = 200;

/** Stands still, so that what is run at once is as fast as it has to be. */
const STILL: Clock = { nowMs: () => 0, wallMs: () => 0, after: () => () => {}, soon: () => {} };

const HEAD_STATEMENT = { sql: HEAD_SQL, args: [], namedArgs: [], wantRows: true };
const READ: readonly StreamRequest[] = [{ type: "execute", stmt: HEAD_STATEMENT }, {
  type: "close",
}];

/** See the file comment. */
export class SimulatedSqlite implements SimulatedMachine {
  readonly #options: MachineOptions;
  readonly #sqlite: SqliteOptions;
  readonly #files: DatabaseFiles;
  readonly #machine: SqliteMachine;
  #executor: Executor | undefined;
  #brief: BriefRunner | undefined;
  #posted: FromWorker[] = [];
  #lastJobId = 0;
  #leading = false;
  #ended = false;
  #open: Open | undefined;
  /** Holds an old snapshot. */
  #reader: Connection | undefined;
  /** Local transactions by the number of their commit. */
  #local: { readonly seq: number; readonly id: number; readonly spilled: boolean }[] = [];
  #drainedSeq = 0;
  #content: SqliteContent | undefined;
  /** Whether a batch is applied in part. */
  #inBatch = false;
  #copyCut = false;
  /** The first entry since this life began, or an office ended. */
  #firstApplied: LogIndex | undefined;

  /** @param folder A real one, to be made. */
  constructor(options: MachineOptions, sqlite: SqliteOptions, folder: string) {
    this.#options = options;
    this.#sqlite = sqlite;
    this.#files = new DatabaseFiles(options.disk, folder);
    if (options.disk.exists(`${databasePath(options.folder)}-wal`)) {
      options.counters.hit("local log of an earlier life left behind");
    }
    this.#machine = new SqliteMachine({
      disk: options.disk,
      folder: options.folder,
      payloadBytesMax: sqlite.payloadBytesMax,
      newClaimPace: () => new ClaimPace(undefined, CLAIM_BATCHES),
      onDiverged: (_id, { index }) =>
        require(false, () => `the leader says to have held other pages after entry ${index}`),
      openHandle: (path) => {
        this.#files.open(path);
        return ReplicaHandle.open(sqlite.library, this.#files.path);
      },
    });
    this.#copyCut = this.consistentIndex > this.checkpointIndex;
  }

  /** Snapshots travel over the pages of the other mode. */
  get transfer(): undefined {
    return undefined;
  }

  get installing(): boolean {
    return this.#machine.installing;
  }

  get installed(): SnapshotBase | undefined {
    return this.#machine.installed;
  }

  get diverged(): LogIndex | undefined {
    return this.#machine.diverged;
  }

  markDiverged(index: LogIndex): void {
    this.#machine.markDiverged(index);
  }

  beginInstall(): void {
    this.#machine.beginInstall();
  }

  completeInstall(base: SnapshotBase, fuzzyIndex: LogIndex): void {
    this.#machine.completeInstall(base, fuzzyIndex);
  }

  partOf(payload: Uint8Array): { readonly first: boolean; readonly last: boolean } {
    return this.#machine.partOf(payload);
  }

  get checkpointIndex(): LogIndex {
    return this.#machine.checkpointIndex;
  }

  get consistentIndex(): LogIndex {
    return this.#machine.consistentIndex;
  }

  get exists(): boolean {
    return this.#machine.exists;
  }

  get content(): Content {
    this.#content ??= new SqliteContent(this.#sqlite.library, this.#files.path);
    return this.#content;
  }

  lastSeq(): number {
    return this.#machine.lastSeq();
  }

  releasedSeq(): number {
    return this.#machine.releasedSeq();
  }

  apply(index: LogIndex, payload: Uint8Array, earlier: EarlierPayload): boolean {
    const { events, disk, folder, counters } = this.#options;
    if (!this.#inBatch) events.applying(index);
    if (!this.exists && disk.exists(databasePath(folder))) events.createdAgain();
    this.#firstApplied ??= index;
    const firstApplied = this.#firstApplied;
    const verified = this.#machine.verifiedIndex;
    const whole = this.#machine.apply(index, payload, (at) => {
      if (at < firstApplied) counters.hit("batch in parts begun before this life or office");
      return earlier(at);
    });
    if (this.#machine.verifiedIndex !== verified) counters.hit("pages found equal to the leader's");
    if (!whole && !this.#inBatch) events.batchInParts(2);
    this.#inBatch = !whole;
    if (whole) {
      this.#content = undefined;
      if (this.#copyCut && index >= this.consistentIndex) {
        this.#copyCut = false;
        counters.hit("file mended that a crash left half copied");
      }
    }
    return whole;
  }

  lead(): void {
    assert(this.#local.length === 0, "transactions of an earlier office are left");
    this.#leading = true;
    this.#firstApplied = undefined;
    this.#machine.lead();
    this.#drainedSeq = this.#machine.lastSeq();
  }

  follow(): void {
    this.#leading = false;
    this.#machine.follow();
  }

  captured(id: number): void {
    this.#machine.captured(id);
  }

  drain(): Captured | undefined {
    const captured = this.#machine.drain();
    if (captured === undefined) return undefined;
    this.#options.world.note(crc32c(captured.payload));
    if (captured.complete) {
      this.#options.events.merged(captured.seq - this.#drainedSeq);
      this.#drainedSeq = captured.seq;
    }
    return captured;
  }

  release(id: number, seq: number, index: LogIndex): void {
    this.#machine.release(id, seq, index);
    this.#local = this.#local.filter((one) => one.seq > seq);
  }

  rewind(committed: CommittedSeqs): boolean {
    const seq = committed(MAIN_DATABASE_ID) ?? this.releasedSeq();
    const { world, settings, events, counters } = this.#options;
    const inTheWay = world.chance(settings.rewindBusyPermille);
    // It sees what is to be taken back.
    using reader = inTheWay ? this.#openReader() : undefined;
    const done = this.#machine.rewind(() => seq);
    if (reader !== undefined && !done) events.rewindDelayed();
    require(done || reader !== undefined, () => "nobody is in the way of a rewind that fails");
    if (!done) return false;
    const rewound = this.#local.filter((one) => one.seq > seq);
    events.rewound(rewound.map(({ id }) => id));
    if (rewound.some(({ spilled }) => spilled)) counters.hit("transaction that spilled rewound");
    this.#local = [];
    this.#content = undefined;
    if (reader === undefined) events.released(this.content);
    return true;
  }

  read(quick: boolean): Head {
    const job = { id: ++this.#lastJobId, streamId: undefined, requests: READ, writable: false };
    const brief = quick ? this.#runBriefly(job) : undefined;
    if (brief !== undefined) {
      this.#options.counters.hit("read run at once");
      return headOfResult(brief);
    }
    const [reply] = this.#ask({ type: "run", jobs: [job], grant: undefined });
    assert(reply?.type === "done", "a read is answered");
    return headOfResult(reply.results[0]!);
  }

  begin(id: number): boolean {
    const { world } = this.#options;
    if (!world.chance(SLOW_PERMILLE)) return false;
    const transaction = transactionOf(id, this.content.count === 0);
    this.#open = { id, transaction, walBytes: this.#files.walBytes() };
    this.#run([...transaction.before, ...transaction.work], id);
    return true;
  }

  write(id: number): number | undefined {
    const { world } = this.#options;
    if (this.#open !== undefined) return this.#finish(this.#open);
    if (!this.#leading) return undefined;
    if (this.#reader === undefined && world.chance(READER_PERMILLE)) {
      this.#reader = this.#openReader();
    }
    const transaction = transactionOf(id, this.content.count === 0);
    const { before, work, end } = transaction;
    return this.#committed(id, transaction, this.#run([...before, ...work, ...end], undefined));
  }

  beginCheckpoint(index: LogIndex): void {
    this.#machine.beginCheckpoint(index);
  }

  /** SQLite copies all at once; it reaches the simulated disk in halves. */
  beginCopy(): PageCopy {
    const { counters, world, settings } = this.#options;
    const files = this.#files;
    const pageBytes = this.#sqlite.pageBytes;
    const copy = { complete: false };
    let changes: ReturnType<DatabaseFiles["changes"]> | undefined;
    const first = () => {
      const [reply] = this.#ask({ type: "checkpoint", id: 1 });
      assert(reply?.type === "checkpoint_done", "a checkpoint is answered");
      require(reply.error === undefined, () => `the checkpoint fails: ${reply.error?.message}`);
      copy.complete = reply.result?.limitReached === true;
      if (!copy.complete) counters.hit("checkpoint kept from its end by a reader");
      changes = files.changes(pageBytes);
      counters.observe("pages of a checkpoint", changes.pages.length);
      files.write(changes.pages.slice(0, changes.pages.length >>> 1));
    };
    const second = () => {
      assert(changes !== undefined, "the second half comes after the first");
      if (!settings.calm && world.chance(CUT_PERMILLE)) throw new PowerCut("checkpoint");
      files.write(changes.pages.slice(changes.pages.length >>> 1));
      files.sync(changes.sizeBytes);
      this.#dropReader();
    };
    return Object.assign(copy, { first, second });
  }

  completeCheckpoint(index: LogIndex): void {
    const { count, chain } = this.content;
    const digest = this.#files.digest();
    this.#options.events.copied(index, { count, chain, digest: () => digest });
    this.#machine.completeCheckpoint(index);
  }

  retire(): void {
    this.#brief?.reset();
  }

  letGo(): void {
    const { counters } = this.#options;
    if (this.#open !== undefined) {
      counters.hit("open transaction dropped");
      const spilled = this.#files.walBytes() > this.#open.walBytes;
      if (spilled) counters.hit("open transaction that spilled dropped");
    }
    this.#open = undefined;
    this.#dropReader();
    if (this.#executor !== undefined) this.#ask({ type: "reset" });
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#files.keepWal();
    this.close();
  }

  /** Gives back what is open, at the end of the run. */
  close(): void {
    this.#dropReader();
    this.#executor?.handle({ type: "reset" });
    this.#executor = undefined;
    this.#brief?.reset();
    this.#machine.closeAll();
    this.#files.close();
  }

  /** Commits the transaction that was begun, or finds that it cannot be. */
  #finish({ id, transaction }: Open): number | undefined {
    this.#open = undefined;
    const result = this.#run(transaction.end, id);
    if (result === undefined) {
      this.#options.counters.hit("open transaction refused at its commit");
    }
    return this.#committed(id, transaction, result);
  }

  #committed(
    id: number,
    { spills }: Transaction,
    result: JobResult | undefined,
  ): number | undefined {
    this.#content = undefined;
    if (result === undefined) return undefined;
    assert(result.captured, `transaction ${id} was not captured`);
    this.#local.push({ seq: result.seq, id, spilled: spills });
    return result.seq;
  }

  /**
   * Runs steps as one pipeline that holds the write turn.
   *
   * @param streamId Of a stream that stays open until its transaction ends.
   * @returns Undefined when the node does not lead any more.
   */
  #run(steps: readonly Step[], streamId: number | undefined): JobResult | undefined {
    const requests: StreamRequest[] = steps.map(({ sql }) => ({ type: "sequence", sql }));
    const last = steps.at(-1)?.sql === "COMMIT";
    if (last) requests.push({ type: "close" });
    const jobId = ++this.#lastJobId;
    const job = { id: jobId, streamId, requests, writable: true };
    const [reply] = this.#ask({ type: "run", jobs: [job], grant: jobId });
    assert(reply?.type === "granted_done", "a job that holds the turn ends");
    const result = reply.results[0]!;
    const failed = steps.findIndex(({ fails = false }, at) =>
      (JSON.parse(jsonText(result.results[at] ?? '{"type":"error"}')) as { type: string }).type !==
        (fails ? "error" : "ok")
    );
    if (failed === -1) return result;
    require(
      !this.#leading,
      () => `${steps[failed]!.sql}: ${result.results[failed] ?? result.refused?.message}`,
    );
    return undefined;
  }

  /** As the product does it in the thread that runs consensus. */
  #runBriefly(job: Job): JobResult | undefined {
    const { path } = this.#files;
    const { library } = this.#sqlite;
    this.#brief ??= new BriefRunner({ library, databasePath: path, clock: STILL });
    if (!this.#brief.mayRun(job)) return undefined;
    // Every other write goes the way of those that come together.
    const together = job.writable && job.id % 2 === 0
      ? this.#brief.runTogether([job], Infinity)
      : [];
    return together[0] ?? this.#brief.run(job);
  }

  #ask(message: Parameters<Executor["handle"]>[0]): FromWorker[] {
    this.#executor ??= new Executor({
      library: this.#sqlite.library,
      databasePath: this.#files.path,
      nowMs: () => 0,
      post: (posted) => void this.#posted.push(posted),
      sha256,
    });
    this.#executor.handle(message);
    return this.#posted.splice(0);
  }

  #openReader(): Connection {
    const { library } = this.#sqlite;
    const reader = Connection.open(library, this.#files.path, { role: "session" });
    reader.exec("BEGIN");
    headOf(reader);
    return reader;
  }

  #dropReader(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }
}

/** What the client of a read is told. */
function headOfResult({ results }: JobResult): Head {
  const text = jsonText(results[0] ?? "");
  // The first transaction makes the tables.
  if (text.includes("no such table: head")) return { count: 0, chain: 0 };
  require(text.startsWith('{"type":"ok"'), () => `a read fails: ${text}`);
  const { response } = JSON.parse(text) as {
    response: { result: { rows: readonly (readonly { value: string }[])[] } };
  };
  return headFrom(response.result.rows[0]!.map(({ value }) => Number(value)));
}
