/** Two entries with the same index and term are the same, and so is everything before them. */
import type { Entry, LogIndex, Term } from "../../../lib/raft/types.ts";
import type { Chain } from "../../../lib/wire/chain.ts";
import { require } from "./violation.ts";

/** Every entry that any log ever held, by index and term. */
export class LogMatching {
  readonly #histories = new Map<number, Map<Term, Chain>>();
  readonly #entries = new Map<string, Entry>();

  /** An entry as it was when it first entered a log, whatever became of the disk since. */
  entryAt(index: LogIndex, term: Term): Entry | undefined {
    return this.#entries.get(`${index}@${term}`);
  }

  /** An entry enters a log; `chain` names it and everything before it. */
  enters(entry: Entry, chain: Chain): void {
    const key = `${entry.index}@${entry.term}`;
    if (!this.#entries.has(key)) this.#entries.set(key, entry);
    this.holds(entry.index, entry.term, chain);
  }

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
