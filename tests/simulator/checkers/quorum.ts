/** Counting, apart from the product's own: a mistake there must not blind those who look for it. */
import type { Configuration, NodeId } from "../../../lib/raft/types.ts";

/** Whether a majority of each half of a configuration satisfies `holds`. */
export function decides(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  return [configuration.voters, configuration.votersOutgoing].every((half) =>
    half.length === 0 || 2 * half.filter(holds).length > half.length
  );
}
