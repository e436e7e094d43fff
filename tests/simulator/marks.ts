/**
 * Rare branches by name. A run counts how often it came through each; over many seeds every one
 * must have been reached, else the simulator does not test what it claims to.
 */

/** Everything that a full set of seeds must reach. */
export const MARKS = [
  // Elections.
  "leader elected",
  "pre-vote refused",
  "vote refused",
  "election repeated",
  "leader met a higher term",
  "leader stepped down unheard",
  "leader with a stalled disk resigned",
  "candidate found a leader",
  // Replication.
  "append refused",
  "append of an old term answered",
  "repeated append ignored",
  "log truncated",
  "configuration truncated",
  "entry of an older term committed",
  "commit learned from a vote",
  "peer probed after a lost link",
  "peer restarted",
  "uncommitted log full",
  "inflight window full",
  // Reads.
  "leader read confirmed",
  "follower read confirmed",
  "read refused",
  "read waited for apply",
  // Membership and transfer.
  "learner added",
  "standby added",
  "spare added",
  "standby promoted",
  "voter demoted",
  "leader demoted",
  "spare sent the log",
  "standby made a spare",
  "spare told",
  "promotion put off",
  "voter removed",
  "removed leader retired",
  "removed node told",
  "joint configuration left by another leader",
  "change refused",
  "transfer begun",
  "transfer carried out",
  "transfer given up",
  // The log.
  "segment rolled",
  "torn batch cut",
  "several segments recovered",
  "entry read back from disk",
  "truncation recovered",
  "start cut short",
  "write failed",
  "read failed",
  "read of something else noticed",
  "start without space put off",
  "write refused for lack of space",
  "checkpoint failed",
  "lost write found by a start",
  "damage refused",
  "damage mended",
  "damage cut off",
  "damage made good",
  "rotten entry read back",
  "vote asked for while recovering",
  "elected with a weak vote",
  "answer of a recovering node not counted",
  "wiped folder refused",
  // The replica.
  "leading",
  "write rejected at the end of leadership",
  "write unknown at the end of leadership",
  "transaction rewound",
  "rewind tried again",
  "proposal stalled",
  "transactions merged",
  "batch in parts applied",
  "batch in parts abandoned",
  "apply in slices",
  "checkpoint on the leader",
  "checkpoint begun while others go on",
  "checkpoint on a follower",
  "checkpoint cut off by a crash",
  "database created again",
  // Snapshots.
  "log compacted",
  "snapshot installed",
  "snapshot of a file that a checkpoint changed",
  "snapshot cut off by a crash",
  "snapshot cut off by its source",
  "snapshot taken up again",
  "snapshot in place before its log",
  "log replaced by a snapshot",
  "uncommitted entries discarded by a snapshot",
  "leader found to differ",
  "follower found to differ",
  "database healed",
  "healing taken up again",
  // Faults that took effect.
  "message lost",
  "message repeated",
  "message overtaken",
  "message cut by a partition",
  "message cut one way",
  "message on a slow path",
  "connection reset",
  "connection half open",
  "connection broken in a frame",
  "damaged frame refused",
  "node paused",
  "clock jumped",
  "disk stalled",
  "disk full",
  "node slowed down",
  "write lost",
  "write misdirected",
] as const;

/** What runs over real SQLite must reach besides. */
export const SQLITE_MARKS = [
  "file mended that a crash left half copied",
  "pages found equal to the leader's",
  "checkpoint kept from its end by a reader",
  "open transaction dropped",
  "open transaction that spilled dropped",
  "open transaction refused at its commit",
  "transaction that spilled rewound",
  "batch in parts begun before this life or office",
  "read run at once",
  "local log of an earlier life left behind",
] as const;

/** One of {@linkcode MARKS} or {@linkcode SQLITE_MARKS}. */
export type Mark = typeof MARKS[number] | typeof SQLITE_MARKS[number];

/** Counts marks, and anything else that is worth a number. */
export class Counters {
  readonly marks = new Map<Mark, number>();
  readonly numbers = new Map<string, number>();
  /** Values by histogram: how often each was seen. */
  readonly histograms = new Map<string, Map<number, number>>();

  hit(mark: Mark): void {
    this.marks.set(mark, (this.marks.get(mark) ?? 0) + 1);
  }

  count(name: string, by = 1): void {
    this.numbers.set(name, (this.numbers.get(name) ?? 0) + by);
  }

  get(name: string): number {
    return this.numbers.get(name) ?? 0;
  }

  /** Adds a value to a histogram, rounded down to a power of two. */
  observe(name: string, value: number): void {
    let bucket = 1;
    while (bucket * 2 <= value) bucket *= 2;
    let histogram = this.histograms.get(name);
    if (histogram === undefined) this.histograms.set(name, histogram = new Map());
    const key = value <= 0 ? 0 : bucket;
    histogram.set(key, (histogram.get(key) ?? 0) + 1);
  }

  /** Takes in what another run counted, as JSON may have carried it. */
  add(other: PlainCounters): void {
    for (const [mark, count] of other.marks) {
      this.marks.set(mark as Mark, (this.marks.get(mark as Mark) ?? 0) + count);
    }
    for (const [name, count] of other.numbers) this.count(name, count);
    for (const [name, values] of other.histograms) {
      let histogram = this.histograms.get(name);
      if (histogram === undefined) this.histograms.set(name, histogram = new Map());
      for (const [value, count] of values) {
        histogram.set(value, (histogram.get(value) ?? 0) + count);
      }
    }
  }

  plain(): PlainCounters {
    return {
      marks: [...this.marks],
      numbers: [...this.numbers],
      histograms: [...this.histograms].map(([name, values]) => [name, [...values]]),
    };
  }

  /** The marks that were never reached. */
  missing(marks: readonly Mark[] = MARKS): Mark[] {
    return marks.filter((mark) => !this.marks.has(mark));
  }
}

/** {@linkcode Counters} as JSON. */
export interface PlainCounters {
  readonly marks: readonly (readonly [string, number])[];
  readonly numbers: readonly (readonly [string, number])[];
  readonly histograms: readonly (readonly [string, readonly (readonly [number, number])[]])[];
}
