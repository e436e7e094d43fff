import { ByteReader, ByteWriter, FormatError } from "../base/bytes.ts";
import { MEMBERS_MAX } from "../base/limits.ts";
import { brokenRule } from "../raft/configuration.ts";
import { DEFAULT_WEIGHT, weightOf } from "../raft/priority.ts";
import type { Configuration, Member, NodeId } from "../raft/types.ts";

/**
 * A configuration as bytes: voters, outgoing voters, learners, standbys and spares as counted
 * lists of ids, then the members in the order of their ids, then their weights, unless all are the
 * default. lib/log/FORMAT.md has the offsets.
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(256);
  writeIds(writer, configuration.voters);
  writeIds(writer, configuration.votersOutgoing);
  writeIds(writer, configuration.learners);
  writeIds(writer, configuration.standbys);
  writeIds(writer, configuration.spares);
  writer.u16(configuration.members.length);
  for (const member of configuration.members) {
    writer.u53(member.id).text(member.address).text(member.httpUrl);
  }
  // What was written before there were weights reads the same.
  const isWeighed = configuration.members.some((member) => weightOf(member) !== DEFAULT_WEIGHT);
  if (isWeighed) { for (const member of configuration.members) writer.u8(weightOf(member)); }
  return writer.finish();
}

/**
 * Reads what {@linkcode encodeConfiguration} wrote, and nothing after it.
 *
 * @throws {FormatError} when it breaks a rule of {@linkcode brokenRule}, or a list is too long.
 */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const reader = new ByteReader(bytes);
  const voters = readIds(reader, "voters");
  const votersOutgoing = readIds(reader, "outgoing voters");
  const learners = readIds(reader, "learners");
  const standbys = readIds(reader, "standbys");
  const spares = readIds(reader, "spares");
  const count = readCount(reader, "members");
  const members: Member[] = [];
  for (let i = 0; i < count; i++) {
    members.push({ id: reader.u53(), address: reader.text(), httpUrl: reader.text() });
  }
  const configuration = {
    voters,
    votersOutgoing,
    learners,
    standbys,
    spares,
    members: readWeights(reader, members),
  };
  reader.end();
  const problem = brokenRule(configuration);
  if (problem !== undefined) throw new FormatError(problem);
  return configuration;
}

function readWeights(reader: ByteReader, members: readonly Member[]): readonly Member[] {
  if (reader.remaining === 0) return members;
  return members.map((member) => {
    const weight = reader.u8();
    return weight === DEFAULT_WEIGHT ? member : { ...member, weight };
  });
}

function writeIds(writer: ByteWriter, ids: readonly NodeId[]): void {
  writer.u16(ids.length);
  for (const id of ids) writer.u53(id);
}

function readCount(reader: ByteReader, what: string): number {
  const count = reader.u16();
  if (count > MEMBERS_MAX) throw new FormatError(`${count} ${what}; at most ${MEMBERS_MAX}`);
  return count;
}

function readIds(reader: ByteReader, what: string): NodeId[] {
  const count = readCount(reader, what);
  const ids: NodeId[] = [];
  for (let i = 0; i < count; i++) ids.push(reader.u53());
  return ids;
}
