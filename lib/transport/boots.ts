import type { NodeId } from "../raft/types.ts";

/** Remembers the last boot id of every node that is a peer or connected. */
export class Boots {
  readonly #known = new Map<NodeId, number>();
  readonly #onBoot: (nodeId: NodeId, bootId: number) => void;
  readonly #isKept: (nodeId: NodeId) => boolean;

  /**
   * @param onBoot Called at the first sight of a node, and when its boot id changed.
   * @param isKept Whether a node is still of interest.
   */
  constructor(
    onBoot: (nodeId: NodeId, bootId: number) => void,
    isKept: (nodeId: NodeId) => boolean,
  ) {
    this.#onBoot = onBoot;
    this.#isKept = isKept;
  }

  /** A node presented itself. */
  seen(nodeId: NodeId, bootId: number): void {
    if (this.#known.get(nodeId) === bootId) return;
    this.#known.set(nodeId, bootId);
    this.#onBoot(nodeId, bootId);
  }

  /** Forgets the nodes that are of no interest any more. */
  prune(): void {
    for (const nodeId of this.#known.keys()) {
      if (!this.#isKept(nodeId)) this.#known.delete(nodeId);
    }
  }
}
