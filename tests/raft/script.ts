/**
 * Runs interaction scripts: a line that starts with `> ` is a command, the lines after it are all
 * that came of it. Comments start with `#`.
 */
import { assert, present } from "../../lib/base/assert.ts";
import {
  describeConfiguration,
  describeEffects,
  describeEntry,
  describeMessage,
  describeStatus,
} from "../../lib/raft/describe.ts";
import type {
  ConfigurationChange,
  Effects,
  Entry,
  MemberRole,
  NodeId,
  NonVoter,
  ProposalResult,
  SnapshotBase,
  Status,
} from "../../lib/raft/types.ts";
import { initialConfiguration } from "../../lib/raft/configuration.ts";
import { Cluster, commandEntry, type Envelope, memberOf } from "./harness.ts";

/** Every wait is 15 ticks, so that a leader's lease of 10 runs out before anyone campaigns. */
const EVEN_RANDOM = { next: () => 0x8000_0000 };
/** Where read tickets start with these numbers; scripts count from 1. */
const TICKET_BASE = 2 ** 51;
const ROUNDS_MAX = 200;

interface Command {
  readonly name: string;
  readonly ids: readonly number[];
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

function parse(line: string): Command {
  const [name = "", ...rest] = line.split(/\s+/);
  const options = new Map<string, string>();
  const words: string[] = [];
  for (const word of rest) {
    const at = word.indexOf("=");
    if (at > 0) options.set(word.slice(0, at), word.slice(at + 1));
    else words.push(word);
  }
  const ids = words.filter((word) => /^\d+$/.test(word)).map(Number);
  return { name, ids, words, options };
}

/** Runs a script and returns it with the output that it really has. */
export function runScript(text: string): string {
  const session = new Session();
  const lines: string[] = [];
  let skipping = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("> ")) {
      lines.push(line, ...session.run(line.slice(2)));
      skipping = true;
    } else if (line.startsWith("#") || line.trim() === "") {
      skipping = false;
      lines.push(line);
    } else assert(skipping, `output without a command: ${line}`);
  }
  return lines.join("\n");
}

class Session {
  #cluster = new Cluster({ random: () => EVEN_RANDOM });
  readonly #cut = new Map<NodeId, number>();
  readonly #seen = new Map<NodeId, string>();

  run(line: string): string[] {
    const command = parse(line);
    const handler = present(HANDLERS[command.name], `handler of ${line}`);
    return handler(this, command).map((text) =>
      text.replace(/\b2251\d{12}\b/g, (ticket) => `${Number(ticket) - TICKET_BASE}`)
    );
  }

  get cluster(): Cluster {
    return this.#cluster;
  }

  /** Starts from an empty cluster with other settings. */
  reset(options: ReadonlyMap<string, string>): void {
    const limits: Record<string, number> = {};
    for (const [name, value] of options) limits[name] = Number(value);
    const { leaseTicks = 0, ...others } = limits;
    this.#cluster = new Cluster({ random: () => EVEN_RANDOM, leaseTicks, limits: others });
    this.#seen.clear();
  }

  partition(words: readonly string[]): void {
    this.#cut.clear();
    let side = 0;
    for (const word of words) {
      if (word === "|") side++;
      else this.#cut.set(Number(word), side);
    }
  }

  isCut({ from, to }: Envelope): boolean {
    return this.#cut.get(from) !== this.#cut.get(to);
  }

  /** Processes a node; tells what a reader wants to know, unless everything is asked for. */
  process(id: NodeId, everything: boolean): string[] {
    const effects = this.cluster.process(id);
    if (effects === undefined) return [];
    return everything
      ? describeEffects(id, effects).map((line) => `n${id} ${line}`)
      : this.#facts(id, effects);
  }

  #facts(id: NodeId, effects: Effects): string[] {
    const lines: string[] = [];
    if (effects.changed) {
      const now = describeRole(this.cluster.raft(id).status());
      if (this.#seen.get(id) !== now) lines.push(`n${id} is ${now}`);
      this.#seen.set(id, now);
    }
    if (effects.reset !== undefined) {
      lines.push(`n${id} replaces its log: it begins after ${effects.reset.index}`);
    }
    if (effects.snapshotNeeded !== undefined) {
      lines.push(`n${id} needs a snapshot of n${effects.snapshotNeeded}`);
    }
    if (effects.truncateFrom !== undefined) {
      lines.push(`n${id} truncates from ${effects.truncateFrom}`);
    }
    for (const entry of effects.append) {
      if (entry.type !== "configuration") continue;
      lines.push(`n${id} appends ${describeEntry(entry)}`);
    }
    if (effects.commitIndex !== undefined) lines.push(`n${id} commits ${effects.commitIndex}`);
    for (const { ticket, index } of effects.reads) {
      lines.push(`n${id} may read ${ticket} at ${index ?? "no index: ask again"}`);
    }
    return lines;
  }

