/**
 * What to do when a follower and its leader held different pages after the same entry. One of the
 * two is wrong, and the log cannot tell which; the other members can. A follower that finds a
 * difference asks them. When more of them held what the follower held, the leader is told, and asks
 * for itself; otherwise, also when nobody else knows, it is the follower that diverged: what the
 * leader holds is what the next transactions are made of.
 */
import { DatabaseError, messageOf } from "../base/errors.ts";
import type { Clock } from "../io/clock.ts";
import type { Log } from "../observe/log.ts";
import type { LogIndex, Member, NodeId } from "../raft/types.ts";
import { isSameDigest } from "../replica/digest_history.ts";
import type { DigestClaim, PageDigest } from "../wire/command.ts";
import { Pause } from "../io/pause.ts";

/** That this node holds other pages than it should. */
export interface Divergence {
  /** The entry after which that was found. */
  readonly index: LogIndex;
  readonly own: PageDigest;
}

/** What judging a difference takes. */
export interface DivergenceOptions {
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly log: Log;
  readonly members: () => readonly Member[];
  readonly leader: () => NodeId | undefined;
  /** What this node held after an entry; undefined when it does not know. */
  readonly digestAt: (index: LogIndex) => PageDigest | undefined;
  /** Asks another node the same. */
  readonly ask: (member: Member, index: LogIndex) => Promise<PageDigest | undefined>;
  /** Tells the leader that others held something else. */
  readonly accuse: (leader: Member, index: LogIndex) => Promise<unknown>;
  /** This node must not answer any more. Not called again before {@linkcode healed}. */
  readonly onDiverged: (divergence: Divergence) => void;
}

/** The others may not have applied the entry yet. */
const ASK_TIMES = 5;
const ASK_AGAIN_MS = 200;

/** See the file comment. */
export class DivergenceJudge {
  readonly #options: DivergenceOptions;
  readonly #pause: Pause;
  #judging = false;
  #diverged: Divergence | undefined;
  #stopped = false;

  constructor(options: DivergenceOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
  }

  /** Set once it is certain that this node diverged. */
  get diverged(): Divergence | undefined {
    return this.#diverged;
  }

  /** This node holds what the others do again. */
  healed(): void {
    this.#diverged = undefined;
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.cut();
  }

  /** As a follower: the leader says to have held something else. */
  async differs(claim: DigestClaim, own: PageDigest): Promise<void> {
    const { leader, members, accuse, log } = this.#options;
    const leading = members().find(({ id }) => id === leader());
    await this.#once(async () => {
      const { index } = claim;
      log.error("this node and its leader held different pages", { index, leader: leading?.id });
      const { same, other } = await this.#poll(index, own, claim, leading?.id);
      // With this node and the leader themselves.
      if (same + 1 <= other + 1) return this.#diverge({ index, own });
      log.error("the leader diverged: others hold what this node holds", { index, others: same });
      if (leading === undefined) return;
      try {
        await accuse(leading, index);
      } catch (error) {
        log.warn("the leader was not told", { reason: messageOf(error) });
      }
    });
  }

  /** As the leader: a follower says that others held something else. */
  async accused(index: LogIndex): Promise<void> {
    const own = this.#options.digestAt(index);
    if (own === undefined) return;
    await this.#once(async () => {
      const { same, differing } = await this.#poll(index, own, undefined, undefined);
      if (differing > same + 1) this.#diverge({ index, own });
    });
  }

  async #once(judge: () => Promise<void>): Promise<void> {
    if (this.#judging || this.#diverged !== undefined || this.#stopped) return;
    this.#judging = true;
    try {
      await judge();
    } finally {
      this.#judging = false;
    }
  }

  /** How many others held the same, the other, and anything but the same. */
  async #poll(
    index: LogIndex,
    own: PageDigest,
    claim: PageDigest | undefined,
    except: NodeId | undefined,
  ): Promise<{ same: number; other: number; differing: number }> {
    const { nodeId, members } = this.#options;
    const asked = members().filter(({ id }) => id !== nodeId && id !== except);
    const answers = await Promise.all(asked.map((member) => this.#ask(member, index)));
    let same = 0;
    let other = 0;
    let differing = 0;
    for (const digest of answers) {
      if (digest === undefined) continue;
      if (isSameDigest(digest, own)) same++;
      else differing++;
      if (claim !== undefined && isSameDigest(digest, claim)) other++;
    }
    return { same, other, differing };
  }

  async #ask(member: Member, index: LogIndex): Promise<PageDigest | undefined> {
    for (let time = 1; time <= ASK_TIMES && !this.#stopped; time++) {
      try {
        const digest = await this.#options.ask(member, index);
        if (digest !== undefined) return digest;
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        this.#options.log.debug("no digest", { from: member.id, reason: error.message });
      }
      await this.#pause.wait(ASK_AGAIN_MS);
    }
    return undefined;
  }

  #diverge(divergence: Divergence): void {
    if (this.#stopped) return;
    this.#diverged = divergence;
    this.#options.onDiverged(divergence);
  }
}
