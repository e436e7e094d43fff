/** Who the nodes of a run are, and what they begin with. */
import { crc32c } from "../../lib/base/crc32c.ts";
import { initialConfiguration } from "../../lib/raft/configuration.ts";
import type { Entry, Member, NodeId } from "../../lib/raft/types.ts";

/** The member that node `id` is. */
export function memberOf(id: NodeId): Member {
  return { id, address: `10.0.0.${id}:9001`, httpUrl: `http://10.0.0.${id}:8080` };
}

/** What every log of the cluster begins with, as a node that founds one writes it. */
export function firstEntries(
  founders: readonly NodeId[],
  payload: Uint8Array<ArrayBuffer>,
): Entry[] {
  const configuration = initialConfiguration(founders.map(memberOf));
  return [
    { index: 1, term: 1, type: "configuration", configuration },
    { index: 2, term: 1, type: "command", payload, checksum: crc32c(payload) },
  ];
}
