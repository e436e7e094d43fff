/**
 * Clients' requests on one node, in the order of the real sessions: a write runs at once and is
 * reported a little later; an answer leaves when what it shows is committed and, for a read, when
 * leadership was confirmed since it was asked for; when leadership is lost, everything that runs is
 * reported before the node hears that the sessions are quiet.
 */
import { CHECKPOINT_COMMIT_MS } from "../../lib/base/limits.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import type { Replica } from "../../lib/replica/replica.ts";
import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import type { OpenRead, Requests } from "./checkers/requests.ts";
import type { SimulatedMachine } from "./database.ts";
import type { Counters } from "./marks.ts";
import type { Owner, World } from "./world.ts";

/** What sessions need of the node. */
export interface SessionsOptions {
  readonly world: World;
  readonly life: Owner;
  readonly replica: () => Replica;
  readonly machine: SimulatedMachine;
  readonly requests: Requests;
  readonly counters: Counters;
  /** Takes in what is committed by now, before an answer is judged. */
  readonly observe: () => void;
  readonly nowMs: () => number;
}

interface Read {
  readonly open: OpenRead;
  readonly leading: boolean;
  confirmed: boolean | undefined;
  dispatched: boolean;
  result: { readonly seq: number; readonly count: number; readonly chain: number } | undefined;
}

/** Time until the result of a statement is reported. */
const REPORT_US = 300;
/** Time that a transaction takes whose client takes its time. */
const SLOW_US = 100_000;
/** Reads whose result is there at once. */
const QUICK_PERMILLE = 300;
/** Time until every session let go of its statements. */
const QUIET_US = 2000;
/** How long a checkpoint waits for what was written to be committed. */
const COMMIT_WAIT_US = 1000 * CHECKPOINT_COMMIT_MS;
/** Time a read may take, in milliseconds of the node's clock. */
const READ_DEADLINE_MS = 2000;

