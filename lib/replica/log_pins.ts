import { MEMBERS_MAX, SNAPSHOT_PIN_MS } from "../base/limits.ts";
import type { LogIndex, NodeId } from "../raft/types.ts";

/**
 * Which entries other nodes are about to need: those behind the snapshots that they take. A pin
 * ends by itself, for its node may be gone for good; that node then needs another snapshot.
 */
export class LogPins {
  readonly #pins = new Map<NodeId, { readonly index: LogIndex; untilMs: number }>();

  /** Keeps the entries after `index` for `id`, in place of what was kept for it before. */
  pin(id: NodeId, index: LogIndex, nowMs: number): void {
    this.#drop(nowMs);
    const [oldest] = this.#pins.keys();
    if (this.#pins.size >= MEMBERS_MAX && oldest !== undefined) this.#pins.delete(oldest);
    this.#pins.delete(id);
    this.#pins.set(id, { index, untilMs: nowMs + SNAPSHOT_PIN_MS });
  }

  /** The node was heard of: what is kept for it is kept for as long again. */
  renew(id: NodeId, nowMs: number): void {
    const pin = this.#pins.get(id);
    if (pin !== undefined) pin.untilMs = nowMs + SNAPSHOT_PIN_MS;
  }

  /** The lowest index whose successors are kept; infinite when there is none. */
  lowest(nowMs: number): LogIndex {
    this.#drop(nowMs);
    return Math.min(Infinity, ...[...this.#pins.values()].map(({ index }) => index));
  }

  #drop(nowMs: number): void {
    for (const [id, { untilMs }] of [...this.#pins]) if (untilMs <= nowMs) this.#pins.delete(id);
  }
}
