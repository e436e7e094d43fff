/**
 * Nodes as processes of their own on this machine, watched from outside through HTTP.
 */
import { type Child, type ExitStatus, freePorts, startProcess } from "../io/process.ts";
import { DemoFailure, pause, waitUntil } from "./wait.ts";

const HOST = "127.0.0.1";
/** Time a stopped node gets before it is killed. */
const STOP_TIMEOUT_MS = 10_000;
/** Time one question to a node may take. */
const QUESTION_TIMEOUT_MS = 2_000;
/** Time the pages of a large database may take to be hashed. */
const DIGEST_TIMEOUT_MS = 60_000;

/** What `GET /cluster` tells. */
export interface ClusterView {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly version: string;
  readonly role: string;
  readonly term: number;
  readonly leader:
    | { readonly id: number; readonly address: string; readonly httpUrl: string }
    | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly members: readonly {
    readonly id: number;
    readonly address: string;
    readonly httpUrl: string;
    readonly role: string;
    readonly leader: boolean;
  }[];
}

/** What `GET /cluster/digest` tells: a hash over all pages as of an index of the log. */
export interface Digest {
  readonly index: number;
  readonly sha256: string;
  readonly pages: number;
}

/** One `dqlite serve`, which can be killed and started again. */
export class NodeProcess {
  readonly name: string;
  readonly folder: string;
  /** `HOST:PORT` of the cluster port. */
  readonly address: string;
  /** URL of the HTTP port, without a slash at its end. */
  readonly url: string;
  readonly #command: readonly string[];
  readonly #join: readonly string[];
  readonly #role: string | undefined;
  #child: Child | undefined;

  /**
   * @param options.command The program, before its first argument.
   * @param options.join Addresses of members of the cluster; none for the first node.
   * @param options.role What the node becomes when it joins; a voter unless told.
   */
  constructor(options: {
    readonly name: string;
    readonly command: readonly string[];
    readonly folder: string;
    readonly listenPort: number;
    readonly httpPort: number;
    readonly join: readonly string[];
    readonly role?: string | undefined;
  }) {
    this.name = options.name;
    this.folder = options.folder;
    this.address = `${HOST}:${options.listenPort}`;
    this.url = `http://${HOST}:${options.httpPort}`;
    this.#command = options.command;
    this.#join = options.join;
    this.#role = options.role;
  }

  get running(): boolean {
    return this.#child?.running ?? false;
  }

  /** The process id of the last start. */
  get pid(): number {
    if (this.#child === undefined) throw new Error(`${this.name} was never started`);
    return this.#child.pid;
  }

  /** The last part of what the node wrote since its last start. */
  get output(): string {
    return this.#child?.outputTail() ?? "";
  }

  /** Settles when the process of the last start is gone. */
  get exited(): Promise<ExitStatus> {
    if (this.#child === undefined) throw new Error(`${this.name} was never started`);
    return this.#child.exited;
  }

  /**
   * Starts the process; it is not ready yet.
   *
   * @param within A command that becomes the one which follows it, such as a tracer.
   */
  async start(within: readonly string[] = []): Promise<void> {
    if (this.running) throw new Error(`${this.name} runs already`);
    const join = this.#join.length === 0 ? [] : ["--join", this.#join.join(",")];
    const role = this.#role === undefined ? [] : ["--role", this.#role];
    this.#child = await startProcess([
      ...within,
      ...this.#command,
      "serve",
      "--dir",
      this.folder,
      "--listen",
      this.address,
      "--http",
      this.url.slice("http://".length),
      ...join,
      ...role,
    ]);
  }

  /** Ends the process as a power cut would, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child?.signal("SIGKILL");
    await this.#child?.exited;
  }

  /** Asks the process to stop and waits until it is gone. */
  async stop(): Promise<ExitStatus | undefined> {
    const child = this.#child;
    if (child === undefined) return undefined;
    child.signal("SIGTERM");
    const stopped = await Promise.race([child.exited, pause(STOP_TIMEOUT_MS)]);
    if (stopped === undefined) child.signal("SIGKILL");
    return await child.exited;
  }

  /** Freezes the process, or lets it go on. */
  freeze(frozen: boolean): void {
    this.#child?.signal(frozen ? "SIGSTOP" : "SIGCONT");
  }

  /** Whether the node takes requests. A node that is not there is not ready. */
  async ready(): Promise<boolean> {
    try {
      const response = await this.#get("/readyz", QUESTION_TIMEOUT_MS);
      await response.arrayBuffer();
      return response.status === 200;
    } catch {
      return false;
    }
  }

