/** All that must hold after every step, told by one who sees every node and every disk at once. */
import type { Configuration, LogIndex, Message, NodeId, Term } from "../../../lib/raft/types.ts";
import type { SegmentLog } from "../../../lib/log/segment_log.ts";
import type { Raft } from "../../../lib/raft/raft.ts";
import type { Replica } from "../../../lib/replica/replica.ts";
import type { Reference, SimulatedMachine } from "../database.ts";
import type { Counters } from "../marks.ts";
import { type Durable, type Found, isSame } from "./durable.ts";
import { Elections, voteOf } from "./elections.ts";
import { History } from "./history.ts";
import { LogMatching } from "./log_matching.ts";
import { decides } from "./quorum.ts";
import { Requests } from "./requests.ts";
import { require } from "./violation.ts";

/** A running node as the checkers see it. */
export interface RunningView {
  readonly raft: Raft;
  readonly log: SegmentLog;
  readonly machine: SimulatedMachine;
  readonly replica: Replica;
  /** Entries that a leader may hold uncommitted, as configured. */
  readonly uncommittedMax: number;
}

/** A node as the checkers see it. */
export interface NodeView {
  readonly id: NodeId;
  readonly durable: Durable;
  readonly running: RunningView | undefined;
  /** Reads what a power cut would leave of the log now; undefined when there is none to read. */
  platter(): Found | undefined;
}

/** What was true of a node after its last step. */
interface Seen {
  readonly running: RunningView;
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  lastIndex: LogIndex;
  term: Term;
  /** What the databases held when the life began. */
  readonly firstApplied: LogIndex;
  /** Uncommitted entries that a leader began its term with. */
  inherited: number;
}

/** Entries that the bound does not count: a no-op, and the two of a change. */
const UNBOUNDED_ENTRIES = 3;

/** Checks everything. */
export class Oracle {
  readonly elections = new Elections();
  readonly logs = new LogMatching();
  readonly history: History;
  readonly requests: Requests;
  readonly #counters: Counters;
  /** Whether to read the platters this time. */
  readonly #sample: () => boolean;
  readonly #nodes = new Map<NodeId, NodeView>();
  readonly #seen = new Map<NodeId, Seen>();

  constructor(counters: Counters, reference: Reference, sample: () => boolean) {
    this.history = new History(reference);
    this.requests = new Requests(this.history);
    this.#counters = counters;
    this.#sample = sample;
  }

  /** A database is given up for a snapshot of `index`, not behind it unless it differs. */
  mayReplace(node: NodeView, index: LogIndex): void {
    const { running, durable } = node;
    if (running === undefined || durable.recovering || running.replica.diverged) return;
    const { appliedIndex } = running.replica;
    require(
      index >= appliedIndex,
      () => `n${node.id} gives up what it holds at ${appliedIndex} for a snapshot of ${index}`,
    );
  }

  watch(node: NodeView): void {
    this.#nodes.set(node.id, node);
  }

  /** To be called whenever a node did something. */
  check(node: NodeView): void {
    const { running } = node;
    if (running === undefined) return;
    const { raft, replica, machine } = running;
    let seen = this.#seen.get(node.id);
    if (seen?.running !== running) {
      const firstApplied = machine.checkpointIndex;
      const none = { commitIndex: 0, appliedIndex: 0, lastIndex: 0, term: 0, inherited: 0 };
      seen = { running, firstApplied, ...none };
      this.#seen.set(node.id, seen);
    }
    require(raft.term >= seen.term, () => `n${node.id} goes back to term ${raft.term}`);
    seen.term = raft.term;
    if (raft.role === "leader") this.#checkLeader(node, running, seen);
    this.commits(node);
    seen.lastIndex = raft.lastIndex;
    const { appliedIndex } = replica;
    if (appliedIndex === seen.appliedIndex) return;
    // A snapshot may be behind a database that was given up before; see `mayReplace`.
    const isInstalled = machine.installed?.index === appliedIndex;
    require(
      appliedIndex > seen.appliedIndex || node.durable.recovering || isInstalled,
      () => `n${node.id} goes back to ${appliedIndex}`,
    );
    require(
      // A log that was cut at damage may begin behind the databases.
      appliedIndex <= Math.max(raft.commitIndex, seen.firstApplied),
      () => `n${node.id} applies ${appliedIndex} too early`,
    );
    seen.appliedIndex = appliedIndex;
    if (replica.mode === "following" && replica.readable && machine.exists) {
      this.history.shows(appliedIndex, machine.content, `n${node.id}`);
    }
  }

  /** Takes in what a node knows to be committed. */
  commits(node: NodeView): void {
    const { running } = node;
    const seen = this.#seen.get(node.id);
    if (running === undefined || seen?.running !== running) return;
    const { raft, log } = running;
    const { commitIndex } = raft;
    if (commitIndex === seen.commitIndex) return;
    require(commitIndex > seen.commitIndex, () => `n${node.id} takes back ${seen.commitIndex}`);
    require(commitIndex <= raft.lastIndex, () => `n${node.id} commits beyond its log`);
    if (commitIndex > this.history.lastIndex) {
      this.#checkQuorum(node, running, commitIndex, seen.lastIndex);
    }
    const known = Math.min(commitIndex, this.history.lastIndex);
    if (known > seen.commitIndex) {
      this.history.agree(known, log.pointAt(known)?.chain, `n${node.id}`);
    }
    seen.commitIndex = commitIndex;
    if (commitIndex > known) this.#commitFirst(running, known + 1, commitIndex);
  }

