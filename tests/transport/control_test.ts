import { expect, test } from "bun:test";
import { ByteWriter } from "../../lib/base/bytes.ts";
import { DatabaseError } from "../../lib/base/errors.ts";
import { CONTROL_BYTES_MAX } from "../../lib/base/limits.ts";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import { controlCall } from "../../lib/transport/control_call.ts";
import { greeting, helloOf } from "../../lib/transport/handshake.ts";
import type { HandshakeError } from "../../lib/transport/types.ts";
import { writeControlRequest } from "../../lib/wire/control.ts";
import { CLUSTER, errorOf, OTHER_CLUSTER, RawClient, startNode } from "./harness.ts";
import { type NodeOptions, type TestNode, until, withNodes } from "./harness.ts";

async function withServer(
  body: (server: TestNode) => Promise<void>,
  options: NodeOptions = {},
): Promise<void> {
  const server = await startNode(1, options);
  await withNodes([server], () => body(server));
}

function call(
  server: TestNode,
  method: string,
  more: Partial<Parameters<typeof controlCall>[0]> = {},
) {
  const address = server.member.address;
  const params = { id: 7 };
  return controlCall({ network: tcpNetwork, address, method, params, timeoutMs: 5_000, ...more });
}

test("a request is answered, whether the caller names the cluster or not", async () => {
  await withServer(async (server) => {
    const answer = { method: "join", params: { id: 7 } };
    expect(await call(server, "join")).toEqual(answer);
    expect(await call(server, "join", { clusterId: CLUSTER })).toEqual(answer);
    expect(await call(server, "join", { params: "ü".repeat(400_000) })).toEqual({
      method: "join",
      params: "ü".repeat(400_000),
    });
    expect(server.witness.boots).toEqual([]);
  });
  await withServer(async (server) => {
    expect(await call(server, "info", { clusterId: CLUSTER })).toBeDefined();
  }, { clusterId: undefined });
});

test("an error of the method reaches the caller with its code, outcome and leader", async () => {
  await withServer(async (server) => {
    server.witness.control = () => {
      const details = { leader: "http://two:8080", hint: "Ask there." };
      throw new DatabaseError("NOT_LEADER", "Node 2 leads", details);
    };
    const error = await errorOf(call(server, "join"));
    expect([error.code, error.message, error.outcome, error.leader, error.hint]).toEqual(
      ["NOT_LEADER", "Node 2 leads", "rejected", "http://two:8080", "Ask there."],
    );
  });
});

test("another cluster refuses the call", async () => {
  await withServer(async (server) => {
    const error = await errorOf(call(server, "join", { clusterId: OTHER_CLUSTER }));
    expect(error.code).toBe("HANDSHAKE");
    expect((error as HandshakeError).reason).toBe("other_cluster");
  });
});

test("a call that nobody takes is known not to have happened", async () => {
  const server = await startNode(1);
  await server.transport.close();
  const error = await errorOf(call(server, "join"));
  expect([error.code, error.outcome]).toEqual(["CONNECTION_LOST", "rejected"]);
  expect(error.message).toContain(server.member.address);
  expect((await errorOf(call(server, "join", { address: "x" }))).code).toBe("CONFIG");
});

test("a call whose answer is lost, late or not awaited has an unknown outcome", async () => {
  await withServer(async (server) => {
    let calls = 0;
    server.witness.control = () => {
      calls++;
      return new Promise(() => {});
    };
    const late = await errorOf(call(server, "join", { timeoutMs: 200 }));
    expect([late.code, late.outcome]).toEqual(["CONNECTION_LOST", "unknown"]);

    const abort = new AbortController();
    const cancelled = errorOf(call(server, "join", { signal: abort.signal }));
    await until(() => calls === 2, "the second call");
    abort.abort();
    expect([(await cancelled).code, (await cancelled).outcome]).toEqual(["CLOSED", "unknown"]);
    const before = await errorOf(call(server, "join", { signal: abort.signal }));
    expect([before.code, before.outcome]).toEqual(["CLOSED", "rejected"]);

    const lost = errorOf(call(server, "join"));
    await until(() => calls === 3, "the third call");
    await server.transport.close();
    expect([(await lost).code, (await lost).outcome]).toEqual(["CONNECTION_LOST", "unknown"]);
  });
});

test("a request and an answer above the limit are refused", async () => {
  await withServer(async (server) => {
    const params = "x".repeat(CONTROL_BYTES_MAX);
    expect((await errorOf(call(server, "join", { params }))).code).toBe("TOO_LARGE");
    server.witness.control = () => Promise.resolve(params);
    expect((await errorOf(call(server, "info"))).code).toBe("TOO_LARGE");
  });
});

test("requests that pile up, or are none, close the connection", async () => {
  await withServer(async (server) => {
    const identity = { clusterId: () => undefined, nodeId: 0, bootId: 0 };
    const hello = greeting(helloOf(identity, "control", 0));
    const request = new ByteWriter();
    writeControlRequest(request, { method: "info", params: 1 });
    server.witness.control = () => new Promise(() => {});
    const attacks = [
      Buffer.concat([hello, request.view(), request.view()]),
      Buffer.concat([hello, hello.subarray(8)]),
    ];
    for (const [i, bytes] of attacks.entries()) {
      const client = new RawClient(server.member.address, bytes);
      await until(() => client.isClosed, "the end");
      expect(server.witness.rejects[i]!.reason.code).toBe("PROTOCOL");
    }
  });
});
