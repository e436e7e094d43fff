/** Two entries with the same index and term are the same, and so is everything before them. */
import type { LogIndex, Term } from "../../../lib/raft/types.ts";
import type { Chain } from "../../../lib/wire/chain.ts";
import { require } from "./violation.ts";

/** Every entry that any log ever held, by index and term. */
export class LogMatching {
  readonly #histories = new Map<number, Map<Term, Chain>>();

  /** A log holds an entry; `chain` names it and everything before it. */
  holds(index: LogIndex, term: Term, chain: Chain): void {
    let terms = this.#histories.get(index);
    if (terms === undefined) this.#histories.set(index, terms = new Map());
    const known = terms.get(term);
    if (known === undefined) terms.set(term, chain);
    else {
      require(
        known.a === chain.a && known.b === chain.b,
        () => `two histories end with entry ${index} of term ${term}`,
      );
    }
  }
}
