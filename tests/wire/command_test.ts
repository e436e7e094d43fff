import { expect, test } from "bun:test";
import { FormatError } from "../../lib/base/bytes.ts";
import {
  decodeCommand,
  type DigestClaim,
  encodeFrames,
  framesHeaderBytes,
} from "../../lib/wire/command.ts";

function framesWith(claim: DigestClaim | undefined): Uint8Array {
  const buffer = new Uint8Array(100);
  buffer.set([7, 8, 9], framesHeaderBytes(claim));
  return encodeFrames(buffer, 3, { databaseId: 1, first: true, last: false, claim });
}

test("a frames command carries its chunk, with and without a digest", () => {
  const claim = { index: 2 ** 40 + 5, low: 0xffff_fffe, high: 3, pages: 77 };
  for (const given of [undefined, claim]) {
    const command = decodeCommand(framesWith(given));
    if (command.type !== "frames") throw new Error(command.type);
    expect(command).toMatchObject({ databaseId: 1, first: true, last: false });
    expect(command.claim).toEqual(given);
    expect([...command.chunk]).toEqual([7, 8, 9]);
  }
});

test("commands of another version, and bytes that are reserved, are refused", () => {
  const payload = framesWith({ index: 1, low: 2, high: 3, pages: 4 });
  for (const [at, value] of [[0, 1], [1, 3], [1, 0], [30, 1]] as const) {
    const other = payload.slice();
    other[at] = value;
    expect(() => decodeCommand(other)).toThrow(FormatError);
  }
});
