/**
 * Whether this node still is a member. A voter that was removed hears of it when it asks for votes;
 * everybody else, and who finds none of the old voters, has to ask.
 */
import { messageOf } from "../base/errors.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { Raft } from "../raft/raft.ts";
import { parseStandingReply } from "./control.ts";

/** What asking needs. */
export interface StandingOptions {
  readonly raft: Raft;
  readonly clock: Clock;
  readonly log: Log;
  /** Cluster ports of those who may know. */
  readonly addresses: () => readonly string[];
  /** Asks a node about this one. */
  readonly ask: (address: string) => Promise<unknown>;
  /** Called once, when the cluster says that it goes on without this node. */
  readonly onRemoved: () => void;
}

/** A leader that is there makes itself heard within this time. */
const FIRST_CHECK_MS = 300;
const CHECK_MS = 1_000;

/** Asks, for as long as no leader is known. */
export class StandingKeeper {
  readonly #options: StandingOptions;
  #cancel: () => void = () => {};
  #stopped = false;

  constructor(options: StandingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(FIRST_CHECK_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #schedule(delayMs: number): void {
    this.#cancel = this.#options.clock.after(delayMs, () => void this.#check());
  }

  async #check(): Promise<void> {
    const { raft, addresses } = this.#options;
    if (raft.leader === undefined) {
      const answers = await Promise.all(addresses().map((address) => this.#isRemoved(address)));
      if (this.#stopped) return;
      if (answers.includes(true)) return this.#options.onRemoved();
    }
    if (!this.#stopped) this.#schedule(CHECK_MS);
  }

  /** False also when the node does not know, or does not answer. */
  async #isRemoved(address: string): Promise<boolean> {
    const { ask, log } = this.#options;
    try {
      return parseStandingReply(await ask(address)).status === "removed";
    } catch (error) {
      log.debug("a node does not tell whether this one is a member", {
        address,
        reason: messageOf(error),
      });
      return false;
    }
  }
}
