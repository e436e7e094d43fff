import { DatabaseError } from "../base/errors.ts";
import type { Program } from "../io/program.ts";
import type { NodeOptions } from "../node_options.ts";
import { createLog } from "../observe/log.ts";
import { type Call, EXIT } from "./command.ts";
import type { SERVE_OPTIONS, Settings } from "./options.ts";

/** What `serve` uses of a node that runs. */
export interface ServedNode {
  /** HOST:PORT of the cluster port, as bound. */
  readonly address: string;
  readonly httpUrl: string;
  readonly nodeId: number | string | bigint;
  stop(): Promise<void>;
}

/** Starts a node. */
export type StartNode = (options: NodeOptions) => Promise<ServedNode>;

/**
 * `dqlite serve`: runs a node until the process is asked to stop, or the node is removed from its
 * cluster.
 *
 * @param start Starts the node; by default the one of this program.
 */
export async function serve(
  { settings, program }: Call<typeof SERVE_OPTIONS>,
  start: StartNode = startNode,
): Promise<number> {
  const log = createLog({
    level: settings.logLevel,
    format: settings.logFormat,
    write: (line) => program.stderr(line),
    wallMs: () => program.wallMs(),
  });
  const end = Promise.withResolvers<"SIGINT" | "SIGTERM" | Error>();
  program.onStopRequest(end.resolve);
  const starting = start({
    dir: settings.dir,
    listen: settings.listen,
    http: settings.http,
    join: settings.join,
    role: settings.role,
    ...(settings.from === undefined ? {} : { from: settings.from }),
    ...archiveOf(settings, program),
    transactionBytesMax: settings.transactionMax,
    ...(settings.advertise === undefined ? {} : { advertise: settings.advertise }),
    ...(settings.advertiseHttp === undefined ? {} : { advertiseHttp: settings.advertiseHttp }),
    log,
    onFatal: end.resolve,
  });
  try {
    // A node that waits for its cluster is stopped by ending the process: what it holds on disk is
    // as good as after a crash, which is to say whole.
    const first = await Promise.race([starting, end.promise]);
    if (first instanceof Error) {
      if (isRemoval(first)) await (await starting).stop();
      throw first;
    }
    if (typeof first === "string") {
      log.info("stopped before the node was ready", { signal: first });
      return EXIT.ok;
    }
    program.stdout(
      `dqlite node ${first.nodeId} ready: http ${first.httpUrl}, cluster ${first.address}\n`,
    );
    const reason = await end.promise;
    // The state of a node that met a fatal error cannot be trusted, so it is not stopped in order.
    if (reason instanceof Error) {
      if (isRemoval(reason)) await first.stop();
      throw reason;
    }
    log.info("stopping", { signal: reason });
    await first.stop();
    log.info("stopped");
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    program.stderr(`Error: ${error.message}\n`);
    if (error.hint !== undefined) program.stderr(`Hint: ${error.hint}\n`);
    return isRemoval(error) ? EXIT.removed : EXIT.failure;
  }
}

function archiveOf(
  { archive: where, archiveKeep: keepMs }: Settings<typeof SERVE_OPTIONS>,
  { env }: Program,
): Pick<NodeOptions, "archive"> {
  if (where !== undefined) {
    return { archive: { where, env, ...(keepMs === undefined ? {} : { keepMs }) } };
  }
  if (keepMs === undefined) return {};
  throw new DatabaseError("CONFIG", "--archive-keep goes with --archive");
}

/** Nothing is broken then: such a node is stopped in order. */
function isRemoval(error: Error): boolean {
  return error instanceof DatabaseError && error.code === "REMOVED";
}

async function startNode(options: NodeOptions): Promise<ServedNode> {
  const { Node } = await import("../node.ts");
  return await Node.start(options);
}
