import { expect, test } from "bun:test";
import { crc32c } from "../../lib/base/crc32c.ts";
import { ByteReader } from "../../lib/base/bytes.ts";
import { command, CONFIGURATION, Fixture, FOLDER, segmentOf } from "./harness.ts";

/** A log with every kind of record; the salt is that of a seeded generator. */
function sample(): Fixture {
  const fixture = new Fixture();
  fixture.write({
    hardState: { term: 3, votedFor: 9 },
    entries: [{ type: "configuration", index: 1, term: 3, configuration: CONFIGURATION }],
  });
  fixture.write({ entries: [command(2, 3, 5), { type: "noop", index: 3, term: 3 }] });
  fixture.write({ truncateFrom: 3, entries: [command(3, 4, 1200)] });
  fixture.close();
  return fixture;
}

function bytesOf(fixture: Fixture, path: string): Uint8Array<ArrayBuffer> {
  const file = fixture.disk.open(path, { create: false });
  const bytes = file.read(0, file.size());
  file.close();
  return bytes;
}

test("the bytes of format 1 never change", () => {
  const fixture = sample();
  const digests = fixture.disk.list(FOLDER).map((name) => {
    const digest = Bun.SHA256.hash(bytesOf(fixture, `${FOLDER}/${name}`), "hex");
    return `${name} ${digest.slice(0, 16)}`;
  });
  expect(digests).toEqual([
    "0000000000000001.segment 031e161292d23873",
    "0000000000000002.segment de2f256064a0af79",
    "state.a f05417f4d41d450b",
    "state.b 6e01bad6187c29cd",
  ]);
});

test("records lie where FORMAT.md says", () => {
  const bytes = bytesOf(sample(), segmentOf(1));
  const salt = new DataView(bytes.buffer).getUint32(40, true);
  const found: string[] = [];
  let at = 8192;
  while (bytes[at] !== 0) {
    const reader = new ByteReader(bytes.subarray(at));
    expect(reader.u16()).toBe(0xd11e);
    const [type, entry, length] = [reader.u8(), reader.u8(), reader.u32()];
    const [index, term] = [reader.u53(), reader.u53()];
    reader.raw(8);
    const [bodyChecksum, headChecksum] = [reader.u32(), reader.u32()];
    expect(crc32c(bytes, at, at + 36, (salt ^ at) >>> 0)).toBe(headChecksum);
    expect(crc32c(bytes, at + 40, at + 40 + length)).toBe(bodyChecksum);
    found.push([type, entry, index, type === 1 ? "size" : term, length].join(" "));
    at += 40 + Math.ceil(length / 8) * 8;
  }
  expect(found).toEqual([
    "1 0 1 size 49",
    "3 0 9 3 0",
    "2 3 1 3 71",
    "1 0 2 size 49",
    "2 2 2 3 5",
    "2 1 3 3 0",
    "1 0 3 size 49",
    "4 0 3 0 0",
    "2 2 3 4 1200",
    "5 0 3 0 0",
  ]);
});
