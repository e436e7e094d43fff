/** One running node, as the program that starts it sees it. */
import type { ClusterClient } from "./client/client.ts";
import { randomU32 } from "./io/entropy.ts";
import { localClient } from "./node_client.ts";
import type { NodeOptions } from "./node_options.ts";
import type { NodeOperations } from "./node_operations.ts";
import { NodeStarter } from "./node_starter.ts";
import type { Member, NodeId } from "./raft/types.ts";
import type { SessionManager } from "./session/session_manager.ts";

/** A running node. */
export class Node {
  readonly nodeId: NodeId;
  /** HOST:PORT of the cluster port, as bound. */
  readonly address: string;
  /** URL of the HTTP port, as clients reach it. */
  readonly httpUrl: string;
  readonly #sessions: SessionManager;
  readonly #operations: NodeOperations;
  readonly #stack: AsyncDisposableStack;
  #stopping: Promise<void> | undefined;

  private constructor(
    member: Member,
    parts: { sessions: SessionManager; operations: NodeOperations; stack: AsyncDisposableStack },
  ) {
    this.nodeId = member.id;
    this.address = member.address;
    this.httpUrl = member.httpUrl;
    this.#sessions = parts.sessions;
    this.#operations = parts.operations;
    this.#stack = parts.stack;
  }

  /**
   * Starts a node, and returns once it takes requests. One that joins returns once its cluster took
   * it in; it tries until then.
   *
   * @throws {DatabaseError} `CONFIG`, `DATA_FOLDER`, `ADDRESS`, `CORRUPT`, `HANDSHAKE`,
   * `MEMBERSHIP`.
   */
  static async start(options: NodeOptions): Promise<Node> {
    await using stack = new AsyncDisposableStack();
    const { member, sessions, operations } = await new NodeStarter(options, stack).start();
    // What a file brings is applied before the node says that it is ready.
    if (options.from !== undefined) await operations.waitForLeader(Infinity);
    return new Node(member, { sessions, operations, stack: stack.move() });
  }

  /**
   * A client of the cluster that asks this node first, without a socket in between.
   *
   * @param options.database The name of a database; `main` by default.
   */
  client(options: { readonly database?: string } = {}): ClusterClient {
    return localClient({
      httpUrl: this.httpUrl,
      sessions: this.#sessions,
      clusterStatus: () => this.#operations.clusterStatus(),
      ...options,
    }, randomU32());
  }

  /** Hands leadership over, finishes what is under way, and lets go of everything. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stack.disposeAsync();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
