/**
 * The real core, with the rare branches that it takes counted from outside, and the rules checked
 * that concern one core alone.
 */
import { encodeConfiguration } from "../../lib/wire/configuration.ts";
import { isJoint, roleOf } from "../../lib/raft/configuration.ts";
import type { RaftOptions, RestoredState } from "../../lib/raft/options.ts";
import type { Proposal } from "../../lib/raft/propose.ts";
import { Raft } from "../../lib/raft/raft.ts";
import type {
  Configuration,
  ConfigurationChange,
  Effects,
  LogIndex,
  LogMark,
  Message,
  NodeId,
  ProposalResult,
  Role,
  SnapshotBase,
} from "../../lib/raft/types.ts";
import { decides } from "./checkers/quorum.ts";
import { require } from "./checkers/violation.ts";
import type { Counters } from "./marks.ts";

interface Placed {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

/** Ticks between a write and the moment at which it is seen here. */
const DISK_SLACK_TICKS = 3;

/** See the file comment. */
export class ObservedRaft extends Raft {
  readonly #id: NodeId;
  readonly #counters: Counters;
  readonly #windowIsSmall: boolean;
  #wasLeader = false;
  #lastTerm = 0;
  #campaigns = 0;
  #transferring = false;
  #configurationIndex = 0;
  /** The latest configuration that it was told as a spare. */
  #toldIndex = 0;
  /** The configurations of the log, kept apart from the core's own books. */
  readonly #placed: Placed[] = [];
  /** What each node was known to hold in the present term, in its present life. */
  readonly #matches = new Map<NodeId, LogIndex>();
  readonly #electionTicks: number;
  #ticks = 0;
  /** When this node began to lead, in its ticks. */
  #leadsSince = 0;
  /** The latest write, and when the disk last made progress with it. */
  #owes: { readonly mark: LogMark; since: number } | undefined;
  /** When it last heard from each node in the present term. */
  readonly #heardAt = new Map<NodeId, number>();

  constructor(options: RaftOptions, restored: RestoredState, counters: Counters) {
    super(options, restored);
    this.#id = options.id;
    this.#counters = counters;
    this.#electionTicks = options.electionTicks;
    this.#windowIsSmall = (options.limits?.inflightMessagesMax ?? 64) < 16;
    this.#configurationIndex = this.status().configurationIndex;
    const { baseIndex, baseConfiguration } = restored;
    if (baseIndex > 0) this.#placed.push({ index: baseIndex, configuration: baseConfiguration });
    for (const { index, configuration } of restored.entries) {
      if (configuration !== undefined) this.#placed.push({ index, configuration });
    }
  }

  override step(from: NodeId, message: Message): void {
    const { role, term, commitIndex, lastIndex } = this;
    const { recovering } = this.status();
    const toldRemoved = message.type === "removed" && !this.status().removed;
    super.step(from, message);
    if (message.type === "configuration" && message.term === this.term) {
      this.#toldIndex = Math.max(this.#toldIndex, message.index);
    }
    if (message.term === this.term) this.#heardAt.set(from, this.#ticks);
    if (message.type === "vote_request" && message.preVote) {
      require(this.term === term, () => `a pre-vote moves n${this.#id} to term ${this.term}`);
    }
    const hit = (happened: boolean, mark: Parameters<Counters["hit"]>[0]) => {
      if (happened) this.#counters.hit(mark);
    };
    const fromLeader = message.type === "append_request" || message.type === "heartbeat_request";
    const fromVoter = message.type === "vote_request" || message.type === "vote_response";
    hit(role === "leader" && this.term > term, "leader met a higher term");
    hit(
      fromLeader && role.endsWith("candidate") && this.role === "follower",
      "candidate found a leader",
    );
    hit(fromVoter && this.commitIndex > commitIndex, "commit learned from a vote");
    hit(
      message.type === "append_request" && message.term === term && message.entries.length > 0 &&
        message.prevIndex + message.entries.length <= lastIndex && this.lastIndex === lastIndex,
      "repeated append ignored",
    );
    hit(fromLeader && message.term < term, "append of an old term answered");
    hit(recovering && message.type === "vote_request", "vote asked for while recovering");
    hit(
      message.type === "vote_response" && message.recovering === true && role === "candidate" &&
        this.role === "leader",
      "elected with a weak vote",
    );
    hit(
      role === "leader" && message.type === "append_response" && message.nonce !== undefined &&
        message.success && message.matchIndex > commitIndex,
      "answer of a recovering node not counted",
    );
    hit(toldRemoved && this.status().removed, "removed node told");
    hit(message.type === "configuration" && this.isSpare, "spare told");
    hit(
      message.type === "timeout_now" && role !== "candidate" && this.role === "candidate",
      "transfer carried out",
    );
  }

