/** What nodes ask each other about the cluster, beside consensus: the questions and the answers. */
import { DatabaseError } from "./base/errors.ts";
import { AddressKeeper } from "./cluster/address_keeper.ts";
import { parseJoinRequest, parseMember, parseStandingRequest } from "./cluster/control.ts";
import type { Membership } from "./cluster/membership.ts";
import type { Roster } from "./cluster/roster.ts";
import { StandingKeeper } from "./cluster/standing.ts";
import type { Clock } from "./io/clock.ts";
import type { Network } from "./io/network.ts";
import { CONTROL_TIMEOUT_MS } from "./node_entry.ts";
import type { NodeIntegrity } from "./node_integrity.ts";
import type { Log } from "./observe/log.ts";
import type { Raft } from "./raft/raft.ts";
import type { Member } from "./raft/types.ts";
import { controlCall } from "./transport/control_call.ts";

/** A node that is silent for this long is left alone until the next time. */
const STANDING_TIMEOUT_MS = 3_000;

/**
 * Answers a request of another node.
 *
 * @param membership Undefined while this node has not joined itself.
 * @throws {DatabaseError} what the other node is to be told.
 */
export async function answerControl(
  method: string,
  params: unknown,
  clusterId: string | undefined,
  membership: Membership | undefined,
  integrity: NodeIntegrity | undefined,
): Promise<unknown> {
  if (method === "hello") return { clusterId: clusterId ?? null };
  if (membership === undefined) {
    throw new DatabaseError("NO_LEADER", "This node has not joined a cluster itself yet");
  }
  const answer = integrity?.answer(method, params);
  if (answer !== undefined) return await answer;
  switch (method) {
    case "join": {
      const { member, role } = parseJoinRequest(params);
      return await membership.join(member, role);
    }
    case "update":
      await membership.update(parseMember(params));
      return null;
    case "standing":
      return await membership.standing(parseStandingRequest(params).id);
    default:
      throw new DatabaseError("PROTOCOL", `Unknown request ${JSON.stringify(method)}`);
  }
}

/** What keeping in touch needs. */
export interface TouchOptions {
  readonly member: Member;
  readonly raft: Raft;
  readonly membership: Membership;
  readonly roster: Roster;
  /** As given by the user; they may know where the cluster is now. */
  readonly seeds: readonly string[];
  readonly network: Network;
  readonly clock: Clock;
  readonly clusterId: string;
  readonly log: Log;
  readonly onRemoved: () => void;
}

/**
 * Tells the cluster where this node is, and asks whether it still is a member.
 *
 * @returns A function that ends it.
 */
export function keepInTouch(options: TouchOptions): () => void {
  const { member, raft, membership, roster, seeds, network, clock, clusterId, log } = options;
  const call = (address: string, method: string, params: unknown, timeoutMs: number) =>
    controlCall({ network, clock, address, clusterId, method, params, timeoutMs });
  const addresses = () => [...new Set([...roster.addresses, ...seeds])];
  const addressKeeper = new AddressKeeper({
    member,
    raft,
    clock,
    log,
    ask: (leader) =>
      leader.id === member.id
        ? membership.update(member)
        : call(leader.address, "update", member, CONTROL_TIMEOUT_MS),
    // Only the leader takes it.
    askAround: () => {
      return Promise.any(
        addresses().map((address) => call(address, "update", member, CONTROL_TIMEOUT_MS)),
      );
    },
  });
  const standingKeeper = new StandingKeeper({
    raft,
    clock,
    log,
    addresses,
    ask: (address) => call(address, "standing", { id: member.id }, STANDING_TIMEOUT_MS),
    onRemoved: options.onRemoved,
  });
  addressKeeper.start();
  standingKeeper.start();
  return () => {
    addressKeeper.stop();
    standingKeeper.stop();
  };
}
