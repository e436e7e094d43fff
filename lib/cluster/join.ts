/** How a new node finds its way into a cluster. */
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { Member } from "../raft/types.ts";
import { parseJoinReply } from "./control.ts";
import type { TargetRole } from "./membership.ts";

/** What joining needs. */
export interface JoinOptions {
  /** Addresses of cluster ports to ask, as given by the user. */
  readonly seeds: readonly string[];
  readonly member: Member;
  /** What it is to be. */
  readonly role: TargetRole;
  readonly clock: Clock;
  readonly log: Log;
  /** Puts a request to a node. */
  readonly call: (address: string, method: string, params: unknown) => Promise<unknown>;
  /** Whether to give up, since the node stops. */
  readonly stopped: () => boolean;
}

const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 2_000;
/** Redirections that one attempt follows. */
const REDIRECTS_MAX = 3;

/**
 * Asks the seeds, one after another and again and again, until one takes the node in.
 *
 * @returns The id of the cluster.
 * @throws {DatabaseError} `HANDSHAKE` or `MEMBERSHIP` when the cluster will not have this node;
 * `SHUTTING_DOWN` when the node stops first.
 */
export async function joinCluster(options: JoinOptions): Promise<string> {
  let pauseMs = FIRST_PAUSE_MS;
  while (!options.stopped()) {
    for (const seed of options.seeds) {
      try {
        return await askFrom(seed, options);
      } catch (error) {
        if (isFinal(error)) throw error;
        options.log.warn("cannot join yet, trying again", { seed, reason: messageOf(error) });
      }
    }
    await new Promise<void>((resolve) => void options.clock.after(pauseMs, resolve));
    pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
  }
  throw new DatabaseError("SHUTTING_DOWN", "The node stops before it joined a cluster");
}

async function askFrom(seed: string, { call, member, role }: JoinOptions): Promise<string> {
  let address = seed;
  for (let hop = 0; hop <= REDIRECTS_MAX; hop++) {
    const reply = parseJoinReply(await call(address, "join", { member, role }));
    if (reply.status === "member") return reply.clusterId;
    address = reply.address;
  }
  throw new DatabaseError("NO_LEADER", `${seed} passes on in circles, last to ${address}`);
}

function isFinal(error: unknown): boolean {
  return error instanceof DatabaseError &&
    (error.code === "HANDSHAKE" || error.code === "MEMBERSHIP");
}
