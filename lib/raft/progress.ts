/**
 * How a leader sees one peer.
 *
 * ```
 *           success                 entries are gone
 *   probe ──────────► replicate      ┌──────────► snapshot
 *     ▲    refusal,      │         probe             │
 *     └── lost link ─────┘           ▲── has caught up to the log ──┘
 * ```
 * - `matchIndex < nextIndex`, always.
 * - `matchIndex` never decreases while the peer runs; it came from the peer in this term.
 * - In `probe` and `snapshot` one message is under way at most; in `replicate` as many as
 *   `inflight` allows.
 */
import { Inflight } from "./inflight.ts";
import type { RaftLimits } from "./options.ts";
import type { LogIndex, NodeId, RecoveryStatement } from "./types.ts";

export class Progress {
  readonly id: NodeId;
  readonly inflight: Inflight;
  readonly #limits: RaftLimits;
  /** Changed by the methods below only. */
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** The peer holds everything up to here, durably. */
  matchIndex: LogIndex = 0;
  /** The next entry to send. */
  nextIndex: LogIndex;
  /** A probe is under way: wait for its answer, or for a heartbeat's. */
  paused = false;
  /** The highest commit index that the peer was told and can act on. */
  toldCommitIndex: LogIndex = 0;
  /** The tick of the last message from the peer. */
  heardAtTick: number | undefined;
  /** The latest read round that the peer confirmed. */
  confirmedRound = 0;
  /** The latest read round that waited for the peer's answer. */
  decidedRound = 0;
  /** The tick from which its promise to elect nobody counts; -1 when there is none. */
  promisedAtTick = -1;
  /** It held everything that was committed at some moment, and has answered ever since. */
  caughtUp = false;
  /** It is sent nothing of the log. */
  spare = false;
  /** Set while it is recovering: what it was told of the end of this log. */
  recovery: RecoveryStatement | undefined;
  /** `matchIndex` at the last heartbeat's answer: no change since means a message may be lost. */
  matchAtHeartbeat: LogIndex = -1;

  /** @param nextIndex Where to look first, usually the entry after the leader's last. */
  constructor(id: NodeId, nextIndex: LogIndex, limits: RaftLimits) {
    this.id = id;
    this.nextIndex = nextIndex;
    this.#limits = limits;
    this.inflight = new Inflight(limits.inflightMessagesMax, limits.inflightBytesMax);
  }

  /** What of its log counts: nothing while it is recovering. */
  get heldIndex(): LogIndex {
    return this.recovery === undefined ? this.matchIndex : 0;
  }

  /** Goes back to sending one message at a time, from the last certain entry. */
  probe(): void {
    this.state = "probe";
    this.nextIndex = this.matchIndex + 1;
    this.paused = false;
    this.inflight.clear();
  }

  /**
   * The peer needs entries that the log does not hold any more, as far as is known: it is offered
   * a snapshot, again and again, until it answers that it has come by them.
   */
  awaitSnapshot(): void {
    this.state = "snapshot";
    this.caughtUp = false;
    this.inflight.clear();
  }

  /** The peer restarted: what it acknowledged to us has to be confirmed again. */
  restart(nextIndex: LogIndex): void {
    this.matchIndex = 0;
    this.toldCommitIndex = 0;
    this.confirmedRound = 0;
    this.promisedAtTick = -1;
    this.caughtUp = false;
    this.recovery = undefined;
    this.probe();
    this.nextIndex = nextIndex;
  }

  /** It is to be sent the log, from where it is; or nothing of it any more. */
  setSpare(spare: boolean): void {
    if (spare === this.spare) return;
    this.spare = spare;
    this.caughtUp = false;
    this.toldCommitIndex = 0;
    const { nextIndex } = this;
    this.probe();
    // Nothing is known of one that was never sent anything.
    if (this.matchIndex === 0) this.nextIndex = nextIndex;
  }

  /** An append message up to `lastIndex` was sent. */
  sent(lastIndex: LogIndex, sizeBytes: number): void {
    if (this.state !== "replicate") {
      this.paused = true;
      return;
    }
    this.inflight.add(lastIndex, sizeBytes);
    this.nextIndex = lastIndex + 1;
  }

  /**
   * The peer holds everything up to `matchIndex`. Old answers change nothing.
   *
   * @param baseIndex The entry before the first one that the leader's log holds.
   * @returns Whether anything changed.
   */
  acknowledged(matchIndex: LogIndex, baseIndex: LogIndex): boolean {
    const advanced = matchIndex > this.matchIndex;
    if (advanced) this.matchIndex = matchIndex;
    this.nextIndex = Math.max(this.nextIndex, this.matchIndex + 1);
    this.inflight.acknowledge(matchIndex);
    if (this.state === "replicate") return advanced;
    if (this.state === "snapshot" && this.matchIndex < baseIndex) return advanced;
    this.state = "replicate";
    this.nextIndex = this.matchIndex + 1;
    this.paused = false;
    return true;
  }

  /**
   * The peer has another entry, or none, at `prevIndex`.
   *
   * @param agreeIndex Where the logs may agree at the latest.
   * @returns Whether the refusal is of the latest message; old ones change nothing.
   */
  refused(prevIndex: LogIndex, agreeIndex: LogIndex): boolean {
    if (prevIndex <= this.matchIndex) return false;
    if (this.state === "replicate") {
      this.probe();
      return true;
    }
    if (this.state === "snapshot" || prevIndex !== this.nextIndex - 1) return false;
    this.nextIndex = Math.max(Math.min(prevIndex, agreeIndex + 1), this.matchIndex + 1);
    this.paused = false;
    return true;
  }

  /** Whether the peer answered within the last `withinTicks`. */
  isActive(nowTick: number, withinTicks: number): boolean {
    return this.heardAtTick !== undefined && nowTick - this.heardAtTick < withinTicks;
  }

  copy(): Progress {
    const copy = new Progress(this.id, this.nextIndex, this.#limits);
    return Object.assign(copy, this, { inflight: this.inflight.copy() });
  }
}
