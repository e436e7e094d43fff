/** How a node comes to its cluster and its log: it founds one, joins one, or goes on as before. */
import { openLibrary } from "../ffi/open.ts";
import { DatabaseError } from "./base/errors.ts";
import type { Random } from "./base/random.ts";
import { joinCluster } from "./cluster/join.ts";
import type { TargetRole } from "./cluster/membership.ts";
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import { randomHex } from "./io/entropy.ts";
import type { DataFolder } from "./io/folder.ts";
import type { Network } from "./io/network.ts";
import { SegmentLog } from "./log/segment_log.ts";
import type { LogSpace } from "./log/types.ts";
import { FirstContent, notEmpty, writeFirstEntries } from "./node_founding.ts";
import type { Log } from "./observe/log.ts";
import type { Member } from "./raft/types.ts";
import { controlCall } from "./transport/control_call.ts";
import { HandshakeError } from "./transport/types.ts";

/** What entering a cluster needs. */
export interface EntryOptions {
  readonly folder: DataFolder;
  /** This node, as others reach it. */
  readonly member: Member;
  /** What it becomes when it joins. */
  readonly role: TargetRole;
  /** Cluster ports of nodes to join; empty to found a cluster. */
  readonly seeds: readonly string[];
  /** A database file that a new cluster begins with. */
  readonly from: string | undefined;
  readonly disk: Disk;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The log's disk failed. */
  readonly onFatal: (error: Error) => void;
  /** The log's disk is full, or has space again. */
  readonly onSpace: (space: LogSpace) => void;
  /** Whether to give up joining, since the node stops. */
  readonly stopped: () => boolean;
}

/** A cluster that this node is part of, and its log. */
export interface Entered {
  readonly clusterId: string;
  readonly log: SegmentLog;
}

/** Time for one request to another node; a leader may have to finish another change first. */
export const CONTROL_TIMEOUT_MS = 10_000;
/** Time that seeds have to say which cluster they belong to, when a member starts again. */
const SEED_CHECK_TIMEOUT_MS = 500;

/**
 * Founds a cluster, joins one, or goes on as the member that this folder was before.
 *
 * @throws {DatabaseError} `HANDSHAKE` or `MEMBERSHIP` when the cluster will not have this node,
 * `CORRUPT`, `DATA_FOLDER` or `DISK` when the log cannot be used, or when there is no cluster to
 * found with a file.
 */
export async function enterCluster(options: EntryOptions): Promise<Entered> {
  const { folder, from, seeds } = options;
  const { clusterId } = folder.identity;
  if (from !== undefined && seeds.length > 0) throw joinsWithContent(from);
  if (from !== undefined && clusterId !== undefined) throw notEmpty(folder.path, clusterId);
  if (clusterId !== undefined) {
    await checkSeeds(options, clusterId);
    return { clusterId, log: openLog(options, clusterId, false) };
  }
  if (seeds.length > 0) return await join(options);
  if (options.role === "voter") return await found(options);
  throw new DatabaseError(
    "CONFIG",
    `The first node of a cluster is a voter, not a ${options.role}`,
    {
      hint: "Name nodes of the cluster to join with --join",
    },
  );
}

/**
 * The folder belongs to the cluster only once the first entries are durable: a start that was cut
 * off before is begun anew.
 */
async function found(options: EntryOptions): Promise<Entered> {
  const { folder, member, disk, from } = options;
  const library = await openLibrary();
  using content = from === undefined ? undefined : new FirstContent(library, disk, from);
  content?.requireSpace(disk, folder.path);
  folder.discardLog();
  const clusterId = randomHex(16);
  const log = openLog(options, clusterId, true);
  try {
    await writeFirstEntries(log, member, library, content);
  } catch (error) {
    log.close(() => {});
    throw error;
  }
  folder.setClusterId(clusterId);
  options.log.info("founded a cluster", { cluster: clusterId, node: member.id });
  return { clusterId, log };
}

function joinsWithContent(from: string): DatabaseError {
  return new DatabaseError(
    "CONFIG",
    `A node that joins a cluster gets its data from there: --from ${from} does not go with --join`,
    { hint: "Into a cluster that runs, dqlite restore puts a file" },
  );
}

/** The empty log comes before the identity that says there is one. */
async function join(options: EntryOptions): Promise<Entered> {
  const { folder, member, role, seeds, clock, network, log: lines, stopped } = options;
  const timeoutMs = CONTROL_TIMEOUT_MS;
  const call = (address: string, method: string, params: unknown) =>
    controlCall({ network, clock, address, method, params, timeoutMs });
  const clusterId = await joinCluster({ seeds, member, role, clock, log: lines, call, stopped });
  folder.discardLog();
  const log = openLog(options, clusterId, true);
  folder.setClusterId(clusterId);
  lines.info("joined a cluster", { cluster: clusterId, node: member.id, role });
  return { clusterId, log };
}

/**
 * A folder that belongs to a cluster goes on with that one. Seeds of another one are a mistake that
 * the user should hear of; seeds that do not answer may just be down.
 */
async function checkSeeds(options: EntryOptions, clusterId: string): Promise<void> {
  const { network, clock, seeds } = options;
  const timeoutMs = SEED_CHECK_TIMEOUT_MS;
  const greetings = seeds.map((address) =>
    controlCall({ network, clock, address, clusterId, method: "hello", params: null, timeoutMs })
  );
  for (const [at, greeting] of (await Promise.allSettled(greetings)).entries()) {
    if (greeting.status === "fulfilled") continue;
    const error: unknown = greeting.reason;
    if (!(error instanceof HandshakeError) || error.reason !== "other_cluster") continue;
    throw new DatabaseError(
      "HANDSHAKE",
      `The data folder belongs to cluster ${clusterId}, but ${seeds[at]} is of another one: ` +
        error.message,
      { hint: "Join with an empty folder, or leave --join out to go on as before" },
    );
  }
}

function openLog(options: EntryOptions, clusterId: string, create: boolean): SegmentLog {
  const { disk, folder: { identity, logPath }, random, clock, onFatal, onSpace } = options;
  const { nodeId } = identity;
  const files = { disk, folder: logPath, clusterId, nodeId, create };
  const log = SegmentLog.open({ ...files, random, clock, onFatal, onSpace });
  tellDamage(options.log, log);
  return log;
}

function tellDamage(lines: Log, log: SegmentLog): void {
  const { givenUp } = log.recovery;
  if (givenUp !== undefined) {
    const { path, offset, expected, lastIndex } = givenUp;
    const lost = Math.max(0, lastIndex - log.lastIndex);
    lines.warn("the log is damaged: gave up what follows, to get it from the leader", {
      path,
      offset,
      expected,
      lastIndex: log.lastIndex,
      lost,
    });
  }
  if (log.recovering) {
    lines.warn("recovering: this node neither votes nor counts until a leader has sent all");
  }
}
