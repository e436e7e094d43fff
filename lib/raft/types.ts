/**
 * The vocabulary of consensus: entries, configurations, messages, and what the core asks its
 * driver to do. Nothing here knows of sockets, files or clocks.
 */

/** A positive integer below 2^53, drawn at random when a data folder is made, and never reused. */
export type NodeId = number;
/** A Raft term; 0 before the first election. */
export type Term = number;
/** The place of an entry in the log, from 1; 0 means before the first entry. */
export type LogIndex = number;

/** One machine of the cluster. Only the id decides anything in consensus. */
export interface Member {
  readonly id: NodeId;
  /** `HOST:PORT` of the cluster port, as other nodes reach it. */
  readonly address: string;
  /** URL of the HTTP port, as clients reach it. */
  readonly httpUrl: string;
  /**
   * How much this node should lead, from 0 to 255; 1 when it is not set. Voters of lower weights
   * wait longer before they campaign, and are handed leadership last. 0: only if nobody else can.
   */
  readonly weight?: number | undefined;
}

/**
 * Who takes part. While `votersOutgoing` is not empty the configuration is joint: every decision
 * needs a majority of `voters` and one of `votersOutgoing` (Raft thesis, §4.3).
 * Each list is sorted by id. A standby or a spare among the outgoing voters votes until the joint
 * configuration is left, and has that role alone from then on.
 */
export interface Configuration {
  readonly voters: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
  /** Standbys that become voters as soon as they have caught up. */
  readonly learners: readonly NodeId[];
  /** They receive the log and do not vote. */
  readonly standbys: readonly NodeId[];
  /** They know of the cluster, and receive nothing of the log. */
  readonly spares: readonly NodeId[];
  /** Every node of the five lists, sorted by id. */
  readonly members: readonly Member[];
}

interface EntryHead {
  readonly index: LogIndex;
  readonly term: Term;
}

/**
 * One entry of the log. The core never looks into `payload`; it passes the reference on.
 * `checksum` is the CRC-32C of the payload, computed once by the proposer and verified at every
 * later hand (receive, read back from disk).
 */
export type Entry =
  & EntryHead
  & (
    | { readonly type: "noop" }
    | { readonly type: "command"; readonly payload: Uint8Array; readonly checksum: number }
    | { readonly type: "configuration"; readonly configuration: Configuration }
  );

/**
 * The last entry that a snapshot contains, with what a log that begins after it has to know. The
 * entry is committed.
 */
export interface SnapshotBase {
  readonly index: LogIndex;
  readonly term: Term;
  /** Names the history up to the entry. The core never looks into it, and passes it on. */
  readonly chain: { readonly a: number; readonly b: number };
  /** The configuration as of the entry. */
  readonly configuration: Configuration;
  /**
   * The term of the node that vouched for it, at that moment: every leader of this term, or of a
   * later one, holds the entry.
   */
  readonly knownInTerm: Term;
}

/** Where a leader's log ended after a node that is recovering had started; see recovery.ts. */
export interface RecoveryStatement {
  /** Which start of that node. */
  readonly nonce: number;
  readonly lastIndex: LogIndex;
}

