/**
 * The pages of this node's database and its log, watched over: what is put together here finds
 * damage, mends it from other nodes, and sees to it that a replica which differs does not answer.
 */
import { DatabaseError } from "./base/errors.ts";
import { REPAIR_BYTES_MAX, REPAIR_TIMEOUT_MS } from "./base/limits.ts";
import type { PageSet } from "./database/page_integrity.ts";
import { DivergenceJudge } from "./integrity/divergence.ts";
import { Healing } from "./integrity/healing.ts";
import {
  ASK_DIGEST,
  ASK_PAGES,
  pagesToJson,
  parseDigest,
  parseDigestQuestion,
  parsePages,
  parsePagesQuestion,
  TELL_DIVERGED,
} from "./integrity/questions.ts";
import { Repairer } from "./integrity/repairer.ts";
import { Scrubber, type ScrubReport } from "./integrity/scrubber.ts";
import type { Clock } from "./io/clock.ts";
import type { Network } from "./io/network.ts";
import type { RaftLog } from "./log/types.ts";
import type { Log } from "./observe/log.ts";
import type { Raft } from "./raft/raft.ts";
import type { LogIndex, Member } from "./raft/types.ts";
import type { Replica } from "./replica/replica.ts";
import type { SqliteMachine } from "./replica/sqlite_machine.ts";
import type { IntegrityStatus } from "./server/types.ts";
import { FileTasks } from "./session/file_tasks.ts";
import type { Maintenance } from "./session/maintenance.ts";
import type { FromWorker } from "./session/worker_messages.ts";
import type { WorkerPool } from "./session/worker_pool.ts";
import { controlCall } from "./transport/control_call.ts";
import type { DigestClaim, PageDigest } from "./wire/command.ts";

/** What it watches, and works with. */
export interface IntegrityOptions {
  readonly clusterId: string;
  readonly raft: Raft;
  readonly raftLog: RaftLog;
  readonly replica: Replica;
  readonly machine: SqliteMachine;
  readonly pool: WorkerPool;
  readonly maintenance: Maintenance;
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  /** Pages that snapshots brought since the start. */
  readonly takenPages: () => number;
  /** The node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

/** Time another node has to tell a digest. */
const DIGEST_TIMEOUT_MS = 1_000;

/** See the file comment. */
export class NodeIntegrity {
  readonly #options: IntegrityOptions;
  readonly #tasks: FileTasks;
  readonly #scrubber: Scrubber;
  readonly #repairer: Repairer;
  readonly #judge: DivergenceJudge;
  readonly #healing: Healing;

