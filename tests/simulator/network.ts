/**
 * Messages between nodes, as bytes of the real codec: late, lost, repeated, overtaken, cut off. In
 * some runs they travel in real frames, some of them damaged on the way.
 */
import { ByteWriter, FormatError } from "../../lib/base/bytes.ts";
import { crc32c } from "../../lib/base/crc32c.ts";
import type { Message, NodeId } from "../../lib/raft/types.ts";
import { describeMessage } from "../../lib/raft/describe.ts";
import { FRAME_BYTES_MAX } from "../../lib/base/limits.ts";
import { beginFrame, endFrame, FrameReader } from "../../lib/wire/frame.ts";
import { decodeMessage, encodeMessage } from "../../lib/wire/message.ts";
import { require } from "./checkers/violation.ts";
import type { Counters } from "./marks.ts";
import type { NetworkSettings } from "./settings.ts";
import type { Owner, World } from "./world.ts";

/** A node as the network reaches it. */
export interface Endpoint {
  readonly id: NodeId;
  /** The present life; undefined while the node is down. */
  readonly life: Owner | undefined;
  /** Tells one life from another. */
  readonly bootId: number;
  receive(from: NodeId, fromBoot: number, message: Message): void;
  unreachable(peer: NodeId): void;
}

/** Bytes of a message that become part of the run's hash. */
const NOTED_BYTES = 96;
/** Messages under way at once; past it, new ones are lost, as from a full queue. */
const UNDER_WAY_MAX = 4000;

/** The network between all nodes. */
export class SimulatedNetwork {
  readonly #world: World;
  readonly #counters: Counters;
  readonly #endpoints = new Map<NodeId, Endpoint>();
  /** Directed links that are cut, `from:to`. */
  readonly #cut = new Set<string>();
  /** When the last message of a link arrives, for links that keep the order. */
  readonly #lastUs = new Map<string, number>();
  /** Links on which everything takes this much longer, until then. */
  readonly #slow = new Map<string, { readonly delayUs: number; readonly untilUs: number }>();
  /** How often the connection of a link broke. */
  readonly #resets = new Map<string, number>();
  #settings: NetworkSettings;
  #underWay = 0;

  constructor(world: World, counters: Counters, settings: NetworkSettings) {
    this.#world = world;
    this.#counters = counters;
    this.#settings = settings;
  }

  join(endpoint: Endpoint): void {
    this.#endpoints.set(endpoint.id, endpoint);
  }

  /** From now on everything arrives, soon and in order. */
  heal(): void {
    const faults = { lossPermille: 0, repeatPermille: 0, flipPermille: 0, breakPermille: 0 };
    this.#settings = { ...this.#settings, ...faults, inOrder: true, delayUs: 500 };
    this.#cut.clear();
    this.#slow.clear();
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(linkOf(from, to));
  }

  mend(): void {
    this.#cut.clear();
  }

  /** Everything from one node to another takes `delayUs` longer for a while. */
  slow(from: NodeId, to: NodeId, delayUs: number, forUs: number): void {
    this.#slow.set(linkOf(from, to), { delayUs, untilUs: this.#world.nowUs + forUs });
  }

