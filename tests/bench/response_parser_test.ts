import { expect, test } from "bun:test";
import { type RequestPlan, RequestTemplate, SLOT, SLOT_MIN } from "./request_template.ts";
import { WebSocketReader } from "../../lib/wire/websocket.ts";
import { ResponseParser } from "./response_parser.ts";
import { SocketParser } from "./socket_frames.ts";

const STREAM = Buffer.from(
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\nhello" +
    "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n" +
    "3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n" +
    "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
);
const EXPECTED = [[200, "hello"], [503, "abc0123456789"], [204, ""]];

function parse(pieces: readonly Buffer[]): unknown[] {
  const found: unknown[] = [];
  const parser = new ResponseParser((status, body) => found.push([status, body.toString()]));
  for (const piece of pieces) {
    // The generator reuses its receive buffer: nothing may be kept without a copy.
    const reused = Buffer.from(piece);
    parser.push(reused);
    reused.fill(0);
  }
  return found;
}

test("responses are found however the stream is cut", () => {
  expect(parse([STREAM])).toEqual(EXPECTED);
  expect(parse([...STREAM].map((byte) => Buffer.from([byte])))).toEqual(EXPECTED);
  for (let cut = 1; cut < STREAM.length; cut++) {
    expect(parse([STREAM.subarray(0, cut), STREAM.subarray(cut)])).toEqual(EXPECTED);
  }
});

test("a request is patched in place, at every slot and with the same length", () => {
  const plan: RequestPlan = {
    path: "/p",
    body: `[${SLOT},"ä",${SLOT}]`,
    slot: { type: "sequence" },
    must: "",
    mustNot: "x",
    echo: true,
    bodyBytesMin: 0,
  };
  const template = new RequestTemplate(plan, "h:1");
  expect(template.slots).toBe(2);
  template.set(0, SLOT_MIN);
  template.set(1, 9_876_543_210);
  const text = template.bytes.toString();
  expect(text).toContain("\r\nContent-Length: 28\r\n\r\n");
  expect(text).toEndWith(`\r\n\r\n[1000000000,"ä",9876543210]`);
  expect(template.digits(1).toString()).toBe("9876543210");
});

test("answers over a WebSocket are found however the stream is cut", () => {
  const long = "x".repeat(300);
  const frame = (payload: string) => {
    const { length } = payload;
    const head = length < 126 ? [0x81, length] : [0x81, 126, length >> 8, length & 255];
    return Buffer.concat([Buffer.from(head), Buffer.from(payload)]);
  };
  const stream = Buffer.concat([
    Buffer.from("HTTP/1.1 101 Switching Protocols\r\na: b\r\n\r\n"),
    ...["hello", "a", long, "c", "d"].map(frame),
  ]);
  for (let cut = 0; cut < stream.length; cut++) {
    const found: string[] = [];
    const parser = new SocketParser(2, (status, body) => found.push(`${status} ${body}`));
    for (const piece of [stream.subarray(0, cut), stream.subarray(cut)]) {
      const reused = Buffer.from(piece);
      parser.push(reused);
      reused.fill(0);
    }
    expect(found).toEqual([`200 a${long}`, "200 cd"]);
  }
});

test("messages are patched in place as requests are", () => {
  const plan: RequestPlan = {
    path: "/",
    body: "",
    messages: [`[${SLOT}]`, `{"a":${SLOT},"b":"${"x".repeat(200)}"}`],
    slot: { type: "sequence" },
    must: "",
    mustNot: "x",
    echo: true,
    bodyBytesMin: 0,
  };
  const template = new RequestTemplate(plan, "h:1");
  expect(template.slots).toBe(2);
  template.set(1, SLOT_MIN);
  const reader = new WebSocketReader(1_000);
  reader.push(new Uint8Array(template.bytes));
  expect(reader.next()).toEqual({ type: "text", text: plan.messages![0]! });
  expect(reader.next()).toEqual({
    type: "text",
    text: plan.messages![1]!.replace(SLOT, String(SLOT_MIN)),
  });
});
