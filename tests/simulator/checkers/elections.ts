/** At most one leader in a term, one vote of a node in a term, both for ever. */
import type { Configuration, Message, NodeId, Term } from "../../../lib/raft/types.ts";
import { decides, guards } from "./quorum.ts";
import { require } from "./violation.ts";

/** Terms, leaders and votes as everybody could have seen them. */
export class Elections {
  readonly #leaders = new Map<Term, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** Those of nodes that did not say, each time, that they may have forgotten entries. */
  readonly #vouched = new Set<string>();

  /** Leaders that there ever were. */
  get count(): number {
    return this.#leaders.size;
  }

  /** The latest term that had a leader. */
  get lastTerm(): Term {
    return Math.max(0, ...this.#leaders.keys());
  }

  /**
   * A node leads in a term. Returns whether that is new.
   *
   * @param possible The configurations that may have been in force in its log when votes counted.
   */
  leads(id: NodeId, term: Term, possible: () => readonly Configuration[]): boolean {
    const known = this.#leaders.get(term);
    require(known === undefined || known === id, () => `n${known} and n${id} lead in term ${term}`);
    if (known !== undefined) return false;
    this.#leaders.set(term, id);
    const votedForIt = (voter: NodeId) =>
      voter === id || this.#votes.get(`${voter}@${term}`) === id;
    const vouchesForIt = (voter: NodeId) =>
      voter === id || votedForIt(voter) && this.#vouched.has(`${voter}@${term}`);
    require(
      possible().some((configuration) =>
        decides(configuration, votedForIt) && guards(configuration, vouchesForIt)
      ),
      () => `n${id} leads in term ${term} without the votes of a quorum`,
    );
    return true;
  }

  /** A node sent a message; one that shows its vote commits it for ever. */
  sent(from: NodeId, to: NodeId, message: Message): void {
    const vote = voteOf(from, to, message);
    if (vote === undefined) return;
    const key = `${from}@${message.term}`;
    const known = this.#votes.get(key);
    require(
      known === undefined || known === vote,
      () => `n${from} voted for n${known} and n${vote} in term ${message.term}`,
    );
    this.#votes.set(key, vote);
    const isWeak = message.type === "vote_response" && message.recovering === true;
    if (!isWeak) this.#vouched.add(key);
  }
}

/** Whom a message shows its sender to have voted for in the message's term. */
export function voteOf(from: NodeId, to: NodeId, message: Message): NodeId | undefined {
  if (message.type === "vote_request" && !message.preVote) return from;
  if (message.type === "vote_response" && !message.preVote && message.granted) return to;
  return undefined;
}
