/** Changing who takes part, on the leader: join, promotion, removal, handing over. */
import { DatabaseError } from "../base/errors.ts";
import { LEADER_WAIT_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { Raft } from "../raft/raft.ts";
import { isMember, roleOf } from "../raft/configuration.ts";
import { weightIn, weightOf } from "../raft/priority.ts";
import type {
  ConfigurationChange,
  LogIndex,
  Member,
  MemberRole,
  NodeId,
  Term,
} from "../raft/types.ts";
import type { Replica } from "../replica/replica.ts";

/** What a node that wants to join is told. */
export type JoinReply =
  | { readonly status: "member"; readonly clusterId: string }
  /** Ask the leader instead, at the address of its cluster port. */
  | { readonly status: "redirect"; readonly address: string };

/** What a node that asks about a member is told. */
export interface StandingReply {
  readonly status: "member" | "removed";
}

/** The roles that a node can be given; one that becomes a voter is a learner until then. */
export type TargetRole = Exclude<MemberRole, "learner">;

/** What membership changes need. */
export interface MembershipOptions {
  readonly raft: Raft;
  readonly replica: Replica;
  readonly clock: Clock;
  readonly clusterId: string;
  readonly log: Log;
}

/** Pause before a change is tried again while another one is under way. */
const RETRY_MS = 50;
/** Time that a question about a member may take. */
const STANDING_WAIT_MS = 2_000;
/** How often the leader looks for learners that have caught up. */
const PROMOTE_MS = 100;

/** Carries out changes of the configuration. */
export class Membership {
  readonly #raft: Raft;
  readonly #replica: Replica;
  readonly #clock: Clock;
  readonly #clusterId: string;
  readonly #log: Log;
  #cancel: () => void = () => {};

  constructor(options: MembershipOptions) {
    this.#raft = options.raft;
    this.#replica = options.replica;
    this.#clock = options.clock;
    this.#clusterId = options.clusterId;
    this.#log = options.log;
  }

  /** Promotes learners as they catch up, for as long as this node leads. */
  start(): void {
    this.#cancel = this.#clock.after(PROMOTE_MS, () => {
      this.#promote();
      this.start();
    });
  }

  stop(): void {
    this.#cancel();
  }

  /**
   * Takes a node in. One that is to be a voter becomes one once it has caught up. Asked again by a
   * member, it brings the member's addresses and weight up to date.
   *
   * @throws {DatabaseError} `NO_LEADER`, `MEMBERSHIP`, `LEADERSHIP_LOST`.
   */
  async join(member: Member, role: TargetRole): Promise<JoinReply> {
    const { configuration, leader } = this.#raft.status();
    if (this.#raft.role !== "leader") {
      const address = configuration.members.find(({ id }) => id === leader)?.address;
      if (address !== undefined) return { status: "redirect", address };
      throw new DatabaseError("NO_LEADER", "This node knows no leader that could take a node in");
    }
    if (isMember(configuration, member.id)) await this.update(member);
    else {
      this.#requireFreeAddress(member);
      const first = role === "voter" ? "learner" : role;
      await this.#change({ type: "add", role: first, member });
    }
    return { status: "member", clusterId: this.#clusterId };
  }

  /**
   * Brings the addresses and the weight of a member up to date.
   *
   * @throws {DatabaseError} `NOT_LEADER`, `MEMBERSHIP`, `LEADERSHIP_LOST`.
   */
  async update(member: Member): Promise<void> {
    const { members } = this.#raft.status().configuration;
    const known = members.find(({ id }) => id === member.id);
    const isCurrent = known !== undefined && known.address === member.address &&
      known.httpUrl === member.httpUrl &&
      (member.weight === undefined || member.weight === weightOf(known));
    if (isCurrent) return;
    this.#requireFreeAddress(member);
    await this.#change({ type: "update_member", member });
  }

  #requireFreeAddress(member: Member): void {
    const { configuration } = this.#raft.status();
    const taken = configuration.members.find(({ id, address }) =>
      id !== member.id && address === member.address
    );
    if (taken !== undefined) {
      throw new DatabaseError(
        "MEMBERSHIP",
        `Address ${member.address} belongs to node ${taken.id}, which is a member already`,
        { hint: `Remove node ${taken.id} first, if it is gone for good` },
      );
    }
  }

  /**
   * Tells whether a node still is a member, as of now.
   *
   * @throws {DatabaseError} `NO_LEADER` when this node cannot be sure.
   */
  async standing(id: NodeId): Promise<StandingReply> {
    const deadlineMs = this.#clock.nowMs() + STANDING_WAIT_MS;
    const index = await new Promise<LogIndex | undefined>((resolve) => {
      this.#replica.linearize({ deadlineMs, retry: true }, resolve);
    });
    while (index === undefined || this.#replica.appliedIndex < index) {
      if (index === undefined || this.#clock.nowMs() > deadlineMs) {
        throw new DatabaseError("NO_LEADER", "This node cannot tell who is a member now");
      }
      await this.#pause();
    }
    const { configuration, configurationIndex, commitIndex } = this.#raft.status();
    const isCertain = configurationIndex <= commitIndex;
    const isGone = isCertain && !isMember(configuration, id);
    return { status: isGone ? "removed" : "member" };
  }

  /**
   * Gives a member another role. A voter-to-be is a learner until it has caught up, and becomes a
   * voter by itself then, should that take longer than this call waits.
   *
   * @returns The role that it has now.
   * @throws {DatabaseError} `NOT_LEADER`, `MEMBERSHIP`, `LEADERSHIP_LOST`.
   */
  async assign(id: NodeId, role: TargetRole): Promise<MemberRole> {
    const deadlineMs = this.#clock.nowMs() + LEADER_WAIT_MS;
    const present = this.#roleOf(id);
    const next = role === "voter" ? "learner" : role;
    const isUnderWay = present === role || (role === "voter" && present === "learner");
    if (this.#raft.role !== "leader" || !isUnderWay) {
      await this.#change({ type: "assign", id, role: next });
    }
    while (this.#roleOf(id) !== role && this.#raft.role === "leader") {
      if (this.#clock.nowMs() > deadlineMs) break;
      await this.#pause();
    }
    return this.#roleOf(id) ?? next;
  }

  #roleOf(id: NodeId): MemberRole | undefined {
    return roleOf(this.#raft.status().configuration, id);
  }

  /** @throws {DatabaseError} `NOT_LEADER`, `MEMBERSHIP`, `LEADERSHIP_LOST`. */
  async remove(id: NodeId): Promise<void> {
    await this.#change({ type: "remove", id });
  }

  /**
   * Hands leadership over.
   *
   * @param id To whom; undefined for the voter of the highest weight, or furthest ahead.
   * @throws {DatabaseError} `NOT_LEADER`, or `MEMBERSHIP` when nobody can or will take it.
   */
  async transfer(id: NodeId | undefined): Promise<void> {
    if (this.#raft.role !== "leader") {
      throw new DatabaseError("NOT_LEADER", "Only the leader can hand leadership over");
    }
    const successors = id === undefined ? this.#successors() : [id];
    if (successors.length === 0) {
      throw new DatabaseError("MEMBERSHIP", "There is no other voter to hand leadership to");
    }
    const term = this.#raft.term;
    for (const to of successors) {
      if (await this.#transferTo(to, term)) return;
    }
    const names = successors.join(", ");
    throw new DatabaseError("MEMBERSHIP", `Node ${names} did not take leadership in time`);
  }

  /** Returns false when this node still leads: the core gave the transfer up. */
  async #transferTo(to: NodeId, term: Term): Promise<boolean> {
    const result = this.#raft.transfer(to);
    this.#replica.schedule();
    if (!result.accepted) throw refusalError(result.refusal, result.reason);
    while (this.#raft.role === "leader" && this.#raft.term === term) {
      if (this.#raft.status().transferTarget !== to) return false;
      await this.#pause();
    }
    return true;
  }

  /** The voters, best first: those that answered lately, by their weight, by what they hold. */
  #successors(): NodeId[] {
    const { peers, configuration } = this.#raft.status();
    return peers
      .filter(({ id }) => configuration.voters.includes(id))
      .toSorted((a, b) =>
        Number(b.active) - Number(a.active) ||
        weightIn(configuration, b.id) - weightIn(configuration, a.id) ||
        b.matchIndex - a.matchIndex
      )
      .map(({ id }) => id);
  }

  #promote(): void {
    if (this.#raft.role !== "leader" || !this.#raft.established) return;
    const { configuration } = this.#raft.status();
    // One that does not catch up must not keep the others waiting.
    for (const id of configuration.learners) {
      const result = this.#raft.proposeConfiguration({ type: "assign", id, role: "voter" });
      if (!result.accepted) continue;
      this.#replica.schedule();
      this.#log.info("a node caught up, becomes a voter", { node: id });
      return;
    }
  }

  /** Proposes a change until it is accepted, and waits until it is committed. */
  async #change(change: ConfigurationChange): Promise<void> {
    const deadlineMs = this.#clock.nowMs() + LEADER_WAIT_MS;
    for (;;) {
      const result = this.#raft.proposeConfiguration(change);
      this.#replica.schedule();
      if (result.accepted) return await this.#committed(result.index, deadlineMs);
      const passing = result.refusal === "changing" || result.refusal === "busy";
      if (!passing || this.#clock.nowMs() > deadlineMs) {
        throw refusalError(result.refusal, result.reason);
      }
      await this.#pause();
    }
  }

  #committed(index: LogIndex, deadlineMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(deadlineMs - this.#clock.nowMs(), () => {
      reject(
        new DatabaseError(
          "LEADERSHIP_LOST",
          `The change in entry ${index} was not committed in time: it may still take effect`,
        ),
      );
    });
    this.#replica.whenApplied(index, () => {
      cancel();
      resolve();
    });
    return promise;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(RETRY_MS, resolve));
  }
}

function refusalError(refusal: string, reason: string): DatabaseError {
  return refusal === "not_leader"
    ? new DatabaseError("NOT_LEADER", reason)
    : new DatabaseError("MEMBERSHIP", `Cannot change the cluster: ${reason}`);
}
