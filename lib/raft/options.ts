import { assert } from "../base/assert.ts";
import {
  APPEND_BYTES_MAX,
  APPEND_ENTRIES_MAX,
  INFLIGHT_BYTES_MAX,
  INFLIGHT_MESSAGES_MAX,
  PENDING_READS_MAX,
  UNCOMMITTED_BYTES_MAX,
  UNCOMMITTED_ENTRIES_MAX,
} from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Configuration, HardState, LogIndex, NodeId, Term } from "./types.ts";

/** Bounds of the core; their meaning and defaults are those of `lib/base/limits.ts`. */
export interface RaftLimits {
  readonly appendEntriesMax: number;
  readonly appendBytesMax: number;
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedEntriesMax: number;
  readonly uncommittedBytesMax: number;
  readonly pendingReadsMax: number;
}

/** What a core is made with. */
export interface RaftOptions {
  readonly id: NodeId;
  /** Spreads election timeouts, and sets where read tickets start. */
  readonly random: Random;
  /**
   * Ticks of silence after which a leader counts as lost; drawn from `[n, 2n)` for each wait,
   * later for a node of lower weight than other voters.
   */
  readonly electionTicks: number;
  /** Ticks between two heartbeats. */
  readonly heartbeatTicks: number;
  /**
   * Ticks for which the answers of a quorum let a leader answer reads without asking again; 0, the
   * default, asks for every read. Less than `electionTicks`, and either on all nodes or on none.
   *
   * This trusts clocks, which nothing else does. While the leader counts `leaseTicks` ticks, every
   * other node must count at most `electionTicks - 1`: so clocks may run at rates that differ by
   * the factor `(electionTicks - 1) / leaseTicks`, they may not jump, and none may stand still
   * while its node is paused or its machine sleeps. The driver must let every tick that is due
   * pass before it hands over anything else. That of `lib/replica` lets late ticks go, so that a
   * pause costs no election: it must not set this.
   */
  readonly leaseTicks?: number;
  readonly limits?: Partial<RaftLimits>;
}

/** One entry that survived a restart, without its payload. */
export interface RestoredEntry {
  readonly index: LogIndex;
  readonly term: Term;
  /** Bytes of the payload; 0 when the entry is not a command. */
  readonly sizeBytes: number;
  /** Set when the entry is a configuration. */
  readonly configuration?: Configuration | undefined;
}

/** What was durable when the node stopped. */
export interface RestoredState {
  readonly hardState: HardState;
  /** Always `baseIndex + 1`. */
  readonly firstIndex: LogIndex;
  /** The entries from `firstIndex` on, in order. */
  readonly entries: Iterable<RestoredEntry>;
  /** The last entry that the log does not hold any more; 0 when it is whole. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  /** The configuration as of `baseIndex`; empty for index 0. */
  readonly baseConfiguration: Configuration;
  /** An index known to be committed, such as that of the last durable checkpoint. */
  readonly commitIndex: LogIndex;
  /**
   * Set when the log was cut at damage, now or at an earlier start, and that was not made good: a
   * positive number that no start of this node used before. Then `commitIndex` does not count: the
   * log may hold something else there.
   */
  readonly recoveryNonce?: number | undefined;
}

/** Fills in the defaults and checks the rest. */
export function limitsOf(limits: Partial<RaftLimits> = {}): RaftLimits {
  const complete: RaftLimits = {
    appendEntriesMax: APPEND_ENTRIES_MAX,
    appendBytesMax: APPEND_BYTES_MAX,
    inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
    inflightBytesMax: INFLIGHT_BYTES_MAX,
    uncommittedEntriesMax: UNCOMMITTED_ENTRIES_MAX,
    uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
    pendingReadsMax: PENDING_READS_MAX,
    ...limits,
  };
  for (const [name, value] of Object.entries(complete)) {
    assert(Number.isSafeInteger(value) && value > 0, `${name} must be positive: ${value}`);
  }
  return complete;
}
