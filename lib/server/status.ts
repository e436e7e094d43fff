/** What operators and load balancers ask: health, readiness, the cluster, and changes of it. */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import type { NodeId } from "../raft/types.ts";
import { parseJson } from "../wire/json.ts";
import { databaseInQuery } from "./database_path.ts";
import { decodeText } from "./hrana_http.ts";
import type { Proxy } from "./proxy.ts";
import { jsonReply } from "./replies.ts";
import type { Operations } from "./types.ts";

/** The roles that a node can be given. */
const ROLES = ["voter", "standby", "spare"] as const;

const DONE = jsonReply(200, `{"done":true}`);

/**
 * Answers `GET /readyz`: 200 when this node can serve, else 503 with the reasons. With `?noleader`
 * it does not matter whether a leader is known, so that a cluster without a quorum is not
 * restarted node by node.
 */
export function readyReply(operations: Operations, query: string): HttpReply {
  const { leaderKnown, appliedIndex, requiredIndex } = operations.readiness();
  const reasons: string[] = [];
  if (!leaderKnown && !query.split("&").includes("noleader")) reasons.push("no leader is known");
  if (appliedIndex < requiredIndex) {
    reasons.push(`applied up to ${appliedIndex}, of the ${requiredIndex} it had applied before`);
  }
  const ready = reasons.length === 0;
  return jsonReply(ready ? 200 : 503, JSON.stringify({ ready, reasons }));
}

/** Answers `GET /cluster`. */
export function clusterReply(operations: Operations): HttpReply {
  return jsonReply(200, JSON.stringify(operations.clusterStatus()));
}

/** Answers `POST /cluster/remove` with `{"id":…}`, here or at the leader. */
export async function handleRemove(
  request: HttpRequest,
  operations: Operations,
  proxy: Proxy,
): Promise<HttpReply> {
  const body = await request.body();
  const id = decodeNodeId(body);
  if (id === undefined) throw new DatabaseError("PROTOCOL", "id must be that of a node: missing");
  return await proxy.run(request, body, async () => {
    await operations.remove(id);
    return DONE;
  });
}

/** Answers `POST /cluster/role` with `{"id":…,"role":"voter"}`, here or at the leader. */
export async function handleRole(
  request: HttpRequest,
  operations: Operations,
  proxy: Proxy,
): Promise<HttpReply> {
  const body = await request.body();
  const fields = decodeFields(body);
  const id = nodeIdOf(fields);
  if (id === undefined) throw new DatabaseError("PROTOCOL", "id must be that of a node: missing");
  const role = ROLES.find((known) => known === fields["role"]);
  if (role === undefined) {
    const shown = String(JSON.stringify(fields["role"])).slice(0, 60);
    throw new DatabaseError("PROTOCOL", `role must be one of ${ROLES.join(", ")}; it is ${shown}`);
  }
  return await proxy.run(request, body, async () => {
    const now = await operations.assign(id, role);
    return jsonReply(200, JSON.stringify({ done: now === role, role: now }));
  });
}

/** Answers `POST /cluster/transfer` with `{"id":…}` or nothing, here or at the leader. */
export async function handleTransfer(
  request: HttpRequest,
  operations: Operations,
  proxy: Proxy,
): Promise<HttpReply> {
  const body = await request.body();
  const id = decodeNodeId(body);
  return await proxy.run(request, body, async () => {
    await operations.transfer(id);
    return DONE;
  });
}

/** Answers `POST /cluster/checkpoint`, about this node. */
export async function handleCheckpoint(operations: Operations): Promise<HttpReply> {
  return jsonReply(200, JSON.stringify(await operations.checkpoint()));
}

/** Answers `POST /cluster/scrub`, about this node. */
export async function handleScrub(operations: Operations): Promise<HttpReply> {
  return jsonReply(200, JSON.stringify(await operations.scrub()));
}

/** Answers `GET /cluster/digest`, about this node; with `?db=NAME` about that database. */
export async function handleDigest(
  { query }: HttpRequest,
  operations: Operations,
): Promise<HttpReply> {
  return jsonReply(200, JSON.stringify(await operations.digest(databaseInQuery(query))));
}

/** The `id` of a body such as `{"id":5}`; undefined when there is none. */
function decodeNodeId(body: Uint8Array): NodeId | undefined {
  return body.length === 0 ? undefined : nodeIdOf(decodeFields(body));
}

function decodeFields(body: Uint8Array): Readonly<Record<string, unknown>> {
  const json = parseJson(decodeText(body), "The body");
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new DatabaseError("PROTOCOL", "The body must be an object");
  }
  return json as Record<string, unknown>;
}

function nodeIdOf({ id }: Readonly<Record<string, unknown>>): NodeId | undefined {
  if (id === undefined || id === null) return undefined;
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id <= 0) {
    const shown = JSON.stringify(id).slice(0, 60);
    throw new DatabaseError("PROTOCOL", `id must be a positive integer; it is ${shown}`);
  }
  return id;
}
