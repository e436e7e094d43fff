import { expect, test } from "bun:test";
import { FormatError } from "../../lib/base/bytes.ts";
import {
  decodeCommand,
  encodeFrames,
  type FramesExtras,
  framesHeaderBytes,
} from "../../lib/wire/command.ts";

const CLAIM = { index: 2 ** 40 + 5, low: 0xffff_fffe, high: 3, pages: 77 };

function framesWith(extras: FramesExtras): Uint8Array {
  const buffer = new Uint8Array(100);
  buffer.set([7, 8, 9], framesHeaderBytes(extras));
  return encodeFrames(buffer, 3, { databaseId: 1, first: true, last: false, ...extras });
}

test("a frames command carries its chunk, with and without a digest and a time", () => {
  for (const claim of [undefined, CLAIM]) {
    for (const wallMs of [undefined, 0, 1_795_000_000_123]) {
      const command = decodeCommand(framesWith({ claim, wallMs }));
      if (command.type !== "frames") throw new Error(command.type);
      expect(command).toMatchObject({ databaseId: 1, first: true, last: false });
      expect(command.claim).toEqual(claim);
      expect(command.wallMs).toEqual(wallMs);
      expect([...command.chunk]).toEqual([7, 8, 9]);
    }
  }
});

test("commands of another version, and bytes that are reserved, are refused", () => {
  const payload = framesWith({ claim: { index: 1, low: 2, high: 3, pages: 4 } });
  for (const [at, value] of [[0, 1], [1, 5], [1, 0], [30, 1]] as const) {
    const other = payload.slice();
    other[at] = value;
    expect(() => decodeCommand(other)).toThrow(FormatError);
  }
});
