/** All nodes of a run, and those who use the cluster: writers, readers, and whoever manages it. */
import type { Configuration, ConfigurationChange, NodeId } from "../../lib/raft/types.ts";
import { decides, guards } from "./checkers/quorum.ts";
import { memberOf } from "./members.ts";
import { SimulatedNode, type Surroundings } from "./node.ts";

const NON_VOTERS = ["standby", "spare"] as const;
/** Members a run may add. */
const NODES_MAX = 9;

/** See the file comment. */
export class Cluster {
  readonly nodes: SimulatedNode[] = [];
  /** Those that differ from the others, perhaps healed by now. */
  readonly #differing = new Set<NodeId>();
  readonly #in: Surroundings;
  #lastWrite = 0;

  constructor(surroundings: Surroundings) {
    this.#in = surroundings;
    const { voters, foundAlone } = surroundings.settings;
    const founders = foundAlone ? [1] : Array.from({ length: voters }, (_, at) => at + 1);
    for (const id of founders) this.nodes.push(new SimulatedNode(id, founders, surroundings));
    for (const node of this.nodes) node.start();
  }

  get running(): SimulatedNode[] {
    return this.nodes.filter((node) => node.running !== undefined);
  }

  /** A node that takes writes; there may be several that believe to lead. */
  get leading(): SimulatedNode | undefined {
    return this.#in.world.pick(
      this.nodes.filter((node) => node.running?.replica.mode === "leading"),
    );
  }

  /** Has a node run a write now. Returns the write, when it ran. */
  writeOn(node: SimulatedNode | undefined): number | undefined {
    const id = this.#lastWrite + 1;
    if (node?.running?.sessions.write(id) !== true) return undefined;
    this.#lastWrite = id;
    return id;
  }

  /** Sends a write to a node that seems to lead; it takes it when it runs. */
  write(): void {
    const node = this.leading;
    this.#ask(node, "request", () => this.writeOn(node));
  }

  /** Sends a read to any node. */
  read(): void {
    const node = this.#in.world.pick(this.running);
    this.#ask(node, "request", () => node?.running?.sessions.read());
  }

  /** Changes the membership, towards the number of voters that the seed drew. */
  change(): void {
    const { world, settings } = this.#in;
    const leader = this.leading?.running;
    if (leader === undefined || this.#anyDiffers()) return;
    const { configuration } = leader.raft.status();
    const { members, voters, learners } = configuration;
    const gone = members.filter(({ id }) => this.nodes.find((node) => node.id === id)?.lost);
    const goal = settings.foundAlone ? Math.max(3, settings.voters) : settings.voters;
    const grow = voters.length + learners.length < goal || world.chance(300);
    let change: ConfigurationChange | undefined;
    if (gone.length > 0 && world.chance(700)) change = { type: "remove", id: gone[0]!.id };
    else if (grow && this.nodes.length < NODES_MAX) {
      const role = world.chance(800) ? "learner" : world.pick(NON_VOTERS)!;
      change = { type: "add", role, member: memberOf(this.nodes.length + 1) };
    } else if (world.chance(500)) {
      const role = world.pick([...NON_VOTERS, "learner", "voter"] as const)!;
      change = { type: "assign", id: world.pick(members)!.id, role };
    } else if (voters.length > 1) change = { type: "remove", id: world.pick(members)!.id };
    if (change === undefined) return;
    const result = leader.raft.proposeConfiguration(change);
    leader.replica.schedule();
    world.tell(leader.owner.nodeId, () => {
      return `change ${JSON.stringify(change)}: ${result.accepted ? "begun" : result.reason}`;
    });
    if (result.accepted && change.type === "add") this.#join(change.member.id);
  }

  transfer(): void {
    const leader = this.leading?.running;
    const to = this.#in.world.pick(this.nodes)?.id;
    if (leader === undefined || to === undefined) return;
    const result = leader.raft.transfer(to);
    leader.replica.schedule();
    this.#in.world.tell(leader.owner.nodeId, () => {
      return `transfer to n${to}: ${result.accepted ? "begun" : result.reason}`;
    });
  }

  campaign(): void {
    const node = this.#in.world.pick(this.running);
    this.#ask(node, "campaign", () => {
      node?.running?.raft.campaign();
      node?.running?.replica.schedule();
    });
  }

  /**
   * Nodes that have to be able to go on when all others are gone; undefined when too many are lost.
   * Every configuration that might rule has a quorum among them.
   */
  drawCore(): SimulatedNode[] | undefined {
    const { world } = this.#in;
    const intact = this.#intact;
    const rules = this.#rules();
    const canDecide = (nodes: readonly SimulatedNode[]) =>
      rules?.(nodes.filter((node) => this.#isSound(node))) === true;
    if (!canDecide(intact)) return undefined;
    let core = intact;
    const small = world.chance(500);
    for (let left = small ? intact.length : 0; left > 0; left--) {
      const without = world.pick(core);
      const smaller = core.filter((node) => node !== without);
      if (canDecide(smaller)) core = smaller;
    }
    return core;
  }

  /** Those that may rule, as far as the nodes that run know. */
  configurations(): Configuration[] {
    const { history } = this.#in.oracle;
    const configurations: Configuration[] = [];
    for (const { running, lost } of this.nodes) {
      if (lost) continue;
      running?.log.forEach((index, _term, _size, configuration) => {
        if (configuration !== undefined && index > history.lastIndex) {
          configurations.push(configuration);
        }
      });
    }
    const committed = history.lastConfiguration;
    if (committed !== undefined) configurations.push(committed);
    return configurations;
  }

  /**
   * Whether nodes that know all that they promised, with the weak votes of those that made known
   * that they do not, can elect one of them.
   */
  canElect(): boolean {
    const sound = new Set(this.#intact.filter((node) => this.#isSound(node)).map(({ id }) => id));
    const votes = new Set(this.running.filter(({ lost }) => !lost).map(({ id }) => id));
    const configurations = this.configurations();
    return configurations.length > 0 &&
      configurations.every((configuration) =>
        decides(configuration, (id) => votes.has(id)) &&
        guards(configuration, (id) => sound.has(id))
      );
  }

  /** A node was found to differ from the others. */
  differs(id: NodeId): void {
    this.#differing.add(id);
  }

  /** Nobody changes the members meanwhile: a voter that differs is of no use as the only one. */
  #anyDiffers(): boolean {
    for (const id of this.#differing) {
      const running = this.nodes.find((node) => node.id === id)?.running;
      if (running !== undefined && !running.replica.diverged) this.#differing.delete(id);
    }
    return this.#differing.size > 0;
  }

  /** Whether a node that a leader knows of, and sends the log to, has not made damage good. */
  anyRecovers(): boolean {
    const { history } = this.#in.oracle;
    const inForce = this.running.flatMap(({ running }) =>
      running?.raft.role === "leader" ? [running.raft.status().configuration] : []
    );
    if (history.lastConfiguration !== undefined) inForce.push(history.lastConfiguration);
    const isSent = (id: NodeId) =>
      inForce.some(({ members, spares }) =>
        members.some((member) => member.id === id) && !spares.includes(id)
      );
    return this.#intact.some(({ id, durable }) => durable.recovering && isSent(id));
  }

  /** Whether a node knows all that it promised, and will after its next start. */
  #isSound(node: SimulatedNode): boolean {
    return !node.durable.recovering && !this.#in.atlas.isDamaged(node.id);
  }

  get #intact(): SimulatedNode[] {
    return this.nodes.filter((node) => !node.lost && node.disk.founded);
  }

  /** Whether nodes are a quorum of every configuration that might rule; undefined without one. */
  #rules(): ((core: readonly SimulatedNode[]) => boolean) | undefined {
    const configurations = this.configurations();
    if (configurations.length === 0) return undefined;
    return (core) => {
      const ids = new Set(core.map(({ id }) => id));
      return configurations.every((configuration) => decides(configuration, (id) => ids.has(id)));
    };
  }

  /** Something reaches a node; while it stands still, it waits. */
  #ask(node: SimulatedNode | undefined, what: string, act: () => void): void {
    const owner = node?.life;
    if (owner !== undefined) this.#in.world.after(0, owner, what, act);
  }

  #join(id: NodeId): void {
    const { world } = this.#in;
    const node = new SimulatedNode(id, [], this.#in);
    this.nodes.push(node);
    world.after(world.delayUs(20_000), undefined, "join", () => node.start());
  }
}
