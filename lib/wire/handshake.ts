/**
 * How a connection between nodes begins: both sides send eight magic bytes and a hello. The side
 * that was dialled answers a hello that it does not accept with a refusal, and closes.
 */
import { ByteReader, type ByteWriter, FormatError, toHex } from "../base/bytes.ts";
import type { NodeId } from "../raft/types.ts";
import { beginFrame, endFrame } from "./frame.ts";

/** The first bytes of a connection between nodes. A text protocol cannot begin with them. */
export const MAGIC: Uint8Array = Uint8Array.of(0x89, 0x44, 0x51, 0x4e, 0x4f, 0x44, 0x45, 0x0a);
export const MAGIC_BYTES = 8;

/** The oldest and the newest version of the protocol that this program speaks. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

const CLUSTER_ID_BYTES = 16;
const CLUSTER_ID_FORM = /^[0-9a-f]{32}$/;
const REFUSAL_TEXT_MAX = 300;
const ADDRESS_LENGTH_MAX = 300;

/** What a connection is for, as a number on the wire; numbers are never reused. */
export const PURPOSES = { raft: 1, control: 2, pages: 3 } as const;
export type Purpose = keyof typeof PURPOSES;

/** How one side presents itself. */
export interface Hello {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly purpose: Purpose;
  /** 32 lower-case hexadecimal digits; undefined when the node is in no cluster yet. */
  readonly clusterId: string | undefined;
  /** Who speaks; 0 for a program that is no node. */
  readonly nodeId: NodeId;
  /** A random number that changes with every start of the process. */
  readonly bootId: number;
  /** Whom the dialling side expects to meet; 0 when anybody will do. */
  readonly expectedNodeId: NodeId;
  /** `HOST:PORT` that the speaker is reached by; undefined when it does not say. */
  readonly address?: string | undefined;
}

/** Why a hello is not accepted, as a number on the wire; numbers are never reused. */
export const REFUSAL_REASONS = {
  other_cluster: 1,
  no_cluster: 2,
  other_node: 3,
  own_node: 4,
  version: 5,
  removed: 6,
} as const;

/** `unknown` stands for a reason of a newer program. */
export type RefusalReason = keyof typeof REFUSAL_REASONS | "unknown";

/** The answer to a hello that is not accepted. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** A sentence for the log of the side that dialled. */
  readonly text: string;
}

const PURPOSE_OF = new Map(
  Object.entries(PURPOSES).map(([purpose, code]) => [code as number, purpose as Purpose]),
);

const REASONS = new Map(
  Object.entries(REFUSAL_REASONS).map(([reason, code]) => [code as number, reason]),
) as Map<number, RefusalReason>;

/** Whether `id` has the form of a cluster's id: 32 lower-case hexadecimal digits, not all zero. */
export function isClusterId(id: string): boolean {
  return CLUSTER_ID_FORM.test(id) && !/^0+$/.test(id);
}

/** Writes the frame of a hello. */
export function writeHello(writer: ByteWriter, hello: Hello): void {
  const start = beginFrame(writer, "hello");
  writer.u16(hello.versionMin).u16(hello.versionMax).u8(PURPOSES[hello.purpose]).u8(0).u16(0);
  for (let i = 0; i < CLUSTER_ID_BYTES; i++) {
    writer.u8(Number.parseInt(hello.clusterId?.slice(2 * i, 2 * i + 2) ?? "0", 16));
  }
  writer.u53(hello.nodeId).u53(hello.bootId).u53(hello.expectedNodeId);
  const { address = "" } = hello;
  writer.text(address.length <= ADDRESS_LENGTH_MAX ? address : "");
  endFrame(writer, start);
}

/**
 * Reads the body of a hello. A later version may add fields at its end.
 *
 * @throws {FormatError} when the bytes are no hello.
 */
export function decodeHello(body: Uint8Array): Hello {
  const reader = new ByteReader(body);
  const [versionMin, versionMax] = [reader.u16(), reader.u16()];
  if (versionMin > versionMax) throw new FormatError(`Versions ${versionMin} to ${versionMax}`);
  const code = reader.u8();
  if (reader.u8() !== 0 || reader.u16() !== 0) throw new FormatError("Reserved bytes are not 0");
  const purpose = PURPOSE_OF.get(code);
  if (purpose === undefined) throw new FormatError(`Unknown purpose of a connection: ${code}`);
  const digits = toHex(reader.raw(CLUSTER_ID_BYTES));
  const clusterId = isClusterId(digits) ? digits : undefined;
  const [nodeId, bootId, expectedNodeId] = [reader.u53(), reader.u53(), reader.u53()];
  // Programs of before do not say it.
  const address = reader.remaining === 0 ? undefined : reader.text() || undefined;
  return { versionMin, versionMax, purpose, clusterId, nodeId, bootId, expectedNodeId, address };
}

/** Writes the frame of a refusal. */
export function writeRefusal(writer: ByteWriter, refusal: Refusal): void {
  const start = beginFrame(writer, "refusal");
  writer.u16(refusal.reason === "unknown" ? 0 : REFUSAL_REASONS[refusal.reason]);
  writer.text(refusal.text.slice(0, REFUSAL_TEXT_MAX));
  endFrame(writer, start);
}

/**
 * Reads the body of a refusal.
 *
 * @throws {FormatError} when the bytes are no refusal.
 */
export function decodeRefusal(body: Uint8Array): Refusal {
  const reader = new ByteReader(body);
  const reason = REASONS.get(reader.u16()) ?? "unknown";
  return { reason, text: reader.text().slice(0, REFUSAL_TEXT_MAX) };
}

/** The newest version that both sides speak; undefined when there is none. */
export function commonVersion(a: Hello, b: Hello): number | undefined {
  const version = Math.min(a.versionMax, b.versionMax);
  return version >= Math.max(a.versionMin, b.versionMin) ? version : undefined;
}