  /**
   * A connection is gone in one direction, and nobody knows: what is sent vanishes, until both are
   * told after `noticedUs`.
   */
  halfOpen(one: Endpoint, other: Endpoint, noticedUs: number): void {
    this.#counters.hit("connection half open");
    this.cut(one.id, other.id);
    this.#world.after(noticedUs, undefined, "noticed", () => {
      this.#cut.delete(linkOf(one.id, other.id));
      this.reset(one, other);
    });
  }

  endpoint(id: NodeId): Endpoint | undefined {
    return this.#endpoints.get(id);
  }

  /** Whether a connection between two nodes would work in both directions. */
  isOpen(one: NodeId, other: NodeId): boolean {
    return !this.#cut.has(linkOf(one, other)) && !this.#cut.has(linkOf(other, one));
  }

  send(from: Endpoint, to: NodeId, message: Message): void {
    const world = this.#world;
    const bytes = this.#encode(message);
    this.#counters.count(`message ${message.type}`);
    if (message.type === "append_request") {
      this.#counters.observe("entries in an append", message.entries.length);
    }
    world.note(crc32c(bytes, 0, Math.min(bytes.length, NOTED_BYTES)) ^ bytes.length);
    world.tell(from.id, () => `sends ${describeMessage(from.id, to, message)}`);
    if (this.#cut.has(linkOf(from.id, to))) {
      this.#counters.hit("message cut by a partition");
      if (!this.#cut.has(linkOf(to, from.id))) this.#counters.hit("message cut one way");
      return;
    }
    if (world.chance(this.#settings.lossPermille) || this.#underWay >= UNDER_WAY_MAX) {
      this.#counters.hit("message lost");
      return;
    }
    this.#carry(from, to, bytes);
    if (world.chance(this.#settings.repeatPermille)) {
      this.#counters.hit("message repeated");
      this.#carry(from, to, bytes);
    }
  }

  /** The connections between two nodes break: what is on its way is lost, both are told. */
  reset(one: Endpoint, other: Endpoint): void {
    this.#counters.hit("connection reset");
    for (const link of [linkOf(one.id, other.id), linkOf(other.id, one.id)]) {
      this.#resets.set(link, (this.#resets.get(link) ?? 0) + 1);
    }
    for (const [endpoint, peer] of [[one, other.id], [other, one.id]] as const) {
      const { life } = endpoint;
      if (life === undefined) continue;
      this.#world.after(this.#world.delayUs(1000), life, "unreachable", () => {
        this.#world.tell(endpoint.id, () => `loses the connection to n${peer}`);
        endpoint.unreachable(peer);
      });
    }
  }

  #encode(message: Message): Uint8Array<ArrayBuffer> {
    const writer = new ByteWriter(128);
    if (!this.#settings.framed) encodeMessage(writer, message);
    else {
      const start = beginFrame(writer, "message");
      endFrame(writer, start, encodeMessage(writer, message));
    }
    return writer.finish();
  }

  #carry(from: Endpoint, to: NodeId, bytes: Uint8Array): void {
    const world = this.#world;
    const link = linkOf(from.id, to);
    const lastUs = this.#lastUs.get(link) ?? 0;
    let atUs = world.nowUs + world.delayUs(this.#settings.delayUs);
    const slow = this.#slow.get(link);
    if (slow !== undefined && slow.untilUs > world.nowUs) {
      this.#counters.hit("message on a slow path");
      atUs += slow.delayUs;
    }
    if (this.#settings.inOrder) atUs = Math.max(atUs, lastUs);
    else if (atUs < lastUs) this.#counters.hit("message overtaken");
    this.#lastUs.set(link, Math.max(atUs, lastUs));
    const resets = this.#resets.get(link) ?? 0;
    const fromBoot = from.bootId;
    const target = this.#endpoints.get(to);
    const life = target?.life;
    this.#underWay++;
    world.after(atUs - world.nowUs, undefined, "message", () => {
      this.#underWay--;
      if ((this.#resets.get(link) ?? 0) !== resets) return;
      if (this.#cut.has(link)) this.#counters.hit("message cut by a partition");
      else this.#arrive(target, life, from.id, fromBoot, bytes);
    });
  }

  /** The message as it arrives; undefined when the connection broke, or what came is no frame. */
  #decode(bytes: Uint8Array): Message | undefined {
    const world = this.#world;
    const { framed, flipPermille, breakPermille } = this.#settings;
    if (!framed) return decodeMessage(bytes.slice());
    const splitAt = world.below(bytes.length + 1);
    if (world.chance(breakPermille)) {
      this.#counters.hit("connection broken in a frame");
      const part = bytes.slice(0, world.below(bytes.length));
      require(readFrame(part, 0) === undefined, () => "a part of a frame passes for a message");
      return undefined;
    }
    if (!world.chance(flipPermille)) return readFrame(bytes, splitAt);
    const damaged = bytes.slice();
    const at = world.below(bytes.length);
    damaged[at] = damaged[at]! ^ (1 << world.below(8));
    try {
      const message = readFrame(damaged, splitAt);
      require(message === undefined, () => `a frame with byte ${at} damaged passes for a message`);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      this.#counters.hit("damaged frame refused");
      return undefined;
    }
    require(false, () => `a frame with byte ${at} damaged is waited for`);
    return undefined;
  }

  /** The message is there; the node takes it when it runs. */
  #arrive(
    target: Endpoint | undefined,
    life: Owner | undefined,
    from: NodeId,
    fromBoot: number,
    bytes: Uint8Array,
  ): void {
    // A connection ends with the life of either side; only one that reorders may outlive it.
    const present = this.#settings.inOrder ? life : target?.life;
    if (target === undefined || present === undefined || target.life !== present) return;
    this.#world.after(0, present, "receive", () => {
      const message = this.#decode(bytes);
      if (message === undefined) {
        // A stream that cannot be read any further is given up.
        const sender = this.#endpoints.get(from);
        if (sender !== undefined) this.reset(sender, target);
        return;
      }
      this.#world.tell(target.id, () => `takes ${describeMessage(from, target.id, message)}`);
      target.receive(from, fromBoot, message);
    });
  }
}

/** Takes frames out of a stream of bytes that arrives in two pieces. */
function readFrame(bytes: Uint8Array, splitAt: number): Message | undefined {
  const reader = new FrameReader(FRAME_BYTES_MAX);
  reader.push(bytes.slice(0, splitAt));
  const early = reader.next();
  reader.push(bytes.slice(splitAt));
  const frame = early ?? reader.next();
  return frame === undefined ? undefined : decodeMessage(frame.body);
}

function linkOf(from: NodeId, to: NodeId): string {
  return `${from}:${to}`;
}
