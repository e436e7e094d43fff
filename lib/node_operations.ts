/** The node as its HTTP server sees it: status, leadership, and what operators may ask for. */
import type { ArchiveStatus } from "./archive/archiver.ts";
import { VERSION } from "./base/version.ts";
import { DatabaseError } from "./base/errors.ts";
import type { Membership, TargetRole } from "./cluster/membership.ts";
import type { Clock } from "./io/clock.ts";
import type { Raft } from "./raft/raft.ts";
import { roleOf } from "./raft/configuration.ts";
import type { NodeIntegrity } from "./node_integrity.ts";
import type { Member, MemberRole, NodeId, Role } from "./raft/types.ts";
import type { Replica } from "./replica/replica.ts";
import type { SqliteMachine } from "./replica/sqlite_machine.ts";
import type {
  CheckpointReport,
  ClusterStatus,
  DatabaseDigest,
  DatabaseSummary,
  Leadership,
  Operations,
  Readiness,
  ScrubRound,
} from "./server/types.ts";
import type { Backup, Backups } from "./session/backups.ts";
import type { Databases } from "./session/databases.ts";
import type { Maintenance } from "./session/maintenance.ts";
import type { Restores } from "./session/restores.ts";

/** The running parts that status and operations look at. */
export interface RunningParts {
  readonly clusterId: string;
  readonly raft: Raft;
  readonly replica: Replica;
  readonly machine: SqliteMachine;
  readonly membership: Membership;
  readonly maintenance: Maintenance;
  readonly databases: Databases;
  readonly backups: Backups;
  readonly restores: Restores;
  readonly integrity: NodeIntegrity;
  /** Undefined on a node without an archive. */
  readonly archive: () => ArchiveStatus | undefined;
}

/** How often a wait for a leader looks again. */
const LEADER_POLL_MS = 10;

/** Answers for a node that may still be joining its cluster: then there are no parts yet. */
export class NodeOperations implements Operations, Leadership {
  readonly #nodeId: NodeId;
  readonly #clock: Clock;
  #parts: RunningParts | undefined;
  #left = false;

  constructor(nodeId: NodeId, clock: Clock) {
    this.#nodeId = nodeId;
    this.#clock = clock;
  }

  /** The node has joined: from now on there is something to tell. */
  attach(parts: RunningParts): void {
    this.#parts = parts;
  }

  /** The node was removed: whoever waits for a leader waits in vain. */
  leave(): void {
    this.#left = true;
  }

  /** @throws {DatabaseError} `NO_LEADER` while the node is not part of a cluster. */
  running(): RunningParts {
    if (this.#parts !== undefined) return this.#parts;
    throw new DatabaseError("NO_LEADER", "This node has not joined its cluster yet", {
      hint: "See the node's log for whom it asks, and what it is told",
    });
  }

  clusterStatus(): ClusterStatus {
    const { clusterId, raft, replica, integrity, archive } = this.running();
    const status = raft.status();
    const { configuration } = status;
    const leader = memberOf(configuration.members, status.leader);
    const peers = new Map(status.peers.map((peer) => [peer.id, peer]));
    return {
      clusterId,
      nodeId: this.#nodeId,
      version: VERSION,
      role: roleName(status.role, roleOf(configuration, this.#nodeId)),
      term: status.term,
      leader: leader ?? null,
      commitIndex: status.commitIndex,
      appliedIndex: replica.appliedIndex,
      recovering: status.recovering,
      lastIndex: status.lastIndex,
      members: configuration.members.map((member) => {
        const peer = peers.get(member.id);
        return {
          ...member,
          role: roleOf(configuration, member.id)!,
          leader: member.id === status.leader,
          ...(peer === undefined ? {} : {
            active: peer.active,
            matchIndex: peer.matchIndex,
            recovering: peer.recovering,
          }),
        };
      }),
      integrity: integrity.status,
      archive: archive() ?? null,
    };
  }

  readiness(): Readiness {
    if (this.#parts === undefined) return { leaderKnown: false, appliedIndex: 0, requiredIndex: 1 };
    const { raft, replica, machine } = this.#parts;
    const leads = raft.role === "leader";
    return {
      leaderKnown: leads ? replica.mode === "leading" : raft.leader !== undefined,
      // While a snapshot takes the database's place there is none.
      appliedIndex: replica.mode === "installing" ? 0 : replica.appliedIndex,
      // A spare holds no data, and passes everything on.
      requiredIndex: raft.isSpare ? 0 : Math.max(1, machine.consistentIndex),
    };
  }

  leaderUrl(): string | undefined {
    if (this.#parts === undefined) return undefined;
    const { leader, configuration } = this.#parts.raft.status();
    if (leader === this.#nodeId) return undefined;
    return memberOf(configuration.members, leader)?.httpUrl;
  }

  async waitForLeader(deadlineMs: number): Promise<boolean> {
    while (!this.#leaderKnown()) {
      if (this.#left) throw new DatabaseError("SHUTTING_DOWN", "This node left its cluster");
      if (this.#clock.nowMs() >= deadlineMs) return false;
      await new Promise<void>((resolve) => void this.#clock.after(LEADER_POLL_MS, resolve));
    }
    return true;
  }

  remove(id: NodeId): Promise<void> {
    return this.running().membership.remove(id);
  }

  assign(id: NodeId, role: TargetRole): Promise<MemberRole> {
    return this.running().membership.assign(id, role);
  }

  transfer(id: NodeId | undefined): Promise<void> {
    return this.running().membership.transfer(id);
  }

  async databases(): Promise<DatabaseSummary[]> {
    return (await this.running().databases.list()).map(({ name, id }) => ({ name, id }));
  }

  async createDatabase(name: string): Promise<DatabaseSummary> {
    const { id } = await this.running().databases.create(name);
    return { name, id };
  }

  dropDatabase(name: string): Promise<void> {
    return this.running().databases.drop(name);
  }

  async checkpoint(): Promise<CheckpointReport> {
    const { index } = await this.running().maintenance.checkpoint();
    return { index };
  }

  async digest(name: string | undefined): Promise<DatabaseDigest> {
    const { databases, maintenance } = this.running();
    const { database, letGo } = databases.acquire(name);
    try {
      return await maintenance.digest(database);
    } finally {
      letGo();
    }
  }

  async backup(name: string | undefined, { stale }: { readonly stale: boolean }): Promise<Backup> {
    const { databases, backups } = this.running();
    return await backups.begin({ stale, acquire: () => databases.acquire(name) });
  }

  restores(): Restores {
    return this.running().restores;
  }

  scrub(): Promise<ScrubRound> {
    return this.running().integrity.scrub();
  }

  #leaderKnown(): boolean {
    if (this.#parts === undefined) return false;
    return this.#parts.replica.mode === "leading" || this.leaderUrl() !== undefined;
  }
}

function memberOf(members: readonly Member[], id: NodeId | undefined): Member | undefined {
  return members.find((member) => member.id === id);
}

function roleName(role: Role, membership: MemberRole | undefined): ClusterStatus["role"] {
  if (role === "leader") return "leader";
  if (role !== "follower") return "candidate";
  return membership === undefined || membership === "voter" ? "follower" : membership;
}
