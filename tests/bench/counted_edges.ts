/** The edges of a node, real ones, that count what crosses them. */
import type { Functions, Library } from "../../ffi/library.ts";
import { openLibrary } from "../../ffi/open.ts";
import type { Disk, DiskFile } from "../../lib/io/disk.ts";
import { sha256 } from "../../lib/io/hash.ts";
import type { Connection, Network } from "../../lib/io/network.ts";
import { machineEdges, type NodeEdges } from "../../lib/node_starter.ts";
import { Executor } from "../../lib/session/executor.ts";
import { packFromWorker, unpack } from "../../lib/session/worker_codec.ts";
import type { ToWorker } from "../../lib/session/worker_messages.ts";
import type { SpawnWorker } from "../../lib/session/worker_pool.ts";

/** What is counted. */
export interface Counts {
  /** Durable writes of entries; segments made ahead of time depend on how long a run takes. */
  logWrites: number;
  logBytes: number;
  /** Writes to connections between nodes; each is a system call, or shares one. */
  networkWrites: number;
  networkBytes: number;
  /** Calls into the SQLite library, of all threads. */
  libraryCalls: number;
  /** Messages to and from SQL workers. */
  workerMessages: number;
}

/** Nothing yet. */
export function newCounts(): Counts {
  return {
    logWrites: 0,
    logBytes: 0,
    networkWrites: 0,
    networkBytes: 0,
    libraryCalls: 0,
    workerMessages: 0,
  };
}

/** The machine's edges; SQL runs in this thread, so that its calls are seen as well. */
export async function countedEdges(counts: Counts): Promise<NodeEdges> {
  const { disk, network } = machineEdges();
  const library = countedLibrary(await openLibrary(), counts);
  return {
    disk: countedDisk(disk, counts),
    network: countedNetwork(network, counts),
    openLibrary: () => Promise.resolve(library),
    spawnWorker: inlineWorker(library, counts),
  };
}

/** `target` with some methods replaced; the others see the object they belong to. */
function overlaid<Target extends object>(target: Target, methods: Partial<Target>): Target {
  return new Proxy(target, {
    get(_, name) {
      const own = methods[name as keyof Target];
      if (own !== undefined) return own;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (_, name, value) => Reflect.set(target, name, value, target),
  });
}

function countedDisk(disk: Disk, counts: Counts): Disk {
  const countedFile = (file: DiskFile) =>
    overlaid(file, {
      writeDurably(operation, offset, parts, done) {
        if (operation === "log batch") {
          counts.logWrites++;
          for (const part of parts) counts.logBytes += part.length;
        }
        file.writeDurably(operation, offset, parts, done);
      },
    });
  return overlaid(disk, { open: (path, options) => countedFile(disk.open(path, options)) });
}

function countedNetwork(network: Network, counts: Counts): Network {
  const counted = (connection: Connection) =>
    overlaid(connection, {
      write(bytes) {
        counts.networkWrites++;
        counts.networkBytes += bytes.length;
        return connection.write(bytes);
      },
    });
  return {
    connect: (address, handler) => counted(network.connect(address, handler)),
    listen: (address, accept) => {
      return network.listen(address, (connection) => accept(counted(connection)));
    },
  };
}

function countedLibrary({ path, c }: Library, counts: Counts): Library {
  const functions: Record<string, unknown> = {};
  for (const [name, call] of Object.entries(c)) {
    functions[name] = (...args: never[]) => {
      counts.libraryCalls++;
      return (call as (...args: never[]) => unknown)(...args);
    };
  }
  return { path, c: functions as Functions };
}

function inlineWorker(library: Library, counts: Counts): SpawnWorker {
  return (onMessage) => {
    let executor: Executor | undefined;
    const take = (message: ToWorker) => {
      if (message.type !== "setup") return executor?.handle(message);
      executor = new Executor({
        library,
        databasePath: message.setup.databasePath,
        nowMs: () => performance.now(),
        post: (answer) => {
          const data = packFromWorker(answer);
          counts.workerMessages++;
          queueMicrotask(() => onMessage(data));
        },
        sha256,
      });
    };
    return {
      post(data) {
        counts.workerMessages++;
        queueMicrotask(() => take(unpack<ToWorker>(data)));
      },
      terminate: () => executor = undefined,
    };
  };
}