  override tick(): void {
    const { role, term } = this;
    super.tick();
    this.#ticks++;
    this.#checkContact();
    this.#checkDisk(role);
    if (role === "leader" && this.role === "follower" && this.term === term) {
      this.#counters.hit("leader stepped down unheard");
    }
    if (!this.#transferring) return;
    const over = this.status().transferTarget === undefined;
    if (over && this.role === "leader") this.#counters.hit("transfer given up");
    if (over) this.#transferring = false;
  }

  override onDurable(mark: LogMark): void {
    const owes = this.#owes;
    if (owes !== undefined) {
      const { leaderTerm, index } = owes.mark;
      const isLast = mark.leaderTerm === leaderTerm && mark.index === index;
      this.#owes = isLast ? undefined : { mark: owes.mark, since: this.#ticks };
    }
    super.onDurable(mark);
  }

  override propose(payloads: readonly Proposal[]): ProposalResult {
    const result = super.propose(payloads);
    if (!result.accepted && result.refusal === "busy") this.#counters.hit("uncommitted log full");
    return result;
  }

  override proposeConfiguration(change: ConfigurationChange): ProposalResult {
    const { configuration } = this.status();
    const result = super.proposeConfiguration(change);
    if (!result.accepted) {
      const caughtUp = result.reason.includes("caught up");
      this.#counters.hit(caughtUp ? "promotion put off" : "change refused");
    } else if (change.type === "add") this.#counters.hit(`${change.role} added`);
    else if (change.type === "assign") this.#markRole(configuration, change);
    else if (change.type === "remove" && isJoint(this.status().configuration)) {
      this.#counters.hit("voter removed");
    }
    return result;
  }

  #markRole(
    before: Configuration,
    { id, role }: Extract<ConfigurationChange, { type: "assign" }>,
  ): void {
    const old = roleOf(before, id);
    if (role === "voter") this.#counters.hit("standby promoted");
    else if (old === "voter") {
      this.#counters.hit(id === this.#id ? "leader demoted" : "voter demoted");
    } else if (old === "spare") this.#counters.hit("spare sent the log");
    else if (role === "spare") this.#counters.hit("standby made a spare");
  }

  override transfer(to: NodeId): ProposalResult {
    const result = super.transfer(to);
    if (result.accepted) {
      this.#counters.hit("transfer begun");
      this.#transferring = true;
    }
    return result;
  }

  override onUnreachable(peer: NodeId): void {
    const before = this.#stateOf(peer);
    super.onUnreachable(peer);
    if (before === "replicate" && this.#stateOf(peer) === "probe") {
      this.#counters.hit("peer probed after a lost link");
    }
  }

  override onPeerRestarted(peer: NodeId): void {
    if (this.#stateOf(peer) === "replicate") this.#counters.hit("peer restarted");
    this.#matches.delete(peer);
    super.onPeerRestarted(peer);
  }

  override installSnapshot(base: SnapshotBase): void {
    const { commitIndex, lastIndex } = this;
    const holds = this.termAt(base.index) === base.term;
    super.installSnapshot(base);
    const hit = (happened: boolean, mark: Parameters<Counters["hit"]>[0]) => {
      if (happened) this.#counters.hit(mark);
    };
    hit(!holds && base.index > commitIndex, "log replaced by a snapshot");
    hit(!holds && lastIndex > commitIndex, "uncommitted entries discarded by a snapshot");
    require(this.commitIndex >= base.index, () => `n${this.#id} ignores a snapshot`);
    require(
      this.termAt(base.index) === undefined || this.termAt(base.index) === base.term,
      () => `n${this.#id} keeps entries that contradict its snapshot`,
    );
  }

  override takeEffects(): Effects {
    const effects = super.takeEffects();
    this.#observe(effects);
    return effects;
  }

  /** A leader that no quorum answers any more steps down. */
  #checkContact(): void {
    if (this.role !== "leader") this.#leadsSince = this.#ticks;
    const patience = 2 * this.#electionTicks;
    if (this.#ticks - this.#leadsSince <= patience) return;
    const heard = (id: NodeId) =>
      id === this.#id || this.#ticks - (this.#heardAt.get(id) ?? -Infinity) <= patience;
    require(
      decides(this.status().configuration, heard),
      () => `n${this.#id} leads term ${this.term} for ${patience} ticks without a quorum`,
    );
  }

  /** A leader whose disk stands still makes way, unless it is alone. */
  #checkDisk(roleBefore: Role): void {
    if (this.#owes === undefined || roleBefore !== "leader") return;
    const stillFor = this.#ticks - this.#owes.since;
    if (stillFor < 2 * this.#electionTicks) return;
    if (this.role !== "leader") this.#counters.hit("leader with a stalled disk resigned");
    else {
      require(
        this.status().configuration.voters.length === 1 ||
          stillFor <= 2 * this.#electionTicks + DISK_SLACK_TICKS,
        () => `n${this.#id} leads while its disk stands still for ${stillFor} ticks`,
      );
    }
  }

  #stateOf(id: NodeId): string | undefined {
    if (this.role !== "leader") return undefined;
    return this.status().peers.find((peer) => peer.id === id)?.state;
  }

  #observe(effects: Effects): void {
    const counters = this.#counters;
    this.#place(effects);
    if (effects.mark !== undefined) {
      this.#owes = { mark: effects.mark, since: this.#owes?.since ?? this.#ticks };
    }
    if (effects.truncateFrom !== undefined) counters.hit("log truncated");
    if (effects.hardState?.votedFor === this.#id) {
      if (this.#campaigns++ > 0) counters.hit("election repeated");
    }
    if (this.leader !== undefined) this.#campaigns = 0;
    for (const { message } of effects.sendOnSync) {
      if (message.type === "vote_response" && !message.granted) {
        counters.hit(message.preVote ? "pre-vote refused" : "vote refused");
      }
      if (message.type === "append_response" && !message.success) counters.hit("append refused");
    }
    for (const { index } of effects.reads) {
      if (index === undefined) counters.hit("read refused");
      else {counters.hit(
          this.role === "leader" ? "leader read confirmed" : "follower read confirmed",
        );}
    }
    if (effects.changed) this.#observeChange(effects);
    if (this.#windowIsSmall && this.role === "leader" && effects.append.length > 0) {
      const behind = this.status().peers.some((peer) =>
        peer.state === "replicate" && peer.nextIndex <= this.lastIndex
      );
      if (behind) counters.hit("inflight window full");
    }
  }

  /** The latest configuration of the log is the one in force, but for a spare that was told. */
  #place({ reset, truncateFrom, append }: Effects): void {
    const placed = this.#placed;
    if (reset !== undefined) placed.splice(0, placed.length, reset);
    while (truncateFrom !== undefined && placed.at(-1)!.index >= truncateFrom) placed.pop();
    for (const entry of append) if (entry.type === "configuration") placed.push(entry);
  }

