/**
 * One node as a value: a core, its disk, and the writes under way. An input makes another value;
 * the same input to the same value is computed once.
 */
import { assert } from "../../../lib/base/assert.ts";
import { messageOf } from "../../../lib/base/errors.ts";
import { EMPTY_CONFIGURATION, isVoter } from "../../../lib/raft/configuration.ts";
import { describeMessage } from "../../../lib/raft/describe.ts";
import { Raft } from "../../../lib/raft/raft.ts";
import type { State } from "../../../lib/raft/state.ts";
import type {
  ConfigurationChange,
  Effects,
  Entry,
  HardState,
  LogIndex,
  LogMark,
  Message,
  NodeId,
  Outbound,
} from "../../../lib/raft/types.ts";
import { encodeCore, encodeEntries, internEntry, Pool } from "./encode.ts";

/** A heartbeat is due with every tick, and an election timeout is as short as it can be. */
const ELECTION_TICKS = 2;
const HEARTBEAT_TICKS = 1;
/** Entries travel one by one, so that each can be lost alone. */
const LIMITS = { appendEntriesMax: 1 };
/** Every wait is as long as it can be: elections begin when the search says so. */
const LONGEST = { next: () => 0xffff_ffff };
const EFFECTS_ROUNDS_MAX = 10;

/** A message on its way; there is one object for each content. */
export interface Letter {
  readonly number: number;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
  readonly text: string;
}

/** A write that is not durable yet. */
interface Write {
  readonly hardState: HardState | undefined;
  readonly truncateFrom: LogIndex | undefined;
  readonly append: readonly Entry[];
  readonly recovered: boolean;
  readonly mark: LogMark | undefined;
  readonly letters: readonly Letter[];
}

/** What survives a crash. */
export interface Disk extends HardState {
  readonly entries: readonly Entry[];
  /** What there was before the damage, while the node recovers from it. */
  readonly promised: readonly Entry[] | undefined;
}

/** What can happen to a node. */
export type Input =
  | { readonly type: "deliver"; readonly letter: Letter }
  | { readonly type: "sync" | "crash" | "campaign" | "silence" | "beat" }
  /** A crash, after which all entries but so many are damaged. */
  | { readonly type: "damage"; readonly keep: number }
  | { readonly type: "propose"; readonly sizeBytes: number }
  | { readonly type: "change"; readonly change: ConfigurationChange }
  | { readonly type: "transfer"; readonly to: NodeId };

/** What an input brings about. */
export interface Outcome {
  readonly next: ModelNode;
  readonly letters: readonly Letter[];
  /** A rule that concerns one node alone, and is broken. */
  readonly violation: string | undefined;
}

/** A value; never changed after it was made. */
export interface ModelNode {
  readonly number: number;
  readonly id: NodeId;
  readonly core: State;
  /** The log as the driver sees it, durable or not. */
  readonly entries: readonly Entry[];
  readonly disk: Disk;
  readonly writes: readonly Write[];
  readonly crashes: number;
  readonly isVoter: boolean;
  /** What inputs brought about, so far. */
  readonly outcomes: Map<string | number, Outcome>;
}

/** The node while an input works on it. */
interface Draft {
  readonly id: NodeId;
  readonly raft: Raft;
  entries: Entry[];
  disk: Disk;
  writes: Write[];
  crashes: number;
  readonly letters: Letter[];
}

/** Makes nodes and carries inputs out. */
export class Nodes {
  readonly #nodes = new Pool<ModelNode>();
  readonly #letters = new Pool<Letter>();

