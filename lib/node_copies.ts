/** What makes and takes copies of a whole database on a node that runs. */
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import { randomToken } from "./io/entropy.ts";
import type { Replica } from "./replica/replica.ts";
import { Backups } from "./session/backups.ts";
import type { Databases } from "./session/databases.ts";
import type { Maintenance } from "./session/maintenance.ts";
import { Restores } from "./session/restores.ts";
import type { SessionManager } from "./session/session_manager.ts";
import type { WorkerPool } from "./session/worker_pool.ts";

/** The parts of the node that they work with. */
export interface CopiesParts {
  readonly replica: Replica;
  readonly maintenance: Maintenance;
  readonly databases: Databases;
  readonly sessions: SessionManager;
  readonly pool: WorkerPool;
  readonly clock: Clock;
  readonly disk: Disk;
}

/** Where they put a file aside, and how they know the leader. */
export interface CopiesPlace {
  readonly folder: string;
  readonly leaderUrl: () => string | undefined;
}

/** Backups of the node's databases, and restores into them. */
export function newCopies(
  parts: CopiesParts,
  place: CopiesPlace,
): { readonly backups: Backups; readonly restores: Restores } {
  return {
    backups: new Backups({ ...parts, ...place }),
    restores: new Restores({
      ...parts,
      ...place,
      randomToken,
      acquire: (name) => parts.databases.acquireOrMake(name),
    }),
  };
}
