import { expect, test } from "bun:test";
import { MEMBERS_MAX } from "../../lib/base/limits.ts";
import { below, SeededRandom } from "../../lib/base/random.ts";
import {
  applyChange,
  checkConfiguration,
  ConfigurationStack,
  EMPTY_CONFIGURATION,
  initialConfiguration,
  isJoint,
  isReplica,
  isVoter,
  leaveJoint,
  roleOf,
  votersOf,
} from "../../lib/raft/configuration.ts";
import { extraWaits, weightIn } from "../../lib/raft/priority.ts";
import { hasQuorum } from "../../lib/raft/quorum.ts";
import type { Configuration, ConfigurationChange, MemberRole } from "../../lib/raft/types.ts";
import { memberOf } from "./harness.ts";

function apply(configuration: Configuration, change: ConfigurationChange): Configuration {
  const result = applyChange(configuration, change);
  if ("invalid" in result) throw new Error(result.invalid);
  return result.configuration;
}

function refusal(configuration: Configuration, change: ConfigurationChange): string {
  const result = applyChange(configuration, change);
  return "invalid" in result ? result.invalid : "accepted";
}

const THREE = initialConfiguration([3, 1, 2].map(memberOf));

test("a node joins as a standby and becomes a voter through a joint configuration", () => {
  const standby = apply(THREE, { type: "add", role: "standby", member: memberOf(4) });
  expect(standby.standbys).toEqual([4]);
  expect(standby.voters).toEqual([1, 2, 3]);
  expect(isJoint(standby)).toBe(false);
  const joint = apply(standby, { type: "assign", id: 4, role: "voter" });
  expect([joint.voters, joint.votersOutgoing, joint.standbys]).toEqual([
    [1, 2, 3, 4],
    [1, 2, 3],
    [],
  ]);
  expect(leaveJoint(joint).voters).toEqual([1, 2, 3, 4]);
});

test("a removed voter stays a member until the joint configuration is left", () => {
  const joint = apply(THREE, { type: "remove", id: 2 });
  expect(joint.members.map(({ id }) => id)).toEqual([1, 2, 3]);
  expect(votersOf(joint)).toEqual([1, 2, 3]);
  expect(isVoter(joint, 2)).toBe(true);
  expect(leaveJoint(joint).members.map(({ id }) => id)).toEqual([1, 3]);
});

test("a standby is removed in one step", () => {
  const standby = apply(THREE, { type: "add", role: "standby", member: memberOf(4) });
  expect(apply(standby, { type: "remove", id: 4 })).toEqual(THREE);
});

test("an update changes the addresses of one member and nothing else", () => {
  const member = { id: 2, address: "a:1", httpUrl: "http://b:2" };
  const updated = apply(THREE, { type: "update_member", member });
  expect(updated.members[1]).toEqual(member);
  expect({ ...updated, members: [] }).toEqual({ ...THREE, members: [] });
});

test("changes that make no sense are refused", () => {
  expect(refusal(THREE, { type: "add", role: "standby", member: memberOf(2) })).toContain(
    "already",
  );
  expect(refusal(THREE, { type: "add", role: "standby", member: memberOf(0) })).toContain(
    "positive",
  );
  expect(refusal(THREE, { type: "assign", id: 2, role: "voter" })).toContain("voter already");
  expect(refusal(THREE, { type: "assign", id: 2, role: "learner" })).toContain("voter already");
  expect(refusal(THREE, { type: "assign", id: 7, role: "voter" })).toContain("not a member");
  expect(refusal(THREE, { type: "remove", id: 7 })).toContain("not a member");
  expect(refusal(THREE, { type: "update_member", member: memberOf(7) })).toContain("not a member");
  const one = initialConfiguration([memberOf(1)]);
  expect(refusal(one, { type: "remove", id: 1 })).toContain("only voter");
});

const ROLES = ["voter", "learner", "standby", "spare"] as const;

/** Three voters, and node 4 in a role. */
function withFour(role: MemberRole): Configuration {
  if (role === "voter") return initialConfiguration([1, 2, 3, 4].map(memberOf));
  return apply(THREE, { type: "add", role, member: memberOf(4) });
}

test("every role can become every other one, but a spare no voter and a voter no learner", () => {
  for (const from of ROLES) {
    for (const to of ROLES) {
      const start = withFour(from);
      expect(roleOf(start, 4)).toBe(from);
      const result = applyChange(start, { type: "assign", id: 4, role: to });
      const isRefused = from === to || (from === "spare" && to === "voter") ||
        (from === "voter" && to === "learner");
      expect("invalid" in result).toBe(isRefused);
      if ("invalid" in result) continue;
      const next = result.configuration;
      checkConfiguration(next);
      // Only what changes who votes needs two entries.
      expect(isJoint(next)).toBe(from === "voter" || to === "voter");
      if (isJoint(next)) {
        expect(next.votersOutgoing).toEqual(start.voters);
        // Whoever leaves the voters votes, and is sent the log, until the second entry.
        expect(roleOf(next, 4)).toBe("voter");
        expect(isReplica(next, 4)).toBe(true);
      }
      const last = isJoint(next) ? leaveJoint(next) : next;
      checkConfiguration(last);
      expect(last).toEqual(withFour(to));
      expect(isReplica(last, 4)).toBe(to !== "spare");
    }
  }
});

