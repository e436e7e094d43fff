import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { tcpNetwork } from "../../lib/io/network_node.ts";
import { controlCall } from "../../lib/transport/control_call.ts";
import { append, heartbeat, startNode, until, withNodes } from "./harness.ts";

const SCRIPT = fileURLToPath(new URL("./echo_node.ts", import.meta.url));
const DENO = fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url));

const RUNTIMES: [string, string[]][] = [
  ["Bun", [process.execPath, "run", SCRIPT]],
  ["Deno", [DENO, "run", "-A", SCRIPT]],
];

test.each(RUNTIMES)("a node under %s in another process takes part", async (_, command) => {
  const one = await startNode(1);
  const child = Bun.spawn([...command, "2", "1", one.member.address], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    await withNodes([one], async () => {
      const reader = child.stdout.getReader();
      const line = new TextDecoder().decode((await reader.read()).value);
      reader.releaseLock();
      const { address, taken } = JSON.parse(line) as { address: string; taken: string };
      expect(taken).toBe("ADDRESS");

      one.transport.setPeers([{ id: 2, address, httpUrl: "" }]);
      const sent = [
        ...Array.from({ length: 50 }, (_, i) => heartbeat(i)),
        append(1, new Uint8Array(3_000_000).map((_, i) => i * 31)),
        append(2, new Uint8Array(10)),
      ];
      for (const message of sent) one.transport.send(2, message);
      await until(() => one.witness.messages.length === sent.length, "the echo");
      expect(one.witness.messages.map(({ message }) => message)).toEqual(sent);
      expect(one.witness.boots).toEqual(["2:102"]);

      const request = { address, method: "ping", params: { text: "ü" }, timeoutMs: 5_000 };
      const answer = await controlCall({ network: tcpNetwork, ...request });
      expect(answer).toEqual({ method: "ping", params: { text: "ü" } });

      child.stdin.end();
      await until(() => one.witness.unreachable.length === 1, "the end of the other node");
      expect(await child.exited).toBe(0);
    });
  } finally {
    child.kill();
    await child.exited;
  }
}, 20_000);
