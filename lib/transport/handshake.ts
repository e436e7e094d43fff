import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import type { NodeId } from "../raft/types.ts";
import { commonVersion, isClusterId, MAGIC, PROTOCOL_VERSION_MAX } from "../wire/handshake.ts";
import { type Hello, PROTOCOL_VERSION_MIN, type Purpose } from "../wire/handshake.ts";
import { type Refusal, writeHello, writeRefusal } from "../wire/handshake.ts";
import type { Identity } from "./types.ts";

/**
 * The hello of this node.
 *
 * @param expectedNodeId Who is dialled; 0 when anybody will do, and in an answer.
 */
export function helloOf(identity: Identity, purpose: Purpose, expectedNodeId: NodeId): Hello {
  const clusterId = identity.clusterId();
  assert(clusterId === undefined || isClusterId(clusterId), `no id of a cluster: ${clusterId}`);
  return {
    versionMin: PROTOCOL_VERSION_MIN,
    versionMax: PROTOCOL_VERSION_MAX,
    purpose,
    clusterId,
    nodeId: identity.nodeId,
    bootId: identity.bootId,
    expectedNodeId,
    address: identity.address?.(),
  };
}

/** The bytes with which a side that presents itself begins. */
export function greeting(hello: Hello): Uint8Array {
  const writer = new ByteWriter(96).raw(MAGIC);
  writeHello(writer, hello);
  return writer.view();
}

/** The bytes with which a side begins that refuses the other one. */
export function refusalBytes(refusal: Refusal): Uint8Array {
  const writer = new ByteWriter(256).raw(MAGIC);
  writeRefusal(writer, refusal);
  return writer.view();
}

/**
 * Why `theirs`, which dialled `ours`, is not welcome; undefined when it is. Raft is spoken,
 * and pages are given, only inside one cluster. A control connection may come from outside, to ask
 * or to join.
 */
export function refusalOf(ours: Hello, theirs: Hello): Refusal | undefined {
  const me = `node ${ours.nodeId}`;
  if (commonVersion(ours, theirs) === undefined) return versionRefusal(ours, theirs);
  if (theirs.expectedNodeId !== 0 && theirs.expectedNodeId !== ours.nodeId) {
    const text = `This is ${me}, not node ${theirs.expectedNodeId}`;
    return { reason: "other_node", text };
  }
  if (theirs.clusterId !== undefined && ours.clusterId !== undefined) {
    if (theirs.clusterId === ours.clusterId) return memberRefusal(ours, theirs);
    const text = `The ${me} belongs to cluster ${ours.clusterId}, not to ${theirs.clusterId}`;
    return { reason: "other_cluster", text };
  }
  if (theirs.purpose === "control") return undefined;
  const who = ours.clusterId === undefined ? me : `node ${theirs.nodeId}`;
  return { reason: "no_cluster", text: `The ${who} is in no cluster yet` };
}

/**
 * Why the node that answered is not the one that was dialled; undefined when it is.
 *
 * @param address Where it answered.
 */
export function mismatchOf(ours: Hello, theirs: Hello, address: string): Refusal | undefined {
  if (commonVersion(ours, theirs) === undefined) return versionRefusal(ours, theirs);
  if (ours.expectedNodeId !== 0 && theirs.nodeId !== ours.expectedNodeId) {
    const text = `Node ${theirs.nodeId} answers at ${address}, not node ${ours.expectedNodeId}`;
    return { reason: "other_node", text };
  }
  const isMember = ours.purpose !== "control";
  if (isMember || ours.clusterId !== undefined) {
    if (theirs.clusterId !== undefined && theirs.clusterId !== ours.clusterId) {
      const text = `The node at ${address} belongs to cluster ${theirs.clusterId}`;
      return { reason: "other_cluster", text };
    }
  }
  if (isMember && theirs.clusterId === undefined) {
    return { reason: "no_cluster", text: `The node at ${address} is in no cluster yet` };
  }
  return undefined;
}

function memberRefusal(ours: Hello, theirs: Hello): Refusal | undefined {
  if (theirs.purpose === "control") return undefined;
  if (theirs.nodeId === ours.nodeId) {
    return { reason: "own_node", text: `Both sides are node ${ours.nodeId}` };
  }
  if (theirs.nodeId !== 0) return undefined;
  return { reason: "other_node", text: "A cluster's nodes speak here, and 0 is no node's id" };
}

function versionRefusal(ours: Hello, theirs: Hello): Refusal {
  const text =
    `No common version of the protocol: ${ours.versionMin} to ${ours.versionMax} here, ` +
    `${theirs.versionMin} to ${theirs.versionMax} there`;
  return { reason: "version", text };
}
