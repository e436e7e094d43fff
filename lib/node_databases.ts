/** The databases of a node: the machine that holds them, and how they are found by name. */
import type { Library } from "../ffi/library.ts";
import { createDatabaseImage } from "./database/create.ts";
import { ReplicaHandle } from "./database/replica_handle.ts";
import type { Clock } from "./io/clock.ts";
import type { Disk } from "./io/disk.ts";
import type { NodeIntegrity } from "./node_integrity.ts";
import { ClaimPace } from "./replica/claim_pace.ts";
import { SqliteMachine } from "./replica/sqlite_machine.ts";
import { Databases, type DatabasesOptions } from "./session/databases.ts";
import type { Maintenance } from "./session/maintenance.ts";
import { MAIN_DATABASE_ID } from "./wire/command.ts";

/** What the machine is made of, and whom it tells, once they are there. */
export interface MachineParts {
  readonly library: Library;
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
  readonly clock: Clock;
  readonly databases: () => Databases | undefined;
  readonly integrity: () => NodeIntegrity | undefined;
}

/** Opens what there is. */
export function newMachine(parts: MachineParts): SqliteMachine {
  const { library, disk, folder, clock, databases, integrity } = parts;
  return new SqliteMachine({
    disk,
    folder,
    openHandle: (path) => ReplicaHandle.open(library, path),
    newClaimPace: () => new ClaimPace(() => clock.nowMs()),
    wallMs: () => clock.wallMs(),
    onDiverged: (id, claim, own) => {
      if (id === MAIN_DATABASE_ID) integrity()?.differs(claim, own);
    },
    onDropped: (id) => databases()?.dropped(id),
    onFull: () => void databases()?.closeRested(),
  });
}

/** Finds them by name. */
export function newDatabases(
  parts: Omit<DatabasesOptions, "newImage" | "checkpoint">,
  library: Library,
  maintenance: Maintenance,
): Databases {
  return new Databases({
    ...parts,
    newImage: () => createDatabaseImage(library),
    checkpoint: () => maintenance.checkpoint(),
  });
}