/** What a message between nodes says. Every message carries its sender's term. */
export type Message =
  | {
    readonly type: "vote_request";
    readonly term: Term;
    /** Asks whether an election would succeed; changes nothing at the voter (thesis, §9.6). */
    readonly preVote: boolean;
    readonly lastIndex: LogIndex;
    readonly lastTerm: Term;
    /** The candidate's commit index and its term: lets a voter learn of a finished change. */
    readonly commitIndex: LogIndex;
    readonly commitTerm: Term;
    /** The leader asked for this election: the voter's lease does not stand in the way. */
    readonly transfer: boolean;
  }
  | {
    readonly type: "vote_response";
    readonly term: Term;
    readonly preVote: boolean;
    readonly granted: boolean;
    /** Set while a voter that grants is recovering: its vote is weak, see recovery.ts. */
    readonly recovering?: boolean;
    readonly commitIndex: LogIndex;
    readonly commitTerm: Term;
  }
  | {
    readonly type: "append_request";
    readonly term: Term;
    readonly prevIndex: LogIndex;
    readonly prevTerm: Term;
    readonly commitIndex: LogIndex;
    readonly entries: readonly Entry[];
    /** Set for a receiver that is recovering. */
    readonly recovery?: RecoveryStatement | undefined;
  }
  | {
    readonly type: "append_response";
    readonly term: Term;
    /** `prevIndex` of the request that is answered, or of the first of several in a row. */
    readonly prevIndex: LogIndex;
    readonly success: boolean;
    /** On success: `prevIndex` plus the entries of the request(s), and nothing beyond. */
    readonly matchIndex: LogIndex;
    /** On refusal: where the leader may look next. */
    readonly hintIndex: LogIndex;
    readonly hintTerm: Term;
    /** Set while the sender is recovering: a number of this start of it, never used before. */
    readonly nonce?: number | undefined;
  }
  | {
    readonly type: "heartbeat_request";
    readonly term: Term;
    /** Never beyond what the follower is known to hold. */
    readonly commitIndex: LogIndex;
    /** The confirmation round of linearizable reads; echoed by the response. */
    readonly round: number;
  }
  | { readonly type: "heartbeat_response"; readonly term: Term; readonly round: number }
  | {
    /** A follower asks the leader for the index a linearizable read must wait for. */
    readonly type: "read_request";
    readonly term: Term;
    readonly ticket: number;
  }
  | {
    readonly type: "read_response";
    readonly term: Term;
    readonly ticket: number;
    /** Undefined when the node asked does not lead, or cannot confirm that it does. */
    readonly index: LogIndex | undefined;
  }
  | { readonly type: "timeout_now"; readonly term: Term }
  | {
    /**
     * The leader's log begins after this entry, and the receiver needs some that come before, as
     * far as the leader knows. Repeated until it answers that it holds the entry.
     */
    readonly type: "snapshot_offer";
    readonly term: Term;
    readonly baseIndex: LogIndex;
    readonly baseTerm: Term;
  }
  | {
    /** Tells a node that it is not part of the cluster any more. */
    readonly type: "removed";
    readonly term: Term;
    readonly configurationIndex: LogIndex;
  }
  | {
    /**
     * A leader's heartbeat to a spare: the latest configuration that is committed. The spare keeps
     * it in memory only.
     */
    readonly type: "configuration";
    readonly term: Term;
    /** The entry that holds it. */
    readonly index: LogIndex;
    readonly configuration: Configuration;
  };

/** A message as it leaves the core. */
export type Outbound =
  | { readonly to: NodeId; readonly message: Exclude<Message, { type: "append_request" }> }
  | {
    readonly to: NodeId;
    /**
     * The driver puts the entries `[first, last]` in, from its log, at the moment of sending.
     * `last < first` means no entries. Should some be gone from the log (truncated meanwhile), the
     * message is dropped.
     */
    readonly message: {
      readonly type: "append_range";
      readonly term: Term;
      readonly prevIndex: LogIndex;
      readonly prevTerm: Term;
      readonly commitIndex: LogIndex;
      readonly first: LogIndex;
      readonly last: LogIndex;
      readonly recovery?: RecoveryStatement | undefined;
    };
  };

/** Term and vote: durable before any message that reveals them. */
export interface HardState {
  readonly term: Term;
  /** Whom this node voted for in `term`; undefined when nobody. Never cleared inside a term. */
  readonly votedFor: NodeId | undefined;
}

/**
 * Names a state of the log: everything up to `index`, as it was written in `leaderTerm`. Compared
 * lexicographically; an index alone is ambiguous once a log was truncated and filled again. The
 * mark of a write also stands for the term and vote of that write and of all before it.
 */
export interface LogMark {
  readonly leaderTerm: Term;
  readonly index: LogIndex;
}