test("a member of any role is removed", () => {
  for (const role of ROLES) {
    const next = apply(withFour(role), { type: "remove", id: 4 });
    expect(isJoint(next)).toBe(role === "voter");
    expect(isJoint(next) ? leaveJoint(next) : next).toEqual(THREE);
  }
});

test("the only voter stays one", () => {
  const four = withFour("spare");
  const alone = { ...four, voters: [1], standbys: [2, 3] };
  checkConfiguration(alone);
  for (const role of ["standby", "spare"] as const) {
    expect(refusal(alone, { type: "assign", id: 1, role })).toContain("only voter");
  }
  expect(refusal(alone, { type: "remove", id: 1 })).toContain("only voter");
  expect(refusal(four, { type: "assign", id: 4, role: "voter" })).toContain("standby first");
});

test("the number of members is bounded", () => {
  let configuration = THREE;
  for (let id = 4; id <= MEMBERS_MAX; id++) {
    configuration = apply(configuration, { type: "add", role: "standby", member: memberOf(id) });
  }
  const change = { type: "add", role: "standby", member: memberOf(MEMBERS_MAX + 1) } as const;
  expect(refusal(configuration, change)).toContain(`at most ${MEMBERS_MAX}`);
});

test("every quorum meets every quorum of the configuration before and after", () => {
  const random = new SeededRandom(3);
  const ids = [1, 2, 3, 4, 5, 6];
  let configuration = initialConfiguration([1, 2, 3].map(memberOf));
  for (let round = 0; round < 400; round++) {
    const id = ids[below(random, ids.length)]!;
    const changes = [
      { type: "add", role: "standby", member: memberOf(id) },
      { type: "assign", id, role: "voter" },
      { type: "assign", id, role: "standby" },
      { type: "assign", id, role: "spare" },
      { type: "remove", id },
    ] as const;
    const next = isJoint(configuration)
      ? { configuration: leaveJoint(configuration) }
      : applyChange(configuration, changes[below(random, changes.length)]!);
    if ("invalid" in next) continue;
    checkConfiguration(next.configuration);
    for (let subset = 0; subset < 1 << ids.length; subset++) {
      const inside = (voter: number) => (subset & (1 << (voter - 1))) !== 0;
      const disjoint = hasQuorum(configuration, inside) &&
        hasQuorum(next.configuration, (voter) => !inside(voter));
      expect(disjoint).toBe(false);
    }
    configuration = next.configuration;
  }
});

test("truncation brings back the configuration before, compaction keeps the one in force", () => {
  const stack = new ConfigurationStack({ index: 0, configuration: EMPTY_CONFIGURATION });
  const four = apply(THREE, { type: "add", role: "standby", member: memberOf(4) });
  stack.push({ index: 1, configuration: THREE });
  stack.push({ index: 5, configuration: four });
  expect(stack.latest.index).toBe(5);
  expect(stack.at(4).index).toBe(1);
  expect(stack.truncate(6)).toBe(false);
  expect(stack.truncate(5)).toBe(true);
  expect(stack.latest).toEqual({ index: 1, configuration: THREE });
  stack.push({ index: 7, configuration: four });
  stack.compact(6);
  expect(stack.at(6).index).toBe(1);
  expect(stack.between(1, 9).map(({ index }) => index)).toEqual([7]);
  expect(() => stack.at(0)).toThrow();
  expect(() => stack.truncate(1)).toThrow();
});

test("a weight is a whole number from 0 to 255, and stays until another one is named", () => {
  const start = initialConfiguration([memberOf(1), memberOf(2)]);
  const weigh = (from: Configuration, weight: number | undefined) =>
    applyChange(from, { type: "update_member", member: { ...memberOf(2), weight } });
  for (const weight of [-1, 1.5, 256, Number.NaN]) {
    expect(weigh(start, weight)).toHaveProperty("invalid");
  }
  for (const weight of [0, 255]) {
    const result = weigh(start, weight);
    if ("invalid" in result) throw new Error(result.invalid);
    expect(weightIn(result.configuration, 2)).toBe(weight);
    const moved = weigh(result.configuration, undefined);
    if ("invalid" in moved) throw new Error(moved.invalid);
    expect(weightIn(moved.configuration, 2)).toBe(weight);
    expect(weightIn(moved.configuration, 1)).toBe(1);
  }
});

test("voters of lower weights wait longer, and weight 0 waits longest", () => {
  const waits = (...weights: number[]) => {
    const members = weights.map((weight, at) => ({ ...memberOf(at + 1), weight }));
    const configuration = initialConfiguration(members);
    return members.map(({ id }) => extraWaits(configuration, id));
  };
  expect(waits(1, 1, 1)).toEqual([0, 0, 0]);
  expect(waits(5, 5, 2)).toEqual([0, 0, 1]);
  expect(waits(9, 5, 2, 1)).toEqual([0, 1, 2, 2]);
  expect(waits(1, 1, 0)).toEqual([0, 0, 4]);
  expect(waits(0, 0, 0)).toEqual([0, 0, 0]);
  const standby = { ...memberOf(3), weight: 9 };
  const start = initialConfiguration([memberOf(1), memberOf(2)]);
  const result = applyChange(start, { type: "add", role: "standby", member: standby });
  if ("invalid" in result) throw new Error(result.invalid);
  expect(extraWaits(result.configuration, 1)).toBe(0);
});