  /** How many different states of nodes, and messages, there were. */
  get counts(): { readonly nodes: number; readonly letters: number } {
    return { nodes: this.#nodes.size, letters: this.#letters.size };
  }

  /** A node that starts with what its disk holds. */
  start(id: NodeId, disk: Disk): ModelNode {
    return this.#finish({
      id,
      raft: startCore(id, disk, 0),
      entries: [...disk.entries],
      disk,
      writes: [],
      crashes: 0,
      letters: [],
    });
  }

  /** Carries an input out, or recalls how it was. */
  run(node: ModelNode, input: Input): Outcome {
    const key = keyOf(input);
    let outcome = node.outcomes.get(key);
    if (outcome === undefined) node.outcomes.set(key, outcome = this.#compute(node, input));
    return outcome;
  }

  #compute(node: ModelNode, input: Input): Outcome {
    const draft = draftOf(node, input);
    try {
      this.#apply(draft, input);
      this.#settle(draft);
      return { next: this.#finish(draft), letters: draft.letters, violation: undefined };
    } catch (error) {
      return { next: node, letters: [], violation: messageOf(error) };
    }
  }

  #apply(draft: Draft, input: Input): void {
    const { raft } = draft;
    switch (input.type) {
      case "deliver":
        raft.step(input.letter.from, input.letter.message);
        break;
      case "sync":
        this.#sync(draft);
        break;
      case "crash":
      case "damage":
        break;
      case "campaign":
        raft.campaign();
        break;
      case "silence":
        for (let tick = 0; tick < ELECTION_TICKS; tick++) raft.tick();
        break;
      case "beat":
        raft.tick();
        break;
      case "propose":
        raft.propose([{ payload: new Uint8Array(input.sizeBytes), checksum: 0 }]);
        break;
      case "change":
        raft.proposeConfiguration(input.change);
        break;
      case "transfer":
        raft.transfer(input.to);
        break;
    }
  }

  /** Does what a driver does, until the core wants nothing more. */
  #settle(draft: Draft): void {
    for (let round = 0; draft.raft.hasEffects(); round++) {
      assert(round < EFFECTS_ROUNDS_MAX, "the core does not come to rest");
      this.#carryOut(draft, draft.raft.takeEffects());
    }
  }

  #carryOut(draft: Draft, effects: Effects): void {
    const { hardState, truncateFrom, recovered, mark, send, sendOnSync } = effects;
    const append = effects.append.map(internEntry);
    if (truncateFrom !== undefined) {
      assert(truncateFrom <= draft.entries.length, `nothing to truncate from ${truncateFrom}`);
      draft.entries.length = truncateFrom - 1;
    }
    for (const entry of append) {
      assert(entry.index === draft.entries.length + 1, `append of ${entry.index} leaves a gap`);
      draft.entries.push(entry);
    }
    assert(draft.raft.lastIndex === draft.entries.length, "core and driver disagree on the log");
    for (const outbound of send) this.#send(draft, outbound, draft.letters);
    const letters: Letter[] = [];
    for (const outbound of sendOnSync) this.#send(draft, outbound, letters);
    if (mark !== undefined || letters.length > 0) {
      draft.writes.push({ hardState, truncateFrom, append, recovered, mark, letters });
    }
    // With nothing to write and nothing before it, it is durable at once.
    while (draft.writes.length > 0 && draft.writes[0]!.mark === undefined) this.#sync(draft);
  }

  #sync(draft: Draft): void {
    const write = draft.writes.shift();
    assert(write !== undefined, "there is nothing to sync");
    const entries = [...draft.disk.entries];
    if (write.truncateFrom !== undefined) entries.length = write.truncateFrom - 1;
    for (const entry of write.append) {
      assert(entry.index === entries.length + 1, `write of ${entry.index} leaves a gap`);
      entries.push(entry);
    }
    const { term, votedFor } = write.hardState ?? draft.disk;
    assert(term >= draft.disk.term, "a durable term went back");
    if (term === draft.disk.term && draft.disk.votedFor !== undefined) {
      assert(votedFor === draft.disk.votedFor, `a vote of term ${term} was changed`);
    }
    const promised = write.recovered ? undefined : draft.disk.promised;
    draft.disk = { term, votedFor, entries, promised };
    for (const letter of write.letters) {
      checkPromise(draft, letter);
      draft.letters.push(letter);
    }
    if (write.mark !== undefined) draft.raft.onDurable(write.mark);
  }

  #send(draft: Draft, { to, message }: Outbound, letters: Letter[]): void {
    let full: Message;
    if (message.type === "append_range") {
      const { first, last, type: _, ...head } = message;
      if (last > draft.entries.length) return;
      full = { type: "append_request", ...head, entries: draft.entries.slice(first - 1, last) };
    } else full = message;
    const text = describeMessage(draft.id, to, full);
    const letter = this.#letters.one(
      text,
      () => ({ number: this.#letters.size, from: draft.id, to, message: full, text }),
    );
    if (letters === draft.letters) checkPromise(draft, letter);
    letters.push(letter);
  }

  #finish(draft: Draft): ModelNode {
    const { id, raft, entries, disk, writes, crashes } = draft;
    const core = raft.copyState();
    const text = [
      id,
      crashes,
      encodeCore(core),
      encodeEntries(entries),
      `${disk.term}/${disk.votedFor}`,
      encodeEntries(disk.entries),
      disk.promised && encodeEntries(disk.promised),
      ...writes.map(encodeWrite),
    ].join(";");
    const { configuration } = core.configurations.latest;
    return this.#nodes.one(text, () => ({
      number: this.#nodes.size,
      id,
      core,
      entries,
      disk,
      writes,
      crashes,
      isVoter: isVoter(configuration, id),
      outcomes: new Map(),
    }));
  }
}

