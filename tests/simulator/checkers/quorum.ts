/** Counting, apart from the product's own: a mistake there must not blind those who look for it. */
import type { Configuration, NodeId } from "../../../lib/raft/types.ts";

/** Whether in each half those that do not satisfy `holds` are no majority. */
export function guards(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  return [configuration.voters, configuration.votersOutgoing].every((half) =>
    2 * half.filter((id) => !holds(id)).length <= half.length
  );
}

/** Whether a majority of each half of a configuration satisfies `holds`. */
export function decides(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  return [configuration.voters, configuration.votersOutgoing].every((half) =>
    half.length === 0 || 2 * half.filter(holds).length > half.length
  );
}