  /** One change at a time, and nobody leads who is not part of it any more. */
  #checkConfiguration(effects: Effects): void {
    const { configuration, configurationIndex, established } = this.status();
    const latest = this.#placed.at(-1);
    const isTold = configurationIndex === this.#toldIndex && configurationIndex > this.commitIndex;
    require(
      configurationIndex === (latest?.index ?? 0) || isTold,
      () => `n${this.#id} obeys entry ${configurationIndex}, its log has one at ${latest?.index}`,
    );
    require(
      latest?.index !== configurationIndex || isSame(configuration, latest.configuration),
      () => `n${this.#id} obeys another configuration than that of entry ${latest?.index}`,
    );
    if (this.role !== "leader") return;
    const appended = effects.append.filter((entry) => entry.type === "configuration").length;
    require(
      appended === 0 || appended === 1 && this.#configurationIndex <= this.commitIndex,
      () => `n${this.#id} changes the configuration twice at once`,
    );
    const isSettled = established && configurationIndex <= this.commitIndex;
    require(
      !isSettled || isJoint(configuration) || configuration.voters.includes(this.#id),
      () => `n${this.#id} leads, although it does not vote any more`,
    );
  }

  #observeChange(effects: Effects): void {
    const counters = this.#counters;
    const leads = this.role === "leader";
    if (leads && (!this.#wasLeader || this.term !== this.#lastTerm)) {
      counters.hit("leader elected");
    }
    const { configuration, configurationIndex, removed, peers } = this.status();
    if (!leads || this.term !== this.#lastTerm) this.#matches.clear();
    for (const { id, nextIndex, matchIndex, recovering } of peers) {
      require(nextIndex > matchIndex, () => `n${this.#id} goes back with n${id}`);
      const known = this.#matches.get(id) ?? 0;
      // One that lost a part of its log says so, and is believed.
      require(
        recovering || matchIndex >= known,
        () => `n${this.#id} takes back that n${id} holds ${known}`,
      );
      this.#matches.set(id, matchIndex);
    }
    for (const id of this.#matches.keys()) {
      if (!peers.some((peer) => peer.id === id)) this.#matches.delete(id);
    }
    this.#checkConfiguration(effects);
    if (this.#wasLeader && !leads && removed && this.term === this.#lastTerm) {
      counters.hit("removed leader retired");
    }
    if (configurationIndex < this.#configurationIndex) counters.hit("configuration truncated");
    const leaves = leads && !isJoint(configuration) &&
      effects.append.some((entry) => entry.index === configurationIndex);
    if (leaves && this.termAt(this.#configurationIndex) !== this.term) {
      // The entry before is the joint one, as only that one makes a leader append by itself.
      counters.hit("joint configuration left by another leader");
    }
    this.#configurationIndex = configurationIndex;
    this.#wasLeader = leads;
    this.#lastTerm = this.term;
  }
}

function isSame(one: Configuration, other: Configuration): boolean {
  if (one === other) return true;
  return String(encodeConfiguration(one)) === String(encodeConfiguration(other));
}