/** See the file comment. */
export class SimulatedSessions {
  readonly #options: SessionsOptions;
  readonly #who: string;
  /** Writes that ran and were not reported. */
  #unreported: { readonly id: number; readonly seq: number }[] = [];
  /** Writes without an answer. */
  readonly #writes = new Set<number>();
  readonly #reads = new Set<Read>();
  /** Runs a piece of maintenance that must end before the sessions are quiet. */
  busy = false;
  #turnHeld = false;
  /** The write that holds the turn and takes its time. */
  #slow: number | undefined;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#who = `n${options.life.nodeId}`;
  }

  /** Requests without an answer. */
  get open(): number {
    return this.#writes.size + this.#reads.size;
  }

  /** Runs a write; false when this node takes none now. */
  write(id: number): boolean {
    const { machine, requests, counters } = this.#options;
    if (!this.#replica.writable || this.#turnHeld) return false;
    if (this.#replica.spaceRefusal !== undefined) {
      counters.hit("write refused for lack of space");
      return false;
    }
    if (machine.begin(id)) return this.#writeSlowly(id);
    const seq = machine.write(id);
    if (seq === undefined) return false;
    requests.writeBegins(id);
    this.#writes.add(id);
    this.#ran(id, seq);
    return true;
  }

  /** The write has begun; it ends later, unless leadership is lost before. */
  #writeSlowly(id: number): true {
    const { world, life, machine, requests } = this.#options;
    requests.writeBegins(id);
    this.#writes.add(id);
    this.#slow = id;
    this.#turnHeld = true;
    world.tell(life.nodeId, () => `begins write ${id}`);
    world.after(world.delayUs(SLOW_US), life, "finish", () => {
      if (this.#slow !== id) return;
      this.#slow = undefined;
      this.#turnHeld = false;
      const seq = machine.write(id);
      if (seq === undefined) this.#writeEnds(id, notLeader());
      else this.#ran(id, seq);
    });
    return true;
  }

  #ran(id: number, seq: number): void {
    const { world, life } = this.#options;
    this.#unreported.push({ id, seq });
    world.tell(life.nodeId, () => `runs write ${id} as transaction ${seq}`);
    world.after(world.delayUs(REPORT_US), life, "report", () => this.#report());
  }

  /** Asks for a linearizable read; false when this node takes none now. */
  read(): boolean {
    const { world, life, replica } = this.#options;
    const { mode } = replica();
    if (mode !== "leading" && !replica().followsData) return false;
    const open = this.#options.requests.readBegins();
    const leading = mode === "leading";
    const read: Read = {
      open,
      leading,
      confirmed: undefined,
      dispatched: false,
      result: undefined,
    };
    this.#reads.add(read);
    const deadlineMs = this.#options.nowMs() + READ_DEADLINE_MS;
    replica().linearize({ deadlineMs, retry: !leading }, (index) => {
      if (leading) {
        read.confirmed = index !== undefined;
        this.#answer(read);
      } else if (index === undefined || !replica().followsData) this.#failRead(read);
      else this.#readWhenApplied(read, index);
    });
    if (leading) this.#dispatch(read);
    else world.after(1000 * READ_DEADLINE_MS, life, "deadline", () => this.#giveUp(read));
    return true;
  }

  /** Holds writes back and waits until nothing is uncommitted, for a time, as maintenance does. */
  whileNobodyWrites(run: (release: () => void) => void, refuse: () => void): void {
    if (this.#turnHeld) return refuse();
    this.#report();
    this.#turnHeld = true;
    const release = () => {
      this.#turnHeld = false;
    };
    const { machine, world, life } = this.#options;
    let isWaiting = true;
    const end = (act: () => void) => {
      if (isWaiting) act();
      isWaiting = false;
    };
    const goOn = () => end(() => run(release));
    world.after(COMMIT_WAIT_US, life, "checkpoint", goOn);
    this.#replica.whenCommitted(machine.lastSeq(MAIN_DATABASE_ID), (error) => {
      if (error === undefined) return goOn();
      end(() => {
        release();
        refuse();
      });
    });
  }

  /** Leadership is lost: `quiet` is called once nothing runs any more. */
  retire(quiet: () => void): void {
    const { world, life } = this.#options;
    // The worker that runs it finds out by itself.
    this.#turnHeld = false;
    this.#options.machine.retire();
    const whenQuiet = () => {
      if (this.busy) {
        world.after(QUIET_US, life, "quiet", whenQuiet);
        return;
      }
      this.#report();
      if (this.#slow !== undefined) this.#writeEnds(this.#slow, notLeader());
      this.#slow = undefined;
      for (const read of [...this.#reads]) {
        if (read.dispatched && read.result === undefined) this.#run(read);
      }
      for (const read of [...this.#reads]) if (read.leading) this.#failRead(read);
      this.#options.machine.letGo();
      quiet();
    };
    world.after(world.delayUs(QUIET_US), life, "quiet", whenQuiet);
  }

  /** The node died: nobody hears of these any more. */
  lose(): void {
    for (const id of this.#writes) this.#options.requests.writeLost(id);
    this.#writes.clear();
    this.#reads.clear();
  }

  get #replica(): Replica {
    return this.#options.replica();
  }

  /** The results of the writes that ran arrive, in their order. */
  #report(): void {
    const reported = this.#unreported;
    if (reported.length === 0) return;
    this.#unreported = [];
    this.#replica.captured();
    for (const { id, seq } of reported) {
      this.#replica.whenCommitted(seq, (error) => this.#writeEnds(id, error));
    }
  }

  #writeEnds(id: number, error: DatabaseError | undefined): void {
    const { world, life, requests, counters, observe } = this.#options;
    if (!this.#writes.delete(id)) return;
    observe();
    world.tell(life.nodeId, () => `answers write ${id}: ${error?.code ?? "committed"}`);
    requests.writeEnds(id, error, this.#who);
    if (error?.code === "NOT_LEADER") counters.hit("write rejected at the end of leadership");
    if (error?.code === "LEADERSHIP_LOST") counters.hit("write unknown at the end of leadership");
  }

  #readWhenApplied(read: Read, index: number): void {
    const replica = this.#replica;
    if (replica.appliedIndex < index) this.#options.counters.hit("read waited for apply");
    replica.whenApplied(index, () => {
      if (!this.#reads.has(read)) return;
      read.confirmed = true;
      this.#dispatch(read);
    });
  }

  #dispatch(read: Read): void {
    const { world, life } = this.#options;
    read.dispatched = true;
    if (world.chance(QUICK_PERMILLE)) return this.#run(read, true);
    world.after(world.delayUs(REPORT_US), life, "read", () => {
      if (this.#reads.has(read) && read.result === undefined) this.#run(read);
    });
  }

  #run(read: Read, quick = false): void {
    const { machine } = this.#options;
    if (!machine.exists) return this.#failRead(read);
    const { count, chain } = machine.read(quick);
    read.result = { seq: machine.lastSeq(MAIN_DATABASE_ID), count, chain };
    this.#replica.whenCommitted(read.result.seq, (error) => {
      if (error === undefined) this.#answer(read);
      else this.#failRead(read);
    });
  }

  #answer(read: Read): void {
    const { result } = read;
    if (read.confirmed === false) this.#failRead(read);
    else if (result !== undefined && read.confirmed === true) {
      this.#replica.whenCommitted(result.seq, (error) => {
        if (error === undefined) this.#readEnds(read, result.count, result.chain);
        else this.#failRead(read);
      });
    }
  }

  /** Its node may have been removed: it would wait for ever. */
  #giveUp(read: Read): void {
    if (!read.dispatched) this.#failRead(read);
  }

  #readEnds(read: Read, count: number, chain: number): void {
    if (!this.#reads.delete(read)) return;
    this.#options.observe();
    const { world, life, requests } = this.#options;
    world.tell(life.nodeId, () => `answers a read: ${count} transactions`);
    requests.readEnds(read.open, count, chain, this.#who);
  }

  #failRead(read: Read): void {
    this.#reads.delete(read);
  }
}

function notLeader(): DatabaseError {
  return new DatabaseError("NOT_LEADER", "This node stopped leading the cluster");
}