/** The part of a member that does not vote; see {@linkcode Configuration}. */
export type NonVoter = "learner" | "standby" | "spare";

/** The part of a member in the cluster. */
export type MemberRole = "voter" | NonVoter;

/** What a node does at the moment. */
export type Role = "follower" | "pre_candidate" | "candidate" | "leader";

/** Answer to a request for a linearizable read. */
export type ReadResult = {
  readonly ticket: number;
  /** Read once this index is applied; undefined when leadership was lost: ask again. */
  readonly index: LogIndex | undefined;
};

/**
 * What the core wants done, in this order: `hardState`, `reset`, `truncateFrom`, `append`,
 * `recovered` go into one ordered write, `send` may leave at once, `sendOnSync` only when that
 * write (and every earlier one) is durable. When `mark` is set, the driver reports it by
 * `onDurable(mark)` at that moment.
 */
export interface Effects {
  hardState: HardState | undefined;
  /** The whole log is to be forgotten; it goes on after this entry. As it was installed. */
  reset: SnapshotBase | undefined;
  /** Entries from here on are to be forgotten, before `append`. */
  truncateFrom: LogIndex | undefined;
  append: Entry[];
  /** With this the log holds again all that this node ever acknowledged; last of the write. */
  recovered: boolean;
  mark: LogMark | undefined;
  send: Outbound[];
  sendOnSync: Outbound[];
  /** The commit index, when it moved. */
  commitIndex: LogIndex | undefined;
  /** The leader, when its log lacks what this node needs. Said again with each of its offers. */
  snapshotNeeded: NodeId | undefined;
  reads: ReadResult[];
  /**
   * True when role, term, leader, configuration, `established`, `removed` or a peer's replication
   * state changed; look at `status()`.
   */
  changed: boolean;
}

/** A change of who takes part. One at a time; voters come and go through a joint configuration. */
export type ConfigurationChange =
  | { readonly type: "add"; readonly member: Member; readonly role: NonVoter }
  /**
   * Gives a member another role. Only who receives the log and has caught up becomes a voter; the
   * only voter stays one.
   */
  | { readonly type: "assign"; readonly id: NodeId; readonly role: MemberRole }
  | { readonly type: "remove"; readonly id: NodeId }
  /**
   * Changes the addresses and the weight of a member, never its part in decisions. A weight that
   * is not named stays.
   */
  | { readonly type: "update_member"; readonly member: Member };

/** Why a proposal was refused; nothing was appended. */
export type ProposalRefusal =
  | "not_leader"
  /** The uncommitted part of the log is at its bound. */
  | "busy"
  /** Leadership is on its way to another node. */
  | "transferring"
  /** A change of the configuration is under way, or none may start yet. */
  | "changing"
  /** The change is not valid; `reason` says why. */
  | "invalid";

/** The outcome of a proposal. */
export type ProposalResult =
  | { readonly accepted: true; readonly index: LogIndex; readonly term: Term }
  | { readonly accepted: false; readonly refusal: ProposalRefusal; readonly reason: string };

/** How a leader sees one peer. */
export interface PeerStatus {
  readonly id: NodeId;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  /** Whether it answered within the last election timeout. */
  readonly active: boolean;
  /** Whether its log was cut at damage: what it holds does not count yet. */
  readonly recovering: boolean;
}

/** A view of the core, for the driver, tests and operators. */
export interface Status {
  readonly id: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly votedFor: NodeId | undefined;
  readonly leader: NodeId | undefined;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  readonly commitIndex: LogIndex;
  /** True when leading and an entry of the own term is committed. */
  readonly established: boolean;
  /** The one in force: the latest in the log, or a later one that a spare was told. */
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  /** True once this node learned that it was removed. */
  readonly removed: boolean;
  /** Whether the log was cut at damage, and no leader has confirmed that nothing is missing. */
  readonly recovering: boolean;
  /** Whom the leader hands over to at the moment. */
  readonly transferTarget: NodeId | undefined;
  readonly peers: readonly PeerStatus[];
}