  /** Snapshots by the name that a script gave them. */
  readonly snapshots = new Map<string, SnapshotBase>();

  /** Takes the messages that match out of the network. */
  take(command: Command): Envelope[] {
    const { options } = command;
    const max = Number(options.get("n") ?? Infinity);
    const taken: Envelope[] = [];
    const left: Envelope[] = [];
    for (const envelope of this.cluster.network) {
      const matches = taken.length < max &&
        (options.get("from") ?? envelope.from) == envelope.from &&
        (options.get("to") ?? envelope.to) == envelope.to &&
        (options.get("type") ?? envelope.message.type) === envelope.message.type;
      if (matches) taken.push(envelope);
      else left.push(envelope);
    }
    this.cluster.network = left;
    return taken;
  }

  deliver(envelopes: readonly Envelope[]): string[] {
    const lines: string[] = [];
    for (const envelope of envelopes) {
      const text = describeMessage(envelope.from, envelope.to, envelope.message);
      const lost = this.isCut(envelope) || this.cluster.nodes.get(envelope.to)?.raft === undefined;
      lines.push(lost ? `${text} ✗` : text);
      if (!lost) this.cluster.deliver(envelope);
    }
    return lines;
  }

  /** Processes, syncs and delivers among `ids` until nothing is left to do. */
  stabilize(ids: readonly NodeId[]): string[] {
    const lines: string[] = [];
    for (let round = 0;; round++) {
      assert(round < ROUNDS_MAX, "the cluster does not come to rest");
      let busy = false;
      for (const id of ids) {
        const facts = this.process(id, false);
        lines.push(...facts);
        while (this.cluster.sync(id)) busy = true;
        if (facts.length > 0 || this.cluster.node(id).raft?.hasEffects()) busy = true;
      }
      const all = this.cluster.network;
      const due = all.filter(({ from, to }) => ids.includes(from) && ids.includes(to));
      this.cluster.network = all.filter((envelope) => !due.includes(envelope));
      if (due.length > 0) busy = true;
      lines.push(...this.deliver(due));
      if (!busy) return lines;
    }
  }
}

function describeRole(status: Status): string {
  const { role, term, leader, removed, recovering, established, transferTarget } = status;
  let text = `${role.replace("_", "-")} in term ${term}`;
  if (role === "follower" && leader !== undefined) text += ` of n${leader}`;
  if (role === "leader" && established) text += ", established";
  if (transferTarget !== undefined) text += `, handing over to n${transferTarget}`;
  if (removed) text += ", removed";
  if (recovering) text += ", recovering";
  return text;
}

function describeResult(result: ProposalResult): string[] {
  return result.accepted
    ? [`accepted at ${result.index}@${result.term}`]
    : [`refused ${result.refusal}: ${result.reason}`];
}

type Handler = (session: Session, command: Command) => string[];

