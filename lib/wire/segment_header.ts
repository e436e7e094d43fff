/** The first block of a segment of the log, and the slots of the hard state; see FORMAT.md. */
import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter, getU32 } from "../base/bytes.ts";
import { crc32c } from "../base/crc32c.ts";
import type { HardState, LogIndex, NodeId, Term } from "../raft/types.ts";
import type { Chain } from "./chain.ts";

/** The version of the format that this program writes, and the newest that it reads. */
export const LOG_FORMAT_VERSION = 1;
/** Size of one copy of a segment's header, and of a slot. */
export const BLOCK_BYTES = 4096;
/** Records start here: the header is there twice. */
export const SEGMENT_DATA_AT = 2 * BLOCK_BYTES;

const SEGMENT_MAGIC = 0x6765_7371;
const SLOT_MAGIC = 0x7468_7371;

const RECOVERING = 1;
const ALONE = 2;

/** Whose file it is. */
export interface LogOwner {
  /** 32 hexadecimal digits. */
  readonly clusterId: string;
  readonly nodeId: NodeId;
}

/** What the header of a segment says. */
export interface SegmentHeader {
  readonly owner: LogOwner;
  /** Random; it goes into the checksum of every record. */
  readonly salt: number;
  readonly sequence: number;
  /** Size of the file. */
  readonly sizeBytes: number;
  /** The segment before; 0 when this is the first. */
  readonly previousSequence: number;
  /** Where the records of the segment before end; what follows there does not count. */
  readonly previousEnd: number;
  /** The last entry before this segment, with the chain there. */
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  readonly previousChain: Chain;
  /** Number of the last batch before this segment, which is closed thereby. */
  readonly previousBatch: number;
}

/** What a slot of the hard state says. */
export interface Slot {
  readonly owner: LogOwner;
  /** Counts the writes; the larger one of two valid slots is the newer. */
  readonly sequence: number;
  readonly hardState: HardState;
  /** The oldest segment that is needed; 0 before there is any. */
  readonly firstSegment: number;
  /** The newest segment that may hold records; 0 before there is any. */
  readonly activeSegment: number;
  /** The log was cut at damage, and no leader has confirmed since that nothing is missing. */
  readonly recovering: boolean;
  /** The latest configuration of the log leaves every decision to this node. */
  readonly alone: boolean;
}

/** Why a block could not be read: damaged, or written by a newer program. */
export type BlockFault = "damaged" | "newer";

/** One copy of a segment's header, {@linkcode BLOCK_BYTES} long. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(BLOCK_BYTES);
  writeOwner(writer, SEGMENT_MAGIC, header.owner);
  writer.u32(header.salt).u32(header.sizeBytes).u53(header.sequence);
  writer.u53(header.previousSequence).u32(header.previousEnd).u32(0);
  writer.u53(header.previousIndex).u53(header.previousTerm);
  writer.u32(header.previousChain.a).u32(header.previousChain.b).u53(header.previousBatch);
  return sealBlock(writer);
}

/** Reads one copy of a segment's header. */
export function decodeSegmentHeader(block: Uint8Array): SegmentHeader | BlockFault {
  const reader = openBlock(block, SEGMENT_MAGIC);
  if (typeof reader === "string") return reader;
  const owner = readOwner(reader);
  const salt = reader.u32();
  const sizeBytes = reader.u32();
  const sequence = reader.u53();
  const previousSequence = reader.u53();
  const previousEnd = reader.u32();
  reader.u32();
  const previousIndex = reader.u53();
  const previousTerm = reader.u53();
  const previousChain = { a: reader.u32(), b: reader.u32() };
  const previousBatch = reader.u53();
  return {
    owner,
    salt,
    sequence,
    sizeBytes,
    previousSequence,
    previousEnd,
    previousIndex,
    previousTerm,
    previousChain,
    previousBatch,
  };
}

/** A slot as it lies on disk. All of its content is in the first sector, so it cannot tear. */
export function encodeSlot(slot: Slot): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(BLOCK_BYTES);
  writeOwner(writer, SLOT_MAGIC, slot.owner);
  writer.u53(slot.sequence).u53(slot.hardState.term).u53(slot.hardState.votedFor ?? 0);
  writer.u53(slot.firstSegment).u53(slot.activeSegment);
  writer.u32((slot.recovering ? RECOVERING : 0) | (slot.alone ? ALONE : 0)).u32(0);
  return sealBlock(writer);
}

/** Reads a slot. */
export function decodeSlot(block: Uint8Array): Slot | BlockFault {
  const reader = openBlock(block, SLOT_MAGIC);
  if (typeof reader === "string") return reader;
  const owner = readOwner(reader);
  const sequence = reader.u53();
  const term = reader.u53();
  const vote = reader.u53();
  const hardState = { term, votedFor: vote === 0 ? undefined : vote };
  const firstSegment = reader.u53();
  const activeSegment = reader.u53();
  const flags = reader.u32();
  const recovering = (flags & RECOVERING) !== 0;
  const alone = (flags & ALONE) !== 0;
  return { owner, sequence, hardState, firstSegment, activeSegment, recovering, alone };
}

function writeOwner(writer: ByteWriter, magic: number, owner: LogOwner): void {
  assert(/^[0-9a-f]{32}$/.test(owner.clusterId), `Not a cluster id: ${owner.clusterId}`);
  // The length of what the checksum covers comes third; every version keeps these first 16 bytes.
  writer.u32(magic).u32(LOG_FORMAT_VERSION).u32(0).u32(0);
  for (let i = 0; i < 32; i += 2) writer.u8(parseInt(owner.clusterId.slice(i, i + 2), 16));
  writer.u53(owner.nodeId);
}

function readOwner(reader: ByteReader): LogOwner {
  let clusterId = "";
  for (let i = 0; i < 16; i++) clusterId += reader.u8().toString(16).padStart(2, "0");
  return { clusterId, nodeId: reader.u53() };
}

function sealBlock(writer: ByteWriter): Uint8Array<ArrayBuffer> {
  const length = writer.length;
  writer.setU32(8, length);
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(writer.view());
  const checksum = crc32c(block, 0, length);
  new DataView(block.buffer).setUint32(length, checksum, true);
  return block;
}

/** A reader behind the common start of a block, once its checksum has been verified. */
function openBlock(block: Uint8Array, magic: number): ByteReader | BlockFault {
  if (block.length < BLOCK_BYTES) return "damaged";
  const start = new ByteReader(block);
  if (start.u32() !== magic) return "damaged";
  const version = start.u32();
  const length = start.u32();
  if (length < 16 || length > BLOCK_BYTES - 4) return "damaged";
  if (crc32c(block, 0, length) !== getU32(block, length)) return "damaged";
  if (version > LOG_FORMAT_VERSION) return "newer";
  const reader = new ByteReader(block.subarray(0, length));
  reader.raw(16);
  return reader;
}
