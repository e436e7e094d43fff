import { expect, test } from "bun:test";
import { HttpBody, HttpBodyError } from "../../lib/io/http_body.ts";
import { HttpHeadError, parseHead } from "../../lib/io/http_head.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

function head(...lines: string[]): string {
  return lines.join("\r\n");
}

test("a head is read: method, path, query, headers and what follows them", () => {
  const read = parseHead(
    head("POST /v2/pipeline?a=1?2 HTTP/1.1", "Host: h", "Content-LENGTH: 12", "X-A: 1 ", "x-a:2"),
  );
  expect(read).toMatchObject({
    method: "POST",
    path: "/v2/pipeline",
    query: "a=1?2",
    isVersion11: true,
    keepAlive: true,
    bodyBytes: 12,
    expectsContinue: false,
  });
  expect(read.headers.get("x-a")).toBe("1, 2");
});

test("a target may be a whole URL, and an older client closes unless it says otherwise", () => {
  expect(parseHead(head("GET http://h:1/health?q HTTP/1.1", "host: h"))).toMatchObject({
    path: "/health",
    query: "q",
  });
  expect(parseHead(head("GET http://h HTTP/1.1", "host: h")).path).toBe("/");
  expect(parseHead("GET / HTTP/1.0").keepAlive).toBe(false);
  expect(parseHead(head("GET / HTTP/1.0", "Connection: Keep-Alive")).keepAlive).toBe(true);
  expect(parseHead(head("GET / HTTP/1.1", "host: h", "connection: te, close")).keepAlive)
    .toBe(false);
});

const HOST = "host: h";
const refused: readonly (readonly [what: string, status: number, text: string])[] = [
  ["no request", 400, "garbage"],
  ["a method with a space", 400, head("GE T / HTTP/1.1", HOST)],
  ["another version", 505, head("GET / HTTP/2.0", HOST)],
  ["no host", 400, head("GET / HTTP/1.1", "a: b")],
  ["two hosts", 400, head("GET / HTTP/1.1", HOST, HOST)],
  ["a space before the colon", 400, head("GET / HTTP/1.1", HOST, "content-length : 1")],
  ["a header that goes on", 400, head("GET / HTTP/1.1", HOST, "a: b", " c")],
  ["a lone line feed", 400, head("GET / HTTP/1.1", HOST, "a: b\ncontent-length: 1")],
  ["a NUL", 400, head("GET / HTTP/1.1", HOST, "a: b\0")],
  ["a line without a colon", 400, head("GET / HTTP/1.1", HOST, "a")],
  ["a length that is no number", 400, head("POST / HTTP/1.1", HOST, "content-length: +1")],
  ["two lengths", 400, head("POST / HTTP/1.1", HOST, "content-length: 1", "content-length: 2")],
  [
    "a length and chunks",
    400,
    head("POST / HTTP/1.1", HOST, "content-length: 1", "transfer-encoding: chunked"),
  ],
  ["chunks of an older client", 400, head("POST / HTTP/1.0", "transfer-encoding: chunked")],
  ["another coding", 501, head("POST / HTTP/1.1", HOST, "transfer-encoding: gzip, chunked")],
];

for (const [what, status, text] of refused) {
  test(`a head is refused: ${what}`, () => {
    let error: unknown;
    try {
      parseHead(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(HttpHeadError);
    expect((error as HttpHeadError).status).toBe(status);
  });
}

test("a body is read in pieces of every length, and ends where it ends", async () => {
  const chunked = "5;name=x\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\ntrailer: x\r\n\r\n";
  const bodies = [
    { text: "hello 0123456789", declared: 16 },
    { text: chunked, declared: undefined },
  ];
  for (const { text, declared } of bodies) {
    const bytes = encoder.encode(`${text}GET /`);
    for (let size = 1; size <= bytes.length; size++) {
      const body = new HttpBody(declared);
      let at = 0;
      while (!body.isDone) {
        const piece = bytes.subarray(at, at + size);
        const taken = body.push(piece);
        expect(taken === piece.length || body.isDone).toBe(true);
        at += taken;
      }
      expect(at).toBe(text.length);
      expect(decoder.decode(await body.bytes())).toBe("hello 0123456789");
    }
  }
});

test("what is no chunk is refused", () => {
  const wrong = ["x\r\n", "-1\r\n", "1\nx", "1\r\nxy\r\n", "123456789\r\n", "\r\n"];
  for (const text of wrong) {
    expect(() => new HttpBody(undefined).push(encoder.encode(text))).toThrow(HttpBodyError);
  }
  expect(() => new HttpBody(undefined).push(encoder.encode(`1;${"x".repeat(5_000)}`)))
    .toThrow("A line has no end");
});

test("a body that ends too early is told to whoever waits for it", async () => {
  const body = new HttpBody(10);
  body.push(encoder.encode("half"));
  const read = body.bytes();
  body.fail("the client went away");
  await expect(read).rejects.toThrow("The body was cut short: the client went away");
  expect(() => body.bytes()).toThrow("cut short");
});
