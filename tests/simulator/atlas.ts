/**
 * What is wrong with which disk, and what else may go wrong: the promise is kept for any damage, as
 * long as every configuration that may rule has a quorum of nodes whose disks are sound, or were
 * found to be damaged and mended. Beyond the promise nothing is held back; nodes may then refuse to
 * work, and must not lie.
 */
import type { Configuration, NodeId } from "../../lib/raft/types.ts";
import { decides } from "./checkers/quorum.ts";

/** One thing that is wrong with the disk of a node. */
export interface Damage {
  readonly kind: "rotten" | "wiped" | "lost write" | "misdirected write" | "lying";
  /** Where; undefined while it is not decided. */
  readonly path: string | undefined;
  readonly offset: number;
}

/** See the file comment. */
export class Atlas {
  /** Whether to go beyond the promise. */
  readonly #beyond: boolean;
  readonly #damages = new Map<NodeId, Damage[]>();

  constructor(beyond: boolean) {
    this.#beyond = beyond;
  }

  /** Whether the disk of a node may be damaged now. */
  permits(id: NodeId, configurations: readonly Configuration[]): boolean {
    if (this.#beyond) return true;
    const sound = (other: NodeId) => other !== id && !this.isDamaged(other);
    return configurations.length > 0 && configurations.every((one) => decides(one, sound));
  }

  note(id: NodeId, damage: Damage): void {
    const known = this.#damages.get(id);
    if (known === undefined) this.#damages.set(id, [damage]);
    else known.push(damage);
  }

  /** The node went through a start: what was wrong is mended. */
  clear(id: NodeId): void {
    this.#damages.delete(id);
  }

  isDamaged(id: NodeId): boolean {
    return this.#damages.has(id);
  }

  /** What is wrong with a node's disk, oldest first. */
  of(id: NodeId): readonly Damage[] {
    return this.#damages.get(id) ?? [];
  }
}
