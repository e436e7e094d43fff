import type { Clock } from "../io/clock.ts";
import type { Replica } from "../replica/replica.ts";
import type { BriefRunners } from "./brief_runners.ts";
import type { DatabaseAccess } from "./database_access.ts";
import type { WorkerPool } from "./worker_pool.ts";

/** What sessions need from the node. */
export interface SessionManagerOptions {
  readonly replica: () => Replica;
  readonly pool: () => WorkerPool;
  readonly brief: () => BriefRunners;
  readonly databases: () => DatabaseAccess;
  readonly clock: Clock;
  readonly randomToken: () => string;
  /** URL of the leader's HTTP port, where it is known. */
  readonly leaderUrl: () => string | undefined;
  /** Interrupts the statements that sessions run; all, or those of one owner. */
  readonly interrupt: (owner?: number) => void;
}
