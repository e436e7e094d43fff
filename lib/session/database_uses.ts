/** Who uses which database at the moment: one that is used stays open. */
export class DatabaseUses {
  readonly #counts = new Map<number, number>();
  /** How often each database was used; tells whether somebody came and went meanwhile. */
  readonly #stamps = new Map<number, number>();

  /** Uses a database, until the function that it returns is called; further calls are harmless. */
  hold(id: number): () => void {
    this.#counts.set(id, this.count(id) + 1);
    this.#stamps.set(id, this.stamp(id) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = this.count(id) - 1;
      if (left > 0) this.#counts.set(id, left);
      else this.#counts.delete(id);
    };
  }

  /** How many use a database. */
  count(id: number): number {
    return this.#counts.get(id) ?? 0;
  }

  /** Grows with each use. */
  stamp(id: number): number {
    return this.#stamps.get(id) ?? 0;
  }

  /** The database was closed. */
  forget(id: number): void {
    this.#stamps.delete(id);
  }
}
