/** One seed from beginning to end: faults first, then peace, in which everything has to work. */
import { LOG_SPACE_RETRY_MAX_MS } from "../../lib/base/limits.ts";
import { isReplica } from "../../lib/raft/configuration.ts";
import { Oracle } from "./checkers/oracle.ts";
import { require, Violation } from "./checkers/violation.ts";
import { Atlas } from "./atlas.ts";
import { Cluster } from "./cluster.ts";
import type { Databases, Mode } from "./database.ts";
import { Counters, type PlainCounters } from "./marks.ts";
import { Nemesis } from "./nemesis.ts";
import { SimulatedNetwork } from "./network.ts";
import type { SimulatedNode } from "./node.ts";
import { PAGES_MODE } from "./page_machine.ts";
import { drawSettings, type Settings } from "./settings.ts";
import { World } from "./world.ts";

/** What a run came to. */
export interface RunResult {
  readonly seed: number;
  /** Names everything that happened; the same for every run of the seed. */
  readonly hash: string;
  readonly events: number;
  readonly simulatedUs: number;
  readonly counters: PlainCounters;
  /** What was broken; undefined when nothing was. */
  readonly failure: string | undefined;
}

/** Events after which a run is taken to go in circles. */
const EVENTS_MAX = 600_000;
/** Time that a healed majority has for each step, in longest election timeouts. */
const PATIENCE_TIMEOUTS = 40;
/** Writes that a healed majority has to take. */
const PROBES = 5;

/** Runs a seed. Never throws on a violation. */
export function runSeed(
  seed: number,
  trace?: (line: string) => void,
  mode: Mode = PAGES_MODE,
): RunResult {
  const settings = mode.settings(drawSettings(seed));
  const databases = mode.open(settings);
  const run = new Run(settings, databases, trace);
  const failure = failureOf(() => run.run());
  const leak = failureOf(() => databases.close());
  return run.result(failure ?? leak);
}

function failureOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    if (!(error instanceof Error)) return String(error);
    return `${error.name}: ${error.message}\n${error.stack ?? ""}`;
  }
}

class Run {
  readonly #settings: Settings;
  readonly #databases: Databases;
  readonly #world: World;
  readonly #counters = new Counters();
  readonly #oracle: Oracle;
  readonly #network: SimulatedNetwork;
  readonly #cluster: Cluster;
  readonly #nemesis: Nemesis;
  #quiet = false;

