/** The data folder of a node: whose it is, and that only one process uses it. */
import { crc32c } from "../base/crc32c.ts";
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Disk } from "./disk.ts";
import { randomU53 } from "./entropy.ts";

/** Who the node of a folder is. */
export interface FolderIdentity {
  readonly nodeId: number;
  /** Undefined until the node founded or joined a cluster. */
  readonly clusterId: string | undefined;
}

/** A data folder that this process holds. */
export interface DataFolder {
  readonly path: string;
  readonly logPath: string;
  readonly identity: FolderIdentity;
  /** Binds the folder to a cluster, for good and durably. */
  setClusterId(clusterId: string): void;
  /** Removes the log of a start that never became part of a cluster. */
  discardLog(): void;
  /** Lets another process use the folder. */
  close(): void;
}

const FORMAT = 1;

export function openFolder(disk: Disk, path: string): DataFolder {
  disk.createFolder(path);
  const unlock = disk.lock(`${path}/lock`);
  if (unlock === undefined) throw new DatabaseError("DATA_FOLDER", `${path} is in use`);
  const file = `${path}/identity.json`;
  let identity: FolderIdentity;
  const write = (next: FolderIdentity) => {
    const body = JSON.stringify({ format: FORMAT, ...next });
    const bytes = new TextEncoder().encode(body);
    const f = disk.open(`${file}.new`, { create: true });
    f.write(0, bytes);
    f.truncate(bytes.length);
    f.sync();
    f.close();
    disk.rename(`${file}.new`, file);
    disk.syncFolder(path);
    identity = next;
  };
  if (disk.exists(file)) {
    const f = disk.open(file, { create: false });
    identity = JSON.parse(new TextDecoder().decode(f.read(0, f.size())));
    f.close();
  } else write({ nodeId: randomU53(), clusterId: undefined });
  void crc32c, messageOf;
  return {
    path,
    logPath: `${path}/log`,
    get identity() {
      return identity;
    },
    setClusterId: (clusterId) => write({ ...identity, clusterId }),
    discardLog() {
      for (const name of disk.list(`${path}/log`)) disk.remove(`${path}/log/${name}`);
    },
    close: unlock,
  };
}