  /** @throws {DemoFailure} when the node does not answer. */
  async cluster(): Promise<ClusterView> {
    return await this.#json("/cluster", QUESTION_TIMEOUT_MS) as ClusterView;
  }

  /**
   * A hash of the database's pages.
   *
   * @param index Waits until this index of the log is applied.
   * @throws {DemoFailure} when the node does not answer, or not with a digest.
   */
  async digest(index?: number): Promise<Digest> {
    const query = index === undefined ? "" : `?index=${index}`;
    return await this.#json(`/cluster/digest${query}`, DIGEST_TIMEOUT_MS) as Digest;
  }

  /** Copies what is committed into the database file. */
  async checkpoint(): Promise<void> {
    const response = await fetch(`${this.url}/cluster/checkpoint`, {
      method: "POST",
      signal: AbortSignal.timeout(DIGEST_TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new DemoFailure(`${this.name} did not checkpoint: ${text}`);
  }

  /**
   * Waits until the node takes requests.
   *
   * @throws {DemoFailure} when it does not in time, or when its process ended, with what it wrote.
   */
  async waitReady(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    await waitUntil(`${this.name} is ready`, timeoutMs, async () => {
      return !this.running || await this.ready();
    }, signal).catch((error) => {
      throw new DemoFailure(`${error.message}\n${this.output}`);
    });
    if (!this.running) throw new DemoFailure(`${this.name} ended at its start:\n${this.output}`);
  }

  async #get(path: string, timeoutMs: number): Promise<Response> {
    return await fetch(this.url + path, { signal: AbortSignal.timeout(timeoutMs) });
  }

  async #json(path: string, timeoutMs: number): Promise<unknown> {
    const response = await this.#get(path, timeoutMs);
    const text = await response.text();
    if (!response.ok) throw new DemoFailure(`${this.name} answered ${path} with ${text}`);
    return JSON.parse(text);
  }
}

/** Nodes that form one cluster. */
export class LocalCluster {
  readonly nodes: readonly NodeProcess[];

  private constructor(nodes: readonly NodeProcess[]) {
    this.nodes = nodes;
  }

  /** Describes nodes; nothing is started yet. */
  static async plan(options: {
    readonly command: readonly string[];
    readonly folder: string;
    readonly count: number;
  }): Promise<LocalCluster> {
    const ports = await freePorts(options.count * 2);
    const nodes: NodeProcess[] = [];
    for (let i = 0; i < options.count; i++) {
      const first = nodes[0];
      nodes.push(
        new NodeProcess({
          name: `n${i + 1}`,
          command: options.command,
          folder: `${options.folder}/n${i + 1}`,
          listenPort: ports[2 * i]!,
          httpPort: ports[2 * i + 1]!,
          join: first === undefined ? [] : [first.address],
        }),
      );
    }
    return new LocalCluster(nodes);
  }

  /** Starts all nodes and waits until all of them vote. */
  async start(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    for (const node of this.nodes) {
      await node.start();
      if (node === this.nodes[0]) await node.waitReady(timeoutMs, signal);
    }
    await this.waitReady(timeoutMs, signal);
  }

  /** Waits until all nodes are ready, vote, and agree on who leads. */
  async waitReady(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    for (const node of this.nodes) await node.waitReady(timeoutMs, signal);
    await waitUntil("all nodes vote and agree on the leader", timeoutMs, async () => {
      const views = await Promise.all(this.nodes.map((node) => node.cluster()));
      const leaders = new Set(views.map((view) => view.leader?.id));
      return leaders.size === 1 && !leaders.has(undefined) &&
        views.every((view) => countVoters(view) === this.nodes.length);
    }, signal);
  }

  /** The running node that leads; when two claim it for a moment, the one of the higher term. */
  async leader(timeoutMs: number, signal?: AbortSignal): Promise<NodeProcess> {
    return await waitUntil("there is a leader", timeoutMs, async () => {
      let leader: NodeProcess | undefined;
      let term = -1;
      for (const node of this.nodes) {
        if (!node.running) continue;
        const view = await node.cluster().catch(() => undefined);
        if (view?.role !== "leader" || view.term <= term) continue;
        leader = node;
        term = view.term;
      }
      return leader;
    }, signal);
  }

  /** Kills whatever runs. */
  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }
}

/** The number of voters that a node knows of. */
export function countVoters(view: ClusterView): number {
  return view.members.filter((member) => member.role === "voter").length;
}