const HANDLERS: Readonly<Record<string, Handler>> = {
  /** `limits inflightMessagesMax=2`, `limits leaseTicks=8`: starts anew with other settings. */
  limits: (session, { options }) => {
    session.reset(options);
    return [];
  },
  /** `nodes 1 2 3`: a new cluster. */
  nodes: (session, { ids }) => {
    session.cluster.bootstrap(ids);
    return [];
  },
  /** `blank 4`: a node with an empty disk. */
  blank: (session, { ids }) => {
    for (const id of ids) session.cluster.add(id);
    return [];
  },
  /** `load 1 voters=1,2,3 terms=1,2,2 term=3`: a node with such a log after the configuration. */
  load: (session, { ids, options }) => {
    const voters = (options.get("voters") ?? "").split(",").map(Number);
    const configuration = initialConfiguration(voters.map(memberOf));
    const entries: Entry[] = [{ type: "configuration", index: 1, term: 1, configuration }];
    for (const term of (options.get("terms") ?? "").split(",").filter((word) => word !== "")) {
      entries.push(commandEntry(entries.length + 1, Number(term)));
    }
    const term = Number(options.get("term") ?? entries.at(-1)!.term);
    session.cluster.add(ids[0]!, entries, { term, votedFor: undefined });
    return [];
  },
  tick: (session, { ids, options }) => {
    const count = Number(options.get("n") ?? 1);
    for (const id of ids) {
      for (let i = 0; i < count; i++) session.cluster.raft(id).tick();
    }
    return [];
  },
  campaign: (session, { ids }) => {
    session.cluster.raft(ids[0]!).campaign();
    return [];
  },
  propose: (session, { ids, options }) => {
    const payload = new Uint8Array(Number(options.get("size") ?? 10));
    const count = Number(options.get("n") ?? 1);
    const proposals = Array.from({ length: count }, () => ({ payload, checksum: 0 }));
    return describeResult(session.cluster.raft(ids[0]!).propose(proposals));
  },
  /**
   * `change 1 add 4 as=spare` (a standby unless told), `assign` with `as=ROLE`, `promote`,
   * `remove`, `update`, and `weigh` with `weight=0`.
   */
  change: (session, { ids: [on, id], words: [, verb], options }) => {
    const member = memberOf(id!);
    const weight = Number(options.get("weight") ?? 1);
    const role = (options.get("as") ?? "standby") as MemberRole;
    const changes: Readonly<Record<string, ConfigurationChange>> = {
      add: { type: "add", role: role as NonVoter, member },
      assign: { type: "assign", id: id!, role },
      promote: { type: "assign", id: id!, role: "voter" },
      remove: { type: "remove", id: id! },
      update: { type: "update_member", member: { ...member, address: "elsewhere:9001" } },
      weigh: { type: "update_member", member: { ...member, weight } },
    };
    const change = present(changes[verb!], `change ${verb}`);
    return describeResult(session.cluster.raft(on!).proposeConfiguration(change));
  },
  read: (session, { ids }) => [`ticket ${session.cluster.raft(ids[0]!).read()}`],
  transfer: (session, { ids: [on, to] }) => describeResult(session.cluster.raft(on!).transfer(to!)),
  process: (session, { ids }) => ids.flatMap((id) => session.process(id, true)),
  sync: (session, { ids, options }) => {
    for (let i = Number(options.get("n") ?? Infinity); i > 0; i--) {
      if (!session.cluster.sync(ids[0]!)) break;
    }
    return [];
  },
  deliver: (session, command) => session.deliver(session.take(command)),
  drop: (session, command) =>
    session.take(command).map(({ from, to, message }) => `${describeMessage(from, to, message)} ✗`),
  /** Delivers, and keeps the messages for another time. */
  repeat: (session, command) => {
    const taken = session.take(command);
    const lines = session.deliver(taken);
    session.cluster.network.push(...taken);
    return lines;
  },
  network: (session) =>
    session.cluster.network.map(({ from, to, message }) => describeMessage(from, to, message)),
  stabilize: (session, { ids }) =>
    session.stabilize(ids.length > 0 ? ids : [...session.cluster.nodes.keys()]),
  /** `partition 1 | 2 3`: only nodes on one side reach each other. */
  partition: (session, { words }) => {
    session.partition(words);
    return [];
  },
  heal: (session) => {
    session.partition([]);
    return [];
  },
  crash: (session, { ids }) => {
    for (const id of ids) session.cluster.crash(id);
    return [];
  },
  /** `damage 2 keep=3`: a node that is down loses all entries but three. */
  damage: (session, { ids, options }) => {
    session.cluster.damage(ids[0]!, Number(options.get("keep")));
    return [];
  },
  restart: (session, { ids }) => {
    for (const id of ids) session.cluster.restart(id);
    return [];
  },
  unreachable: (session, { ids: [on, peer] }) => {
    session.cluster.raft(on!).onUnreachable(peer!);
    return [];
  },
  restarted: (session, { ids: [on, peer] }) => {
    session.cluster.raft(on!).onPeerRestarted(peer!);
    return [];
  },
  compact: (session, { ids: [on, first] }) => {
    session.cluster.compact(on!, first!);
    return [];
  },
  /** `copy 1 5 as=old`: a snapshot of node 1 up to entry 5, under a name. */
  copy: (session, { ids: [on, index], options }) => {
    const base = session.cluster.snapshot(on!, index!);
    session.snapshots.set(present(options.get("as"), "a name"), base);
    return [`up to ${index}@${base.term}, ${describeConfiguration(base.configuration)}`];
  },
  /** `install 3 what=old`: node 3 has that snapshot in place. */
  install: (session, { ids: [on], options }) => {
    const name = present(options.get("what"), "a name");
    session.cluster.install(on!, present(session.snapshots.get(name), `snapshot ${name}`));
    return [];
  },
  status: (session, { ids }) => {
    const { cluster } = session;
    const shown = ids.length > 0 ? ids : [...cluster.nodes.keys()];
    return shown.map((id) => {
      const raft = cluster.node(id).raft;
      return raft === undefined ? `n${id} down` : describeStatus(raft.status());
    });
  },
  configuration: (session, { ids }) =>
    ids.map((id) => {
      const { configuration, configurationIndex } = session.cluster.raft(id).status();
      return `n${id} ${configurationIndex}: ${describeConfiguration(configuration)}`;
    }),
  log: (session, { ids }) =>
    ids.map((id) => {
      const terms = session.cluster.node(id).entries.map(({ index, term }) => `${index}@${term}`);
      return `n${id} ${terms.join(" ")}`;
    }),
};
