import { DatabaseError } from "../base/errors.ts";
import { createLog, type Log } from "../observe/log.ts";
import { type Call, EXIT } from "./command.ts";
import type { SERVE_OPTIONS } from "./options.ts";

/** What `serve` uses of a node that runs. */
export interface ServedNode {
  /** HOST:PORT of the cluster port, as bound. */
  readonly address: string;
  readonly httpUrl: string;
  readonly nodeId: number | string | bigint;
  stop(): Promise<void>;
}

/** What `serve` asks of `Node.start`. */
export interface ServeOptions {
  readonly dir: string;
  readonly listen: string;
  readonly http: string;
  readonly join: string[];
  readonly advertise?: string;
  readonly advertiseHttp?: string;
  readonly log: Log;
}

/** Starts a node. */
export type StartNode = (options: ServeOptions) => Promise<ServedNode>;

/**
 * `dqlite serve`: runs a node until the process is asked to stop.
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
  const stop = Promise.withResolvers<"SIGINT" | "SIGTERM">();
  program.onStopRequest(stop.resolve);
  const starting = start({
    dir: settings.dir,
    listen: settings.listen,
    http: settings.http,
    join: settings.join,
    ...(settings.advertise === undefined ? {} : { advertise: settings.advertise }),
    ...(settings.advertiseHttp === undefined ? {} : { advertiseHttp: settings.advertiseHttp }),
    log,
  });
  let node: ServedNode | undefined;
  try {
    // A node that waits for its cluster is stopped by ending the process: what it holds on disk is
    // as good as after a crash, which is to say whole.
    node = await Promise.race([starting, stop.promise.then(() => undefined)]);
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    program.stderr(`Error: ${error.message}\n`);
    if (error.hint !== undefined) program.stderr(`Hint: ${error.hint}\n`);
    return EXIT.failure;
  }
  if (node === undefined) {
    log.info("stopped before the node was ready");
    return EXIT.ok;
  }
  program.stdout(
    `dqlite node ${node.nodeId} ready: http ${node.httpUrl}, cluster ${node.address}\n`,
  );
  const signal = await stop.promise;
  log.info("stopping", { signal });
  await node.stop();
  log.info("stopped");
  return EXIT.ok;
}

async function startNode(options: ServeOptions): Promise<ServedNode> {
  const path: string = "../node.ts";
  const { Node } = await import(path) as { readonly Node: { readonly start: StartNode } };
  return await Node.start(options);
}
