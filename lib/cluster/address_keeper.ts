import { messageOf } from "../base/errors.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { Raft } from "../raft/raft.ts";
import type { Member } from "../raft/types.ts";

/** What keeping an address up to date needs. */
export interface AddressKeeperOptions {
  /** This node, as others reach it now. */
  readonly member: Member;
  readonly raft: Raft;
  readonly clock: Clock;
  readonly log: Log;
  /** Asks a node to bring a member's addresses up to date; the node itself when it leads. */
  readonly ask: (leader: Member) => Promise<unknown>;
  /** Asks whoever was a member before; for a node whose log tells of nobody. */
  readonly askAround: () => Promise<unknown>;
}

const CHECK_MS = 1_000;

/**
 * A member that starts again with other addresses tells the leader, so that the others and their
 * clients find it. It asks until the configuration says so.
 */
export class AddressKeeper {
  readonly #options: AddressKeeperOptions;
  #cancel: () => void = () => {};
  #stopped = false;

  constructor(options: AddressKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancel = this.#options.clock.after(CHECK_MS, () => void this.#check());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #check(): Promise<void> {
    const { raft, log, ask, askAround } = this.#options;
    const { configuration, leader } = raft.status();
    if (this.#isKnown(configuration.members)) return;
    const leading = configuration.members.find(({ id }) => id === leader);
    try {
      if (leading !== undefined) await ask(leading);
      else if (configuration.members.length === 0) await askAround();
    } catch (error) {
      log.debug("the leader does not know this node's addresses yet", {
        reason: messageOf(error),
      });
    }
    if (!this.#stopped) this.start();
  }

  /** Also true for a node that is no member: it was removed, and tells nobody anything. */
  #isKnown(members: readonly Member[]): boolean {
    const { member } = this.#options;
    const known = members.find(({ id }) => id === member.id);
    if (known === undefined) return members.length > 0;
    return known.address === member.address && known.httpUrl === member.httpUrl;
  }
}
