import { expect, test } from "bun:test";
import { DatabaseError } from "../../lib/base/errors.ts";
import { SeededRandom } from "../../lib/base/random.ts";
import { EMPTY_CONFIGURATION, initialConfiguration } from "../../lib/raft/configuration.ts";
import { Raft } from "../../lib/raft/raft.ts";
import { Replica } from "../../lib/replica/replica.ts";
import { command, Fixture } from "../log/harness.ts";
import { FakeMachine } from "./fake_machine.ts";

test("an entry that cannot be read once applying goes on ends the node, not the caller", () => {
  const fixture = new Fixture({ cacheBytesMax: 0 });
  const { log, loop, disk } = fixture;
  const members = [7, 8, 9].map((id) => ({ id, address: `h:${id}`, httpUrl: `http://h:${id}` }));
  const configuration = initialConfiguration(members);
  const first = { type: "configuration", index: 1, term: 1, configuration } as const;
  fixture.write({ hardState: { term: 1, votedFor: undefined }, entries: [first] });
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
  const failures: Error[] = [];
  const replica = new Replica({
    raft,
    log,
    machine: new FakeMachine(),
    clock: loop.clock,
    tickMs: 50,
    sender: { send: () => {}, flush: () => {} },
    events: {
      onLeading: () => {},
      onRetiring: (quiet) => quiet(),
      onWritable: () => {},
      onChange: () => {},
      onFatal: (error) => failures.push(error),
    },
  });
  const resume = replica.pauseApply();
  const head = { type: "append_request", term: 1, prevIndex: 1, prevTerm: 1 } as const;
  replica.receive(8, { ...head, commitIndex: 2, entries: [command(2, 1)] });
  loop.settle();
  loop.pass(50);
  disk.medium = { read: (_path, _offset, bytes) => bytes.fill(1), writes: () => true };
  resume();
  loop.pass(50);
  loop.settle();
  expect(failures.map((error) => error instanceof DatabaseError && error.code)).toEqual([
    "CORRUPT",
  ]);
  expect(replica.mode).toBe("stopped");
});