  /** Nobody committed these before. */
  #commitFirst({ raft, log }: RunningView, first: LogIndex, last: LogIndex): void {
    for (let index = first; index <= last; index++) {
      const entry = this.logs.entryAt(index, log.termAt(index) ?? 0);
      require(entry !== undefined, () => `entry ${index} is not in the log`);
      if (entry.term < raft.term && entry.type === "command") {
        this.#counters.hit("entry of an older term committed");
      }
      const point = log.pointAt(entry.index);
      require(point !== undefined, () => `entry ${entry.index} has no place in the log`);
      this.history.add(entry, point.chain, raft.term, this.requests.refused);
    }
  }

  /** A message leaves a node. */
  sends(node: NodeView, to: NodeId, message: Message): void {
    this.elections.sent(node.id, to, message);
    const { durable } = node;
    const { hardState } = durable;
    const asks = (message.type === "vote_request" && message.preVote) ||
      (message.type === "vote_response" && message.preVote && message.granted);
    require(
      asks || hardState.term >= message.term,
      () => `n${node.id} tells term ${message.term}, on its disk is ${hardState.term}`,
    );
    const vote = voteOf(node.id, to, message);
    require(
      vote === undefined || hardState.term > message.term || hardState.votedFor === vote,
      () => `n${node.id} tells its vote for n${vote}, which is not on its disk`,
    );
    const isWeak = message.type === "vote_response" && message.recovering === true;
    require(
      vote === undefined || !durable.recovering || isWeak,
      () => `n${node.id} votes for n${vote} in term ${message.term}, and may have forgotten`,
    );
    const acknowledges = message.type === "append_response" && message.success;
    if (acknowledges) this.#checkAcknowledged(node, to, message.term, message.matchIndex);
    if ((acknowledges || vote !== undefined) && this.#sample()) {
      const found = node.platter();
      if (found !== undefined) durable.check(found, "after a power cut at this moment");
    }
  }

  /** A node says that its log lacks nothing any more that it acknowledged. */
  recovers({ id, durable }: NodeView): void {
    this.history.entries.forEach(({ term }, at) => {
      require(
        durable.promisedTerm(at + 1) !== term || durable.holds(at + 1, term),
        () => `n${id} takes its log for whole without the committed entry ${at + 1}`,
      );
    });
  }

  /** Entries are about to be applied. */
  applies(node: NodeView, index: LogIndex): void {
    require(
      index <= node.durable.lastIndex,
      () => `n${node.id} applies ${index}, on its disk is ${node.durable.lastIndex}`,
    );
    this.commits(node);
    require(index <= this.history.lastIndex, () => `n${node.id} applies ${index}, not committed`);
  }

  #checkLeader(node: NodeView, running: RunningView, seen: Seen): void {
    const { raft, log } = running;
    const { term } = raft;
    require(!node.durable.recovering, () => `n${node.id} leads, and may have forgotten`);
    if (this.elections.leads(node.id, term, () => configurationsSince(log, seen.lastIndex))) {
      seen.inherited = raft.lastIndex - raft.commitIndex;
      const index = this.history.lastBefore(term);
      require(
        index < Math.max(1, log.baseIndex) ||
          log.pointAt(index)?.term === this.history.entries[index - 1]!.term,
        () => `n${node.id} leads in term ${term} without the committed entry ${index}`,
      );
    }
    const waiting = raft.lastIndex - raft.commitIndex;
    require(
      waiting <= Math.max(running.uncommittedMax, seen.inherited) + UNBOUNDED_ENTRIES,
      () => `n${node.id} holds ${waiting} uncommitted entries`,
    );
  }

  #checkAcknowledged(node: NodeView, leader: NodeId, term: Term, index: LogIndex): void {
    const { durable } = node;
    require(
      index <= durable.lastIndex,
      () => `n${node.id} acknowledges ${index}, on its disk is ${durable.lastIndex}`,
    );
    const other = this.#nodes.get(leader)?.running;
    if (index === 0 || other?.raft.role !== "leader" || other.raft.term !== term) return;
    // The acknowledgement may be of an entry that the leader has compacted since.
    const ownTerm = other.raft.termAt(index);
    require(
      index < other.log.baseIndex ||
        ownTerm !== undefined && isSame(durable.terms[index - 1], ownTerm),
      () => `n${node.id} acknowledges entry ${index} of n${leader}, but holds another one`,
    );
  }

  /** Whoever is first to commit led, and disks of a quorum hold the entry. */
  #checkQuorum(node: NodeView, running: RunningView, index: LogIndex, lastIndex: LogIndex): void {
    const term = running.log.termAt(index);
    require(term !== undefined, () => `n${node.id} commits ${index}, which it does not hold`);
    const onPlatters = this.#sample();
    const holds = (id: NodeId): boolean => {
      const other = this.#nodes.get(id);
      if (other === undefined || !other.durable.holds(index, term)) return false;
      // What a node acknowledged before it was damaged may be counted, though it is gone.
      const found = onPlatters && !other.durable.recovering ? other.platter() : undefined;
      return found === undefined || isSame(found.terms[index - 1], term);
    };
    // What ruled before this step, or came in with it: the commit may have appended the next one.
    const possible = configurationsSince(running.log, lastIndex);
    require(
      possible.some((configuration) => decides(configuration, holds)),
      () => `n${node.id} commits entry ${index}, which no quorum of disks holds`,
    );
  }
}

/** The configuration in force up to `lastIndex`, and those that came into the log since. */
function configurationsSince(log: SegmentLog, lastIndex: LogIndex): readonly Configuration[] {
  let inForce = log.baseIndex > 0 ? log.baseConfiguration : undefined;
  const since: Configuration[] = [];
  log.forEach((index, _term, _size, configuration) => {
    if (configuration === undefined) return;
    if (index > lastIndex) since.push(configuration);
    else inForce = configuration;
  });
  return inForce === undefined ? since : [inForce, ...since];
}
