import { expect, test } from "bun:test";
import { type AddressInfo, createServer, type Server as TcpServer, type Socket } from "node:net";
import { systemClock } from "../../lib/io/clock.ts";
import { HttpClientError, type HttpClientReply } from "../../lib/io/http.ts";
import { SocketHttpClient } from "../../lib/io/http_client.ts";
import { HttpResponseError, HttpResponseParser } from "../../lib/io/http_response.ts";
import { until } from "./fixture.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function parse(text: string, pieceLength: number): [HttpClientReply, HttpResponseParser] {
  const parser = new HttpResponseParser(1_000);
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += pieceLength) {
    const reply = parser.push(bytes.subarray(at, at + pieceLength));
    if (reply !== undefined) return [reply, parser];
  }
  throw new Error("it is not whole");
}

const replies: [string, string][] = [
  ["with a length", "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 7\r\n\r\nxy\r\n\r\nz"],
  [
    "in chunks",
    "HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nTransfer-Encoding: Chunked\r\n\r\n" +
    "3\r\nxy\r\r\n4;x=y\r\n\n\r\nz\r\n0\r\nT: 1\r\n\r\n",
  ],
  [
    "behind an interim reply",
    "HTTP/1.1 100 Continue\r\n\r\n" +
    "HTTP/1.1 200\r\ncontent-type:a/b\r\ncontent-length:7\r\n\r\nxy\r\n\r\nz",
  ],
];

for (const [what, text] of replies) {
  test(`a reply ${what} is read in pieces of every length`, () => {
    for (let length = 1; length <= text.length; length++) {
      const [reply, parser] = parse(text, length);
      expect(reply.status).toBe(200);
      expect(reply.contentType).toBe("a/b");
      expect(decoder.decode(reply.body)).toBe("xy\r\n\r\nz");
      expect(parser.keepAlive).toBe(true);
    }
  });
}

test("a reply without a body, or one that ends its connection, is read", () => {
  expect(parse("HTTP/1.1 204 No Content\r\n\r\n", 5)[0]).toMatchObject({ status: 204 });
  expect(parse("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 5)[0].body.length).toBe(0);
  const closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx";
  expect(parse(closing, 5)[1].keepAlive).toBe(false);
  expect(parse("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy", 100)[1].keepAlive).toBe(false);
});

test("what is no reply, or too large a one, is refused", () => {
  const refused = [
    "HTTP/2 200\r\n\r\n",
    "SSH-2.0-x\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n",
    "x".repeat(70_000),
  ];
  for (const text of refused) {
    let error: unknown;
    try {
      parse(text, 1_000);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(HttpResponseError);
  }
});

/** A TCP server whose connections a test answers by hand. */
async function listen(
  onData: (socket: Socket, text: string) => void,
): Promise<AsyncDisposable & { url: string; sockets: Set<Socket>; accepted: () => number }> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server: TcpServer = createServer((socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on("data", (data) => onData(socket, data.toString()));
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sockets,
    accepted: () => accepted,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function newClient(): SocketHttpClient & Disposable {
  const client = new SocketHttpClient(systemClock);
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

const body = encoder.encode("{}");
const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async function failure(sending: Promise<unknown>): Promise<HttpClientError> {
  try {
    await sending;
  } catch (error) {
    if (error instanceof HttpClientError) return error;
    throw error;
  }
  throw new Error("it was answered");
}

test("a kept connection carries one request after another", async () => {
  const texts: string[] = [];
  await using peer = await listen((socket, text) => {
    texts.push(text);
    socket.write(OK);
  });
  using client = newClient();
  for (let i = 0; i < 3; i++) {
    const url = `${peer.url}/a/b?c`;
    const reply = await client.send({ method: "POST", url, headers: { x: "y" }, body });
    expect(decoder.decode(reply.body)).toBe("ok");
  }
  expect(peer.accepted()).toBe(1);
  const host = new URL(peer.url).host;
  const expected = `POST /a/b?c HTTP/1.1\r\nhost: ${host}\r\nx: y\r\ncontent-length: 2\r\n\r\n{}`;
  expect(texts).toEqual([expected, expected, expected]);
});

test("a request whose kept connection breaks is not sent again", async () => {
  let requests = 0;
  await using peer = await listen((socket) => {
    requests += 1;
    if (requests === 2) socket.destroy();
    else socket.write(OK);
  });
  using client = newClient();
  const send = () => client.send({ method: "POST", url: peer.url, headers: {}, body });
  await send();
  expect((await failure(send())).sent).toBe(true);
  expect(requests).toBe(2);
  expect((await send()).status).toBe(200);
  expect(requests).toBe(3);
});

test("a connection that the other side closed meanwhile is not used", async () => {
  let requests = 0;
  await using peer = await listen((socket) => {
    requests += 1;
    socket.end(OK);
  });
  using client = newClient();
  for (let i = 1; i <= 3; i++) {
    await client.send({ method: "POST", url: peer.url, headers: {}, body });
    await until(() => peer.sockets.size === 0, "the connection is gone");
    expect(requests).toBe(i);
  }
});

test("a request that nobody takes was not sent", async () => {
  using client = newClient();
  let url: string;
  {
    await using gone = await listen(() => {});
    url = gone.url;
  }
  const error = await failure(client.send({ method: "POST", url, headers: {}, body }));
  expect(error.sent).toBe(false);
  expect(error.message).toContain("Cannot connect to 127.0.0.1:");
  const other = { method: "POST", url: "https://127.0.0.1/", headers: {}, body };
  expect((await failure(client.send(other))).sent).toBe(false);
});

test("a request that is given up counts as sent, and its connection is cut", async () => {
  let requests = 0;
  await using peer = await listen(() => requests += 1);
  using client = newClient();
  const abort = new AbortController();
  const request = { method: "POST", url: peer.url, headers: {}, body, signal: abort.signal };
  const sending = failure(client.send(request));
  await until(() => requests === 1, "the request arrives");
  abort.abort(new Error("enough"));
  const error = await sending;
  expect(error.sent).toBe(true);
  expect(error.message).toContain("enough");
  await until(() => peer.sockets.size === 0, "the connection is gone");
  expect((await failure(client.send(request))).sent).toBe(false);
  expect(requests).toBe(1);
});

test("closing the client fails what is under way", async () => {
  let requests = 0;
  await using peer = await listen(() => requests += 1);
  using client = newClient();
  const request = { method: "POST", url: peer.url, headers: {}, body };
  const sending = failure(client.send(request));
  await until(() => requests === 1, "the request arrives");
  client.close();
  expect((await sending).sent).toBe(true);
  expect((await failure(client.send(request))).sent).toBe(false);
});

test("a large body travels whole", async () => {
  const large = new Uint8Array(5_000_000).fill(120);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => new Response(await request.bytes()),
  });
  using client = newClient();
  const url = server.url.href;
  const reply = await client.send({ method: "POST", url, headers: {}, body: large });
  expect(reply.body.length).toBe(large.length);
  expect(Bun.hash(reply.body)).toBe(Bun.hash(large));
  await server.stop(true);
});
