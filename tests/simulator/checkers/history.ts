/**
 * What was committed, by whoever said so first: entries, transactions, and the pages after each.
 * Everybody who commits, applies or reads later has to agree with it.
 */
import type { Configuration, Entry, LogIndex, Term } from "../../../lib/raft/types.ts";
import type { Chain } from "../../../lib/wire/chain.ts";
import type { Content, Ran, Reference } from "../database.ts";
import { GONE } from "./durable.ts";
import { require } from "./violation.ts";

interface Committed {
  readonly term: Term;
  /** The term in which it was first known to be committed. */
  readonly inTerm: Term;
  /** Names this entry and everything before it. */
  readonly chain: Chain;
  /** Digest of the pages after this entry; undefined before there is a database. */
  readonly digest: number | undefined;
  /** Transactions after this entry. */
  readonly count: number;
}

/** The committed log, with its meaning. */
export class History {
  readonly entries: Committed[] = [];
  /** Ids of the committed transactions, in order. */
  readonly ids: number[] = [];
  readonly #positions = new Map<number, number>();
  /** The chain of page 0 after each number of transactions. */
  readonly #chains: number[] = [0];
  /** What each whole batch left, by the number of transactions. */
  readonly #batches = new Map<number, { readonly index: LogIndex; readonly digest: number }>();
  readonly #reference: Reference;
  /** Whether a batch was begun and not ended yet. */
  #inBatch = false;
  /** The latest configuration that was committed. */
  lastConfiguration: Configuration | undefined;
  /** Batches that were begun and never ended. */
  abandoned = 0;

  constructor(reference: Reference) {
    this.#reference = reference;
  }

  get lastIndex(): LogIndex {
    return this.entries.length;
  }

  /** The place of a transaction, from 1; undefined when it is not committed. */
  positionOf(id: number): number | undefined {
    return this.#positions.get(id);
  }

  /** The last entry that was committed before `term` began, as far as anybody knew. */
  lastBefore(term: Term): LogIndex {
    let index = this.entries.length;
    while (index > 0 && this.entries[index - 1]!.inTerm >= term) index--;
    return index;
  }

  /** A node commits the entry after the last one that anybody committed. */
  add(entry: Entry, chain: Chain, inTerm: Term, refused: ReadonlySet<number>): void {
    const index = this.entries.length + 1;
    require(entry.index === index, () => `entry ${entry.index} is committed after ${index - 1}`);
    if (entry.type === "command") this.#take(entry.payload, index, refused);
    if (entry.type === "configuration") this.lastConfiguration = entry.configuration;
    this.entries.push({
      term: entry.term,
      inTerm,
      chain,
      digest: this.#reference.content?.digest(),
      count: this.ids.length,
    });
  }

  /** A node commits everything up to an entry that another one committed before. */
  agree(index: LogIndex, chain: Chain | undefined, who: string): void {
    const known = this.entries[index - 1];
    require(
      known !== undefined && known.chain.a === chain?.a && known.chain.b === chain.b,
      () => `${who} commits another history up to entry ${index}`,
    );
  }

  /** A disk holds the terms of a log: what was committed comes first, unless it was compacted. */
  isPrefixOf(terms: readonly Term[], who: string): void {
    const wrong = this.entries.findIndex(({ term }, at) => {
      return terms[at] !== term && terms[at] !== GONE;
    });
    require(wrong === -1, () => `the disk of ${who} does not hold entry ${wrong + 1} at the end`);
  }

  /** The pages of a node that applied everything up to `index`. */
  shows(index: LogIndex, pages: Content, who: string): void {
    const known = this.entries[index - 1];
    require(known !== undefined, () => `${who} applied entry ${index}, which nobody committed`);
    require(
      known.digest === pages.digest(),
      () => `${who} shows other pages at ${index}: ${pages.count} transactions, not ${known.count}`,
    );
  }

  /** Pages that a checkpoint may hold: those after a whole batch that is durable on that node. */
  mayBeCopied(pages: Content, durableIndex: LogIndex, who: string): void {
    const known = this.#batches.get(pages.count);
    require(
      known?.digest === pages.digest(),
      () => `${who} releases pages that were never committed, with ${pages.count} transactions`,
    );
    require(
      known.index <= durableIndex,
      () => `${who} releases entry ${known.index}, on its disk is ${durableIndex}`,
    );
  }

  /** What a read returned: the first `count` transactions, and nothing else. */
  read(count: number, chain: number, who: string): void {
    require(
      this.#chains[count] === chain,
      () => `${who}: a read shows ${count} transactions that were not committed so`,
    );
  }

  #take(payload: Uint8Array, index: LogIndex, refused: ReadonlySet<number>): void {
    const before = this.#reference.content;
    const taken = this.#reference.take(payload);
    if (taken.type === "create") {
      require(before === undefined, () => `the database is created again at ${index}`);
    } else {
      if (taken.first && this.#inBatch) this.abandoned++;
      this.#inBatch = taken.ran === undefined;
      if (taken.ran === undefined) return;
      for (const ran of taken.ran) this.#run(ran, refused);
    }
    const { content } = this.#reference;
    require(content?.count === this.ids.length, () => `transactions are lost at ${index}`);
    this.#batches.set(content.count, { index, digest: content.digest() });
  }

  #run({ id, chain }: Ran, refused: ReadonlySet<number>): void {
    require(!this.#positions.has(id), () => `transaction ${id} is committed twice`);
    require(!refused.has(id), () => `transaction ${id} was refused, and is committed`);
    this.ids.push(id);
    this.#positions.set(id, this.ids.length);
    this.#chains.push(chain);
  }
}