  constructor(options: IntegrityOptions) {
    this.#options = options;
    const { clock, log, raft, raftLog, machine, pool, maintenance } = options;
    const tasks = new FileTasks(pool);
    this.#tasks = tasks;
    const mayRead = () => this.#mayRead;
    const damagedPages = () => machine.hashes()?.damagedPages ?? 0;
    this.#repairer = new Repairer({
      tasks,
      clock,
      log,
      damagedPages,
      mayRead,
      sources: () => this.#others(),
      ask: (source, pages) => this.#askPages(source, pages),
      checkpoint: () => maintenance.checkpoint(),
    });
    this.#scrubber = new Scrubber({
      tasks,
      raftLog,
      clock,
      log,
      mayRead,
      pageBytes: () => machine.pageBytes(),
      unknownPages: () => machine.hashes()?.unknownPages ?? 0,
      onDamage: () => this.#repairer.hurry(),
    });
    this.#judge = new DivergenceJudge({
      nodeId: raft.status().id,
      clock,
      log,
      members: () => raft.status().configuration.members,
      leader: () => raft.leader,
      digestAt: (index) => this.#digestAt(index),
      ask: async (member, index) =>
        parseDigest(await this.#call(member, ASK_DIGEST, { index }, DIGEST_TIMEOUT_MS)),
      accuse: (leader, index) => this.#call(leader, TELL_DIVERGED, { index }, DIGEST_TIMEOUT_MS),
      onDiverged: ({ index }) => {
        if (!this.#healing.found(index)) this.#judge.healed();
      },
    });
    const { replica, takenPages, onFatal } = options;
    this.#healing = new Healing({
      clock,
      log,
      unfinished: machine.diverged,
      mayHeal: () => this.#mayHeal,
      heal: (index) => replica.heal(index),
      takenPages,
      verifiedIndex: () => machine.verifiedIndex,
      onFatal,
    });
  }

  start(): void {
    this.#scrubber.start();
    this.#repairer.start();
  }

  stop(): void {
    this.#judge.stop();
    this.#repairer.stop();
    this.#scrubber.stop();
    this.#tasks.stop();
  }

  /** Takes a worker's message that answers one of its tasks. */
  receive(message: FromWorker): void {
    this.#tasks.receive(message);
  }

  /** The leader says to have held other pages than this node. */
  differs(claim: DigestClaim, own: PageDigest): void {
    void this.#judge.differs(claim, own);
  }

  /** Damaged pages were found. */
  repairSoon(): void {
    this.#repairer.hurry();
  }

  /** The database was replaced by what the others hold. */
  healed(): void {
    this.#judge.healed();
    this.#healing.healed();
    // It learns what the new pages are, so that digests tell again whether they are the right ones.
    this.#scrubber.hurry();
  }

  /** Goes over everything once, now. */
  scrub(): Promise<ScrubReport> {
    return this.#scrubber.run();
  }

  get status(): IntegrityStatus {
    const hashes = this.#options.machine.hashes();
    const { rounds, page, lastRound } = this.#scrubber.status;
    return {
      verifiedIndex: this.#options.machine.verifiedIndex,
      unknownPages: hashes?.unknownPages ?? 0,
      damagedPages: hashes?.damagedPages ?? 0,
      repairedPages: this.#repairer.repairedPages,
      diverged: this.#options.replica.diverged || this.#judge.diverged !== undefined,
      healing: this.#healing.status ?? null,
      scrub: { rounds, page, lastRound: lastRound ?? null },
    };
  }

  /**
   * Answers a question of another node.
   *
   * @returns Undefined when the question is about something else.
   */
  answer(method: string, params: unknown): Promise<unknown> | undefined {
    switch (method) {
      case ASK_PAGES:
        return this.#readPages(parsePagesQuestion(params));
      case ASK_DIGEST:
        return Promise.resolve(this.#digestAt(parseDigestQuestion(params)) ?? null);
      case TELL_DIVERGED:
        void this.#judge.accused(parseDigestQuestion(params));
        return Promise.resolve(null);
      default:
        return undefined;
    }
  }

  /** Whether the file shows one state, and nobody replaces it. */
  get #mayRead(): boolean {
    const { replica, machine } = this.#options;
    return replica.readable && machine.exists && this.#judge.diverged === undefined;
  }

  /** Whether somebody else can have the right database: a voter that leads, or is to. */
  get #mayHeal(): boolean {
    const { id, configuration: { voters } } = this.#options.raft.status();
    return voters.some((voter) => voter !== id);
  }

  #digestAt(index: LogIndex): PageDigest | undefined {
    const { replica, machine } = this.#options;
    return index <= replica.appliedIndex ? machine.digestAt(index) : undefined;
  }

  async #readPages(pages: readonly number[]): Promise<unknown> {
    if (!this.#mayRead) throw new DatabaseError("BUSY", "This node has no pages to give now");
    const task = { type: "read", pages, bytesMax: REPAIR_BYTES_MAX } as const;
    return pagesToJson(await this.#tasks.run(task));
  }

  async #askPages(source: Member, pages: readonly number[]): Promise<PageSet> {
    return parsePages(await this.#call(source, ASK_PAGES, { pages }, REPAIR_TIMEOUT_MS));
  }

  #call(member: Member, method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    const { network, clock, clusterId } = this.#options;
    const { address } = member;
    return controlCall({ network, clock, address, clusterId, method, params, timeoutMs });
  }

  /** The other members, the leader first. */
  #others(): Member[] {
    const { id: own, configuration, leader } = this.#options.raft.status();
    return configuration.members
      .filter(({ id }) => id !== own)
      .sort((one, other) => Number(other.id === leader) - Number(one.id === leader));
  }
}
