import { expect, test } from "bun:test";
import { ByteWriter, FormatError } from "../../lib/base/bytes.ts";
import { FRAME_BYTES_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import { beginFrame, endFrame, FRAME_HEADER_BYTES } from "../../lib/wire/frame.ts";
import { type Frame, FrameReader, type FrameType } from "../../lib/wire/frame.ts";

function frameBytes(type: FrameType, body: Uint8Array, checkedBytes = body.length): Uint8Array {
  const writer = new ByteWriter(16);
  const start = beginFrame(writer, type);
  writer.raw(body);
  endFrame(writer, start, start + FRAME_HEADER_BYTES + checkedBytes);
  return writer.finish();
}

function bytes(length: number, seed = 1): Uint8Array {
  const random = new SeededRandom(seed);
  return new Uint8Array(length).map(() => random.next());
}

function readAll(reader: FrameReader): Frame[] {
  const frames: Frame[] = [];
  for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame);
  return frames;
}

function errorOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("frames survive every way of cutting the stream", () => {
  const sizes = [0, 1, 100, 5_000, 3, 70_000, 0, 12];
  const bodies = sizes.map((size, i) => bytes(size, i));
  const stream = new ByteWriter();
  for (const body of bodies) stream.raw(frameBytes("message", body));
  const whole = stream.finish();
  const random = new SeededRandom(4);
  for (const pieceBytesMax of [1, 17, 1_000, 65_536, whole.length]) {
    const reader = new FrameReader(FRAME_BYTES_MAX);
    const frames: Frame[] = [];
    for (let at = 0; at < whole.length;) {
      const end = at + 1 + below(random, pieceBytesMax);
      reader.push(whole.slice(at, end));
      frames.push(...readAll(reader));
      at = end;
    }
    expect(frames.length).toBe(bodies.length);
    for (const [i, frame] of frames.entries()) {
      expect(Buffer.compare(frame.body, bodies[i]!)).toBe(0);
    }
  }
});

test("every flipped bit of the covered part of a frame is found", () => {
  const good = frameBytes("hello", bytes(40));
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = good.slice();
    bad[bit >> 3]! ^= 1 << (bit & 7);
    const reader = new FrameReader(1_000_000);
    reader.push(bad);
    expect(errorOf(() => reader.next())).toBeInstanceOf(FormatError);
  }
});

test("the checksum leaves out what carries its own", () => {
  const bytesOf = frameBytes("message", bytes(40), 10);
  bytesOf[FRAME_HEADER_BYTES + 10]! ^= 1;
  const reader = new FrameReader(100);
  reader.push(bytesOf);
  expect(reader.next()?.body.length).toBe(40);
});

test("a frame above the limit is refused by its header alone", () => {
  const reader = new FrameReader(99);
  reader.push(frameBytes("message", bytes(100)).subarray(0, FRAME_HEADER_BYTES));
  expect(errorOf(() => reader.next())).toBeInstanceOf(FormatError);
  reader.bodyBytesMax = 100;
  expect(reader.next()).toBeUndefined();
});

test("a header alone does not reserve the memory that it announces", () => {
  const whole = frameBytes("message", new Uint8Array(FRAME_BYTES_MAX));
  const reader = new FrameReader(FRAME_BYTES_MAX);
  const small = frameBytes("message", bytes(3));
  reader.push(small);
  expect(reader.next()?.body.length).toBe(3);
  let at = 0;
  for (const size of [10, 10, 1_000]) {
    reader.push(whole.slice(at, at + size));
    at += size;
    expect(reader.next()).toBeUndefined();
    expect(reader.reservedBytes).toBeLessThanOrEqual(2 * at);
  }
});

test("random bytes are refused or wait for more, and nothing else", () => {
  const random = new SeededRandom(77);
  for (let round = 0; round < 2_000; round++) {
    const reader = new FrameReader(1_000);
    reader.push(bytes(below(random, 200), round));
    const error = errorOf(() => readAll(reader));
    if (error !== undefined) expect(error).toBeInstanceOf(FormatError);
  }
});