/** A message may promise only what is on the disk of its sender at that moment. */
function checkPromise({ id, disk }: Draft, { to, message, text }: Letter): void {
  const isVote = message.type === "vote_request" || message.type === "vote_response";
  if (!isVote || !message.preVote) {
    assert(message.term <= disk.term, `"${text}" reveals a term that is not durable`);
  }
  if (message.type === "vote_response" && message.granted && !message.preVote) {
    const isDurable = disk.term > message.term || disk.votedFor === to;
    assert(isDurable, `"${text}" tells of a vote that is not durable`);
  }
  if (message.type === "append_response" && message.success) {
    const held = disk.entries.length;
    assert(message.matchIndex <= held, `"${text}" while the disk of ${id} ends at ${held}`);
  }
}

function startCore(id: NodeId, disk: Disk, crashes: number): Raft {
  return new Raft({
    id,
    random: LONGEST,
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    limits: LIMITS,
  }, {
    hardState: disk,
    firstIndex: 1,
    entries: disk.entries.map((entry) => ({
      index: entry.index,
      term: entry.term,
      sizeBytes: entry.type === "command" ? entry.payload.length : 0,
      configuration: entry.type === "configuration" ? entry.configuration : undefined,
    })),
    baseIndex: 0,
    baseTerm: 0,
    baseConfiguration: EMPTY_CONFIGURATION,
    commitIndex: 0,
    recoveryNonce: disk.promised === undefined ? undefined : 1 + crashes,
  });
}

/** A crash comes with the restart: being down is receiving nothing. */
function draftOf(node: ModelNode, input: Input): Draft {
  const { id } = node;
  const crashed = input.type === "crash" || input.type === "damage";
  const crashes = node.crashes + (crashed ? 1 : 0);
  const disk = input.type === "damage" ? cut(node.disk, input.keep) : node.disk;
  const raft = startCore(id, disk, crashes);
  if (!crashed) raft.restoreState(node.core);
  return {
    id,
    raft,
    entries: [...(crashed ? disk.entries : node.entries)],
    disk,
    writes: crashed ? [] : [...node.writes],
    crashes,
    letters: [],
  };
}

function cut(disk: Disk, keep: number): Disk {
  return { ...disk, entries: disk.entries.slice(0, keep), promised: disk.promised ?? disk.entries };
}

function encodeWrite(write: Write): string {
  const { hardState, truncateFrom, append, recovered, mark, letters } = write;
  return [
    hardState && `${hardState.term}/${hardState.votedFor}`,
    truncateFrom,
    encodeEntries(append),
    recovered,
    mark && `${mark.leaderTerm}/${mark.index}`,
    letters.map(({ number }) => number).join(" "),
  ].join();
}

function keyOf(input: Input): string | number {
  switch (input.type) {
    case "deliver":
      return input.letter.number;
    case "propose":
      return `propose ${input.sizeBytes}`;
    case "change":
      return JSON.stringify(input.change);
    case "transfer":
      return `transfer ${input.to}`;
    case "damage":
      return `damage ${input.keep}`;
    default:
      return input.type;
  }
}
