import { expect, test } from "bun:test";
import { SeededRandom } from "../../lib/base/random.ts";
import { EMPTY_CONFIGURATION, initialConfiguration } from "../../lib/raft/configuration.ts";
import { Raft } from "../../lib/raft/raft.ts";
import type { Message } from "../../lib/raft/types.ts";
import { Replica } from "../../lib/replica/replica.ts";
import { MAIN_DATABASE_ID } from "../../lib/wire/command.ts";
import { Fixture } from "../log/harness.ts";
import { FakeMachine } from "./fake_machine.ts";

/** Other nodes that grant every vote and hold every entry as soon as they are asked. */
function answer(message: Message): Message | undefined {
  const { term } = message;
  if (message.type === "vote_request") {
    const { preVote } = message;
    return { type: "vote_response", term, preVote, granted: true, commitIndex: 0, commitTerm: 0 };
  }
  if (message.type !== "append_request") return undefined;
  const { prevIndex, entries } = message;
  const matchIndex = prevIndex + entries.length;
  const hints = { hintIndex: 0, hintTerm: 0 };
  return { type: "append_response", term, prevIndex, success: true, matchIndex, ...hints };
}

test("what a quorum committed is settled on the leader once its own disk has it, too", () => {
  const fixture = new Fixture();
  const { log, loop, disk } = fixture;
  const members = [7, 8, 9].map((id) => ({ id, address: `h:${id}`, httpUrl: `http://h:${id}` }));
  const configuration = initialConfiguration(members);
  fixture.write({
    hardState: { term: 1, votedFor: undefined },
    entries: [{ type: "configuration", index: 1, term: 1, configuration }],
  });
  const machine = new FakeMachine();
  const { waiting: captured } = machine;
  const raft = new Raft(
    { id: 7, random: new SeededRandom(3), electionTicks: 10, heartbeatTicks: 2 },
    {
      hardState: log.hardState,
      firstIndex: 1,
      entries: [{ index: 1, term: 1, sizeBytes: 0, configuration }],
      baseIndex: 0,
      baseTerm: 0,
      baseConfiguration: EMPTY_CONFIGURATION,
      commitIndex: 0,
    },
  );
  const replica: Replica = new Replica({
    raft,
    log,
    machine,
    clock: loop.clock,
    tickMs: 50,
    sender: {
      send: (to, message) => {
        const reply = answer(message);
        if (reply !== undefined) loop.clock.soon(() => replica.receive(to, reply));
      },
      flush: () => {},
    },
    events: {
      onLeading: () => {},
      onRetiring: (quiet) => quiet(),
      onWritable: () => {},
      onChange: () => {},
      onFatal: (error) => {
        throw error;
      },
    },
  });
  raft.campaign();
  replica.start();
  loop.settle();
  loop.pass(50);
  loop.settle();
  expect(replica.mode).toBe("leading");
  const before = replica.settledIndex;
  expect(before).toBe(log.lastIndex);

  const writes: (() => void)[] = [];
  disk.schedule = (run) => writes.push(run);
  const payload = new Uint8Array(100).fill(1);
  captured.push({ databaseId: MAIN_DATABASE_ID, payload, complete: true, seq: 1 });
  let committed = false;
  replica.whenCommitted(1, (error) => committed = error === undefined);
  replica.captured();
  loop.settle();
  expect(committed).toBe(true);
  expect(replica.settledIndex).toBe(before);
  let settled: number | undefined;
  replica.whenSettled(() => settled = replica.settledIndex);
  expect(settled).toBeUndefined();

  expect(writes).toHaveLength(1);
  writes[0]!();
  loop.settle();
  expect(settled).toBe(before + 1);
});
