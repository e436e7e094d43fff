/** Requests that nodes put to each other about the cluster itself, as JSON. */
import { z } from "zod";
import { WEIGHT_MAX } from "../raft/priority.ts";
import { parseParams } from "../wire/parse_params.ts";
import type { JoinReply, StandingReply } from "./membership.ts";

const NODE_ID = z.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const CLUSTER_ID = z.string().regex(/^[0-9a-f]{32}$/);

/** A node as it presents itself. */
const memberForm = z.object({
  id: NODE_ID,
  address: z.string().min(1).max(300),
  httpUrl: z.string().min(1).max(300),
  weight: z.number().int().min(0).max(WEIGHT_MAX).optional(),
});

/** What a node says that wants to join. */
const joinRequest = z.object({
  member: memberForm,
  role: z.enum(["voter", "standby", "spare"]),
});

const standingRequest = z.object({ id: NODE_ID });

const standingReply = z.object({ status: z.enum(["member", "removed"]) });

const joinReply = z.discriminatedUnion("status", [
  z.object({ status: z.literal("member"), clusterId: CLUSTER_ID }),
  z.object({ status: z.literal("redirect"), address: z.string() }),
]);

/**
 * Checks the parameters of a request.
 *
 * @throws {DatabaseError} `PROTOCOL` naming what is wrong.
 */
export function parseJoinRequest(params: unknown): z.output<typeof joinRequest> {
  return parseParams(joinRequest, params, "join request");
}

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parseMember(params: unknown): z.output<typeof memberForm> {
  return parseParams(memberForm, params, "member");
}

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parseStandingRequest(params: unknown): z.output<typeof standingRequest> {
  return parseParams(standingRequest, params, "question about a member");
}

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parseStandingReply(reply: unknown): StandingReply {
  return parseParams(standingReply, reply, "answer about a member");
}

/** @throws {DatabaseError} `PROTOCOL` naming what is wrong. */
export function parseJoinReply(reply: unknown): JoinReply {
  return parseParams(joinReply, reply, "answer to a join request");
}
