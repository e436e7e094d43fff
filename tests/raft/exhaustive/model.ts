/** The vocabulary of the search. */
import type { Entry } from "../../../lib/raft/types.ts";
import type { Input, Letter, ModelNode } from "./node.ts";

/** How often things may happen in one run. */
export interface Budget {
  readonly campaigns: number;
  readonly proposals: number;
  readonly changes: number;
  readonly transfers: number;
  /** Ticks of leaders; each sends heartbeats. */
  readonly beats: number;
  /** Crashes after which the end of a node's log is damaged. */
  readonly damages: number;
}

/** What a search may do. */
export interface Bounds extends Budget {
  /** For each node. */
  readonly crashes: number;
  /** A node takes nothing in while so many of its writes are under way. */
  readonly writes: number;
  readonly change: "remove" | "promote" | "demote" | undefined;
}

/** A state of everything; never changed after it was made. */
export interface World {
  readonly nodes: readonly ModelNode[];
  /** What may be delivered to each node. */
  readonly inboxes: readonly (readonly Letter[])[];
  /** What any node ever knew to be committed. */
  readonly committed: readonly Entry[];
  readonly used: Budget;
}

/** One thing that happens. */
export interface Move {
  /** The place of the node in `World.nodes`. */
  readonly at: number;
  readonly input: Input;
}

/** A move and where it leads. */
export interface Successor {
  readonly move: Move;
  readonly world: World;
  readonly violation: string | undefined;
}

/** Where a search begins. */
export interface Start {
  readonly world: World;
  /** For each node, one before it that is in the same position, if any. */
  readonly mirrors: readonly (number | undefined)[];
}
