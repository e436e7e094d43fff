/**
 * Puts one node together: the only place that makes the parts of every layer. It starts them in
 * order, bottom up; what was started is on a stack that lets go of it in reverse, also when a later
 * part fails.
 */
import type { Library } from "../ffi/library.ts";
import { openLibrary } from "../ffi/open.ts";
import { DatabaseError, messageOf } from "./base/errors.ts";
import { type Random, SeededRandom } from "./base/random.ts";
import { VERSION } from "./base/version.ts";
import { Membership } from "./cluster/membership.ts";
import { Roster } from "./cluster/roster.ts";
import { parseAddress } from "./io/address.ts";
import { systemClock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import { NodeDisk } from "./io/disk_node.ts";
import { randomToken, randomU32, randomU53 } from "./io/entropy.ts";
import { type DataFolder, openFolder } from "./io/folder.ts";
import { SocketHttpClient } from "./io/http_client.ts";
import { httpUrl } from "./io/http_server.ts";
import type { Network } from "./io/network.ts";
import { runtimeNetwork } from "./io/network_runtime.ts";
import type { TwinProblem } from "./io/twin_file.ts";
import { spawnSqlWorker } from "./io/worker.ts";
import type { SegmentLog } from "./log/segment_log.ts";
import type { LogSpace } from "./log/types.ts";
import { isEveryAddress, reachable } from "./node_address.ts";
import { NodeArchive, type NodeArchiveParts } from "./node_archive.ts";
import { answerControl, keepInTouch } from "./node_control.ts";
import { newCopies } from "./node_copies.ts";
import { enterCluster } from "./node_entry.ts";
import { newDatabases, newMachine } from "./node_databases.ts";
import { NodeIntegrity } from "./node_integrity.ts";
import { NodeOperations } from "./node_operations.ts";
import type { NodeOptions } from "./node_options.ts";
import { restoredRaft, TICK_MS } from "./node_raft.ts";
import { tellApplySpace, tellLogSpace } from "./node_space.ts";
import { NodeUpkeep, type UpkeepOptions } from "./node_upkeep.ts";
import { type Log, silentLog } from "./observe/log.ts";
import type { Raft } from "./raft/raft.ts";
import type { Member, NodeId } from "./raft/types.ts";
import { Replica } from "./replica/replica.ts";
import type { ReplicaOptions } from "./replica/replica_options.ts";
import { knownCommitIndex } from "./replica/snapshot_install.ts";
import { databasePath } from "./replica/database_paths.ts";
import type { SqliteMachine } from "./replica/sqlite_machine.ts";
import { limitTransactions } from "./replica/transaction_limit.ts";
import { Server } from "./server/server.ts";
import { BriefRunners } from "./session/brief_runners.ts";
import type { Databases } from "./session/databases.ts";
import { Maintenance } from "./session/maintenance.ts";
import { SessionManager } from "./session/session_manager.ts";
import { type SpawnWorker, WorkerPool } from "./session/worker_pool.ts";
import { Transport } from "./transport/transport.ts";
import type { Identity } from "./transport/types.ts";

const DEFAULT_LISTEN = "127.0.0.1:9001";
const DEFAULT_HTTP = "127.0.0.1:8080";
/** Time that requests under way have to finish when the node stops. */
const STOP_GRACE_MS = 2_000;

/** What a started node is made of, as far as its face needs it. */
export interface StartedNode {
  readonly member: Member;
  readonly sessions: SessionManager;
  readonly operations: NodeOperations;
}

/** Where a node meets the world. */
export interface NodeEdges {
  readonly disk: Disk;
  readonly network: Network;
  readonly openLibrary: () => Promise<Library>;
  readonly spawnWorker: SpawnWorker;
}

/** The machine's own. */
export function machineEdges(): NodeEdges {
  return {
    disk: new NodeDisk(),
    network: runtimeNetwork(),
    openLibrary,
    spawnWorker: spawnSqlWorker,
  };
}

/** Starts one node; used once. */
export class NodeStarter {
  readonly #options: NodeOptions;
  readonly #stack: AsyncDisposableStack;
  readonly #log: Log;
  readonly #edges: NodeEdges;
  readonly #disk: Disk;
  readonly #network: Network;
  readonly #clock = systemClock;
  readonly #random: Random = new SeededRandom(randomU32());
  /** Names this start of the node, among all of them. */
  readonly #bootId = randomU53();
  #stopped = false;
  #recovering = false;
  #clusterId: string | undefined;
  #address: string | undefined;
  #replica: Replica | undefined;
  #raft: Raft | undefined;
  #membership: Membership | undefined;
  #maintenance: Maintenance | undefined;
  #upkeep: NodeUpkeep | undefined;
  #integrity: NodeIntegrity | undefined;
  #pool: WorkerPool | undefined;
  #brief: BriefRunners | undefined;
  #databases: Databases | undefined;
  #sessions: SessionManager | undefined;
  #machine: SqliteMachine | undefined;
  #archive: NodeArchive | undefined;
  #operations: NodeOperations | undefined;
  #roster: Roster | undefined;

  /**
   * @param stack Takes everything that was started.
   * @param edges Others than the machine's own, to watch what crosses them.
   */
  constructor(options: NodeOptions, stack: AsyncDisposableStack, edges = machineEdges()) {
    this.#edges = edges;
    this.#disk = edges.disk;
    this.#network = edges.network;
    this.#options = options;
    this.#stack = stack;
    this.#log = options.log ?? silentLog;
  }

  /** See `Node.start`. */
  async start(): Promise<StartedNode> {
    const { archive } = this.#options;
    this.#archive = archive && new NodeArchive(archive);
    const folder = openFolder(this.#disk, this.#options.dir);
    this.#stack.defer(() => folder.close());
    this.#tellMended(folder.mended);
    const { nodeId } = folder.identity;
    this.#clusterId = folder.identity.clusterId;
    this.#roster = new Roster({ disk: this.#disk, folder: folder.path, nodeId, log: this.#log });
    const operations = new NodeOperations(nodeId, this.#clock);
    this.#operations = operations;
    const sessions = this.#newSessions(operations);
    this.#sessions = sessions;
    const transport = this.#newTransport(nodeId);
    this.#stack.defer(() => transport.close());
    const address = await transport.listen(this.#options.listen ?? DEFAULT_LISTEN);
    const server = await this.#startServer(nodeId, sessions, operations);
    // For a start that fails; a node that runs closes its server before everything else.
    this.#stack.defer(() => server.close(0));
    const member = this.#member(nodeId, address, server);
    this.#address = member.address;
    const log = await this.#enterCluster(folder, member);
    await this.#startReplica({ folder, log, transport, sessions, operations });
    this.#keepInTouch(member, this.#roster);
    this.#stack.defer(() => server.close(STOP_GRACE_MS));
    this.#stack.defer(() => void (this.#stopped = true));
    return { member, sessions, operations };
  }

  /** How others reach this node. */
  #member(id: NodeId, listening: string, server: Server): Member {
    const { advertise, advertiseHttp } = this.#options;
    const address = advertise ?? reachable(listening);
    return { id, address, httpUrl: advertiseHttp ?? this.#httpUrl(address, server) };
  }

  /** A server that listens on every address of the machine is reached by the advertised one. */
  #httpUrl(address: string, server: Server): string {
    const { host } = parseAddress(this.#options.http ?? DEFAULT_HTTP);
    return isEveryAddress(host) ? httpUrl(parseAddress(address).host, server.port) : server.url;
  }

  async #enterCluster(folder: DataFolder, member: Member): Promise<SegmentLog> {
    const { clusterId, log } = await enterCluster({
      folder,
      member,
      role: this.#options.role ?? "voter",
      seeds: this.#options.join ?? [],
      from: this.#options.from,
      disk: this.#disk,
      network: this.#network,
      clock: this.#clock,
      random: this.#random,
      log: this.#log,
      onFatal: (error) => this.#fail(error),
      onSpace: (space) => this.#observeSpace(space),
      stopped: () => this.#stopped,
    });
    this.#clusterId = clusterId;
    this.#stack.defer(() => new Promise<void>((resolve) => log.close(resolve)));
    const { torn, slotRepaired } = log.recovery;
    if (slotRepaired) this.#log.warn("mended a file of the hard state from the other one");
    if (torn !== undefined) this.#log.info("cut off a batch that was never acknowledged", torn);
    return log;
  }

  async #startReplica(parts: {
    readonly folder: DataFolder;
    readonly log: SegmentLog;
    readonly transport: Transport;
    readonly sessions: SessionManager;
    readonly operations: NodeOperations;
  }): Promise<void> {
    const { folder, log, transport, sessions, operations } = parts;
    const library = await this.#edges.openLibrary();
    const clock = this.#clock;
    const later = { databases: () => this.#databases, integrity: () => this.#integrity };
    const files = { library, disk: this.#disk, folder: folder.path };
    const machine = newMachine({ ...files, ...later, clock });
    this.#machine = machine;
    this.#tellMended(machine.mended);
    // Closes a file that SQLite must have closed before.
    this.#stack.defer(() => this.#upkeep?.close());
    this.#stack.defer(() => this.#archive?.close());
    this.#stack.defer(() => machine.closeAll());
    const { transactionBytesMax: bytesMax } = this.#options;
    const limited = { machine, clock: this.#clock, disk: this.#disk, folder: folder.path };
    const onFailure = (error: Error) => this.#fail(error);
    this.#stack.defer(limitTransactions({ ...limited, bytesMax, onFailure }));
    const pool = this.#newPool(library.path, folder.path, sessions);
    this.#pool = pool;
    const pathOf = (id: number) => databasePath(folder.path, id);
    const brief = new BriefRunners({ library, pathOf, clock });
    this.#brief = brief;
    this.#stack.defer(() => brief.reset());
    this.#stack.defer(() => pool.terminate());
    const start = { id: folder.identity.nodeId, random: this.#random, bootId: this.#bootId };
    const raft = restoredRaft(start, log, knownCommitIndex(log, machine));
    this.#raft = raft;
    const addressOf = transport.addressOf.bind(transport);
    const upkeep = this.#newUpkeep(folder, { raft, raftLog: log, machine, addressOf });
    this.#upkeep = upkeep;
    const { snapshots } = upkeep;
    const replica = this.#newReplica({ raft, log, machine, snapshots }, transport, sessions);
    this.#replica = replica;
    this.#stack.defer(() => replica.stop());
    this.#stack.defer(() => sessions.stop());
    const clusterId = this.#clusterId!;
    const core = { raft, replica, clock };
    const membership = new Membership({ ...core, clusterId, log: this.#log });
    this.#membership = membership;
    const onFatal = (error: Error) => this.#fail(error);
    const maintenance = new Maintenance({ ...core, machine, sessions, pool, onFatal });
    this.#maintenance = maintenance;
    const named = { ...core, machine, sessions, pool, folder: folder.path };
    const databases = newDatabases(named, library, maintenance);
    this.#databases = databases;
    const leaderUrl = () => operations.leaderUrl();
    const copies = newCopies(
      { ...core, maintenance, databases, sessions, pool, disk: this.#disk },
      { folder: folder.path, leaderUrl },
    );
    const running = { clusterId, raft, replica, machine, membership, maintenance, databases };
    const edges = { network: this.#network, clock, log: this.#log, onFatal };
    const takenPages = () => snapshots.writtenPages;
    this.#integrity = new NodeIntegrity({ ...running, ...edges, raftLog: log, pool, takenPages });
    const archive = () => this.#archive?.status;
    operations.attach({ ...running, integrity: this.#integrity, archive, ...copies });
    this.#recovering = log.recovering;
    transport.setPeers(raft.status().configuration.members);
    // Nobody else could lead: there is nothing to wait for.
    if (raft.status().configuration.voters.length === 1) raft.campaign();
    replica.start();
    membership.start();
    this.#stack.defer(() => this.#handOver(membership, raft));
    const { backups } = copies;
    upkeep.start({ replica, maintenance, sessions, databases, backups });
    this.#stack.defer(() => upkeep.stop());
    this.#integrity.start();
    this.#stack.defer(() => this.#integrity?.stop());
    this.#startArchive(folder, { raftLog: log, machine, replica, maintenance });
  }

  #startArchive(
    { path: folder }: DataFolder,
    parts: Pick<NodeArchiveParts, "raftLog" | "machine" | "replica" | "maintenance">,
  ): void {
    this.#archive?.start({
      ...parts,
      clusterId: this.#clusterId!,
      disk: this.#disk,
      folder,
      clock: this.#clock,
      log: this.#log,
      onFatal: (error) => this.#fail(error),
    });
    this.#stack.defer(() => this.#archive?.stop());
  }

  #keepInTouch(member: Member, roster: Roster): void {
    this.#stack.defer(keepInTouch({
      member,
      raft: this.#raft!,
      membership: this.#membership!,
      roster,
      seeds: this.#options.join ?? [],
      network: this.#network,
      clock: this.#clock,
      clusterId: this.#clusterId!,
      log: this.#log,
      onRemoved: () => this.#leave(),
    }));
  }

  #newSessions(operations: NodeOperations): SessionManager {
    return new SessionManager({
      replica: () => operations.running().replica,
      pool: () => this.#pool!,
      brief: () => this.#brief!,
      databases: () => operations.running().databases,
      clock: this.#clock,
      randomToken,
      leaderUrl: () => operations.leaderUrl(),
      interrupt: (owner) => this.#machine?.interrupt(owner),
    });
  }

  #newTransport(nodeId: NodeId): Transport {
    return new Transport({
      network: this.#network,
      clock: this.#clock,
      random: this.#random,
      identity: this.#identity(nodeId),
      servePages: (from, channel) => this.#upkeep?.serve(from, channel),
      events: {
        onMessage: (from, message) => this.#replica?.receive(from, message),
        onUnreachable: (peer) => {
          this.#raft?.onUnreachable(peer);
          this.#replica?.schedule();
        },
        onPeerBoot: (peer) => {
          this.#raft?.onPeerRestarted(peer);
          this.#replica?.schedule();
        },
        onReject: (reason, remote) =>
          this.#log.warn("refused a connection", { remote, reason: reason.message }),
        onControl: (method, params) =>
          answerControl(method, params, this.#clusterId, this.#membership, this.#integrity),
      },
    });
  }

  #startServer(
    nodeId: NodeId,
    sessions: SessionManager,
    operations: NodeOperations,
  ): Promise<Server> {
    const client = new SocketHttpClient(this.#clock);
    this.#stack.defer(() => client.close());
    const { host, port } = parseAddress(this.#options.http ?? DEFAULT_HTTP);
    return Server.start({
      hostname: host,
      port,
      nodeId,
      version: VERSION,
      sessions,
      operations,
      leadership: operations,
      client,
      clock: this.#clock,
      onFailure: (error) =>
        this.#log.error("a request failed in an unforeseen way", { reason: messageOf(error) }),
    });
  }

  #newPool(libraryPath: string, folder: string, sessions: SessionManager): WorkerPool {
    const setup = { libraryPath, databasePath: databasePath(folder) };
    return new WorkerPool(this.#edges.spawnWorker, {
      setup,
      clock: this.#clock,
      events: {
        onMessage: (worker, message) => {
          if (message.type === "failed") this.#fail(new Error(message.message));
          sessions.receive(worker, message);
          this.#maintenance?.receive(message);
          this.#integrity?.receive(message);
        },
        onError: (error) => this.#fail(error),
      },
    });
  }

  #newUpkeep(
    { path, identity: { nodeId } }: DataFolder,
    parts: Pick<UpkeepOptions, "raft" | "raftLog" | "machine" | "addressOf">,
  ): NodeUpkeep {
    return new NodeUpkeep({
      ...parts,
      disk: this.#disk,
      folder: path,
      network: this.#network,
      clock: this.#clock,
      identity: this.#identity(nodeId),
      log: this.#log,
      storage: this.#options.storage,
      archiveKeepsAfter: () => this.#archive?.keepAfter() ?? Infinity,
      onDamage: () => this.#integrity?.repairSoon(),
      onFatal: (error) => this.#fail(error),
    });
  }

  #identity(nodeId: NodeId): Identity {
    const clusterId = () => this.#clusterId;
    return { clusterId, nodeId, bootId: this.#bootId, address: () => this.#address };
  }

  #newReplica(
    parts: Pick<ReplicaOptions, "raft" | "log" | "machine" | "snapshots">,
    transport: Transport,
    sessions: SessionManager,
  ): Replica {
    const { raft } = parts;
    return new Replica({
      ...parts,
      sender: transport,
      clock: this.#clock,
      tickMs: TICK_MS,
      events: {
        onLeading: () => {
          this.#log.info("leading", { term: raft.term });
          sessions.writable();
        },
        onRetiring: (quiet) => {
          const leads = this.#replica?.mode !== "installing";
          if (leads) this.#log.warn("stopped leading", { term: raft.term });
          sessions.retire(quiet);
        },
        onHealed: () => this.#integrity?.healed(),
        onWritable: () => sessions.writable(),
        onChange: () => this.#observe(raft, transport),
        onApplySpace: (space) => tellApplySpace(this.#log, space),
        onFatal: (error) => this.#fail(error),
      },
    });
  }

  #observeSpace(space: LogSpace): void {
    tellLogSpace(this.#log, space);
    if (this.#replica !== undefined) this.#sessions?.spaceChanged();
  }

  #observe(raft: Raft, transport: Transport): void {
    const { configuration, role, term, leader, removed, recovering } = raft.status();
    if (this.#recovering && !recovering) {
      this.#log.info("recovered: the log holds all again that it ever held", { term });
    }
    this.#recovering = recovering;
    transport.setPeers(configuration.members);
    this.#log.debug("consensus", { role, term, leader });
    this.#roster?.observe(configuration.members);
    if (removed) this.#leave();
  }

  /** Leaves the cluster without a gap: another voter takes over before this one stops. */
  async #handOver(membership: Membership, raft: Raft): Promise<void> {
    membership.stop();
    if (raft.role !== "leader") return;
    try {
      await membership.transfer(undefined);
    } catch (error) {
      this.#log.debug("stops without handing over", { reason: messageOf(error) });
    }
  }

  #tellMended(problems: readonly TwinProblem[]): void {
    for (const { path, offset, expected } of problems) {
      this.#log.warn("mended a file from its other copy", { path, offset, expected });
    }
  }

  /** The cluster goes on without this node, which takes nothing more and is to be stopped. */
  #leave(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const error = new DatabaseError(
      "REMOVED",
      `This node was removed from cluster ${this.#clusterId}`,
      { hint: "To come back it joins as a new node, with an empty data folder" },
    );
    this.#log.warn("the node stops", { reason: error.message });
    this.#operations?.leave();
    // What the core wants done at this moment still is: it may say who leads next.
    this.#clock.soon(() => {
      this.#replica?.stop();
      this.#options.onFatal?.(error);
    });
  }

  /** The node cannot go on: it says why, and answers nothing more. */
  #fail(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#log.error("the node stops: it cannot go on", { reason: error.message });
    this.#replica?.stop();
    this.#options.onFatal?.(error);
  }
}