  constructor(settings: Settings, databases: Databases, trace?: (line: string) => void) {
    this.#settings = settings;
    this.#databases = databases;
    const world = new World(settings.seed, trace);
    const counters = this.#counters;
    this.#world = world;
    const sample = () => world.below(settings.platterEvery) === 0;
    this.#oracle = new Oracle(counters, databases.newReference(), sample);
    this.#network = new SimulatedNetwork(world, counters, settings.network);
    const atlas = new Atlas(settings.beyond);
    this.#cluster = new Cluster({
      world,
      settings,
      counters,
      oracle: this.#oracle,
      network: this.#network,
      atlas,
      databases,
    });
    this.#nemesis = new Nemesis(world, settings, counters, this.#network, this.#cluster, atlas);
  }

  run(): void {
    const { settings, world } = { settings: this.#settings, world: this.#world };
    world.tell(0, () => JSON.stringify(settings));
    world.settle();
    if (settings.foundAlone) this.#growUntilFull();
    this.#offer();
    this.#nemesis.start();
    this.#until(settings.safetyUs, () => false);
    this.#nemesis.stop();
    if (settings.calm) this.#checkCalm();
    this.#recover();
    this.#oracle.requests.atEnd();
    this.#databases.atEnd(this.#oracle.history.ids);
  }

  result(failure: string | undefined): RunResult {
    const counters = this.#counters;
    const { history, requests, elections } = this.#oracle;
    counters.count("seeds");
    if (this.#settings.calm) counters.count("calm seeds");
    counters.count("commits", history.lastIndex);
    counters.count("transactions", history.ids.length);
    counters.count("acknowledged writes", requests.acknowledged);
    counters.count("refused writes", requests.refused.size);
    counters.count("unknown writes", requests.unknown);
    counters.count("reads", requests.reads);
    counters.count("elections", elections.count);
    counters.count("events", this.#world.events);
    if (history.abandoned > 0) counters.hit("batch in parts abandoned");
    counters.observe("entries committed", history.lastIndex);
    counters.observe("elections", elections.count);
    counters.observe("nodes", this.#cluster.nodes.length);
    this.#world.note(history.lastIndex);
    return {
      seed: this.#settings.seed,
      hash: this.#world.hash,
      events: this.#world.events,
      simulatedUs: this.#world.nowUs,
      counters: counters.plain(),
      failure,
    };
  }

  /** Runs events until `done`, or until the time is up. Returns whether it was done. */
  #until(us: number, done: () => boolean): boolean {
    const world = this.#world;
    const untilUs = world.nowUs + us;
    let over = false;
    world.after(us, undefined, "until", () => over = true);
    while (!over && world.nowUs <= untilUs) {
      const event = world.step();
      if (event === undefined) break;
      require(world.events < EVENTS_MAX, () => "the run goes in circles");
      if (event.owner === undefined) continue;
      const node = this.#cluster.nodes.find(({ id }) => id === event.owner?.nodeId);
      if (node !== undefined) this.#oracle.check(node);
      if (done()) return true;
    }
    return false;
  }

  /** Clients write and read, for as long as the faults last. */
  #offer(): void {
    const { writeUs, readUs } = this.#settings;
    const world = this.#world;
    const again = (us: number, what: string, act: () => void) => {
      world.after(world.delayUs(us), undefined, what, () => {
        if (this.#quiet) return;
        act();
        again(us, what, act);
      });
    };
    again(writeUs, "write", () => {
      // Several at once now and then, so that they share an entry.
      for (let count = world.chance(200) ? 8 : 1; count > 0; count--) this.#cluster.write();
    });
    again(readUs, "read", () => this.#cluster.read());
  }

  /** One node founded the cluster; the others join one after another. */
  #growUntilFull(): void {
    const { tickUs, safetyUs, voters } = this.#settings;
    const world = this.#world;
    const grow = () => {
      if (this.#quiet || world.nowUs > safetyUs || this.#cluster.nodes.length >= voters) return;
      this.#cluster.change();
      world.after(world.delayUs(8 * tickUs), undefined, "grow", grow);
    };
    world.after(4 * tickUs, undefined, "grow", grow);
  }

  #checkCalm(): void {
    const { count, lastTerm } = this.#oracle.elections;
    const { electionTicks, tickUs, safetyUs } = this.#settings;
    // Two that campaign in the same moment split the votes, and wait anew.
    if (count === 0 && safetyUs < 4 * electionTicks * tickUs) return;
    require(count === 1, () => `${count} elections although nothing went wrong`);
    for (const { running, id } of this.#cluster.nodes) {
      const term = running?.raft.term ?? 0;
      require(term <= lastTerm, () => `n${id} is in term ${term} although nothing went wrong`);
    }
  }

  /** Heals a majority, drops the others, and demands that all goes well. */
  #recover(): void {
    const world = this.#world;
    this.#quiet = true;
    this.#network.heal();
    world.tell(0, () => "heals");
    for (const node of this.#cluster.nodes) {
      if (node.life !== undefined) world.resume(node.life);
      node.disk.heal();
    }
    // Whatever is half done may end, and everybody gets a chance to start.
    this.#wait("start", () => {
      for (const node of this.#cluster.nodes) node.start();
      return this.#cluster.nodes.every((node) => node.lost || node.running !== undefined);
    });
    if (this.#cluster.canElect()) {
      this.#wait("make damage good", () => !this.#cluster.anyRecovers());
    }
    const core = this.#cluster.drawCore();
    if (core === undefined) this.#counters.count("seeds without a majority left");
    if (this.#settings.beyond) return this.#askEverybody();
    if (core === undefined) return;
    for (const node of this.#cluster.nodes) {
      // A learner that seemed well a moment ago must not become a voter that is gone.
      node.running?.membership.stop();
      if (core.includes(node)) continue;
      node.barred = true;
      node.end("crash");
    }
    world.tell(0, () => `only ${core.map(({ id }) => `n${id}`).join()} go on`);
    this.#wait("elect a leader", () => this.#leader(core) !== undefined);
    for (let probe = 0; probe < PROBES; probe++) this.#probe(core);
    this.#wait("answer everybody", () => core.every((node) => !node.running?.sessions.open));
    this.#waitForAgreement(core);
    const configuration = this.#leader(core)?.running?.raft.status().configuration;
    for (const node of core) {
      if (node.lost || configuration === undefined) continue;
      if (isReplica(configuration, node.id)) node.checkAtEnd();
    }
  }

  /** Nobody needs to be able to answer; whoever does is checked. */
  #askEverybody(): void {
    const { electionTicks, tickUs } = this.#settings;
    for (let probe = 0; probe < PROBES; probe++) {
      this.#until(4 * electionTicks * tickUs, () => false);
      for (const node of this.#cluster.nodes) {
        this.#cluster.writeOn(node);
        node.running?.sessions.read();
      }
    }
    this.#until(4 * electionTicks * tickUs, () => false);
  }

  #probe(core: readonly SimulatedNode[]): void {
    let id: number | undefined;
    const { history, requests } = this.#oracle;
    this.#wait("take a write", () => {
      if (id !== undefined && history.positionOf(id) !== undefined) return true;
      // Leadership may move once more, and the write be lost with it.
      if (id === undefined || !requests.isOpen(id)) id = this.#cluster.writeOn(this.#leader(core));
      return false;
    });
    for (const node of core) {
      if (node.running?.raft.status().removed !== true) node.running?.sessions.read();
    }
  }

  #leader(core: readonly SimulatedNode[]): SimulatedNode | undefined {
    return core.find((node) => node.running?.replica.mode === "leading");
  }

  #agree(core: readonly SimulatedNode[]): boolean {
    const leader = this.#leader(core)?.running;
    if (leader === undefined) return false;
    const { configuration, commitIndex, lastIndex } = leader.raft.status();
    if (commitIndex < lastIndex || configuration.votersOutgoing.length > 0) return false;
    const digest = leader.machine.content.digest();
    return core.every(({ id, running, lost }) => {
      // What was done to its disk showed only now, and it may refuse to start.
      if (lost) return true;
      if (running === undefined) return false;
      if (!isReplica(configuration, id)) return true;
      return running.replica.settledIndex === commitIndex && running.machine.exists &&
        running.machine.content.digest() === digest;
    });
  }

  /** A node that is far behind may take long, as long as it gets on. */
  #waitForAgreement(core: readonly SimulatedNode[]): void {
    const settled = () =>
      core.reduce((sum, { running }) => sum + (running?.replica.settledIndex ?? 0), 0);
    for (;;) {
      const before = settled();
      if (this.#agree(core) || this.#until(this.#patienceUs, () => this.#agree(core))) return;
      require(settled() > before, () => "a healed majority does not come to agree");
    }
  }

  get #patienceUs(): number {
    const { electionTicks, tickUs, driftPermille, faults } = this.#settings;
    const slowest = 1000 / (1000 - driftPermille);
    // A disk that was full is looked at again after a while.
    const spaceUs = faults.fullDisk > 0 ? 1000 * LOG_SPACE_RETRY_MAX_MS : 0;
    return Math.ceil((PATIENCE_TIMEOUTS * 2 * electionTicks * tickUs + spaceUs) * slowest);
  }

  #wait(what: string, done: () => boolean): void {
    const us = this.#patienceUs;
    if (done()) return;
    require(this.#until(us, done), () => `a healed majority does not ${what} in ${us / 1000} ms`);
  }
}
