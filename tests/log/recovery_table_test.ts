import { expect, test } from "bun:test";
import {
  decide,
  matches,
  type Observation,
  RECOVERY_TABLE,
  type Verdict,
} from "../../lib/log/recovery_table.ts";

const VALUES: { readonly [Field in keyof Observation]: readonly Observation[Field][] } = {
  format: ["known", "newer"],
  owner: ["ours", "foreign"],
  slots: [0, 1, 2],
  segments: ["complete", "gap", "no_start"],
  tail: ["zeros", "damaged", "unreadable"],
  unwrittenSector: [false, true],
  closed: [false, true],
  alone: [false, true],
};

function all(): Observation[] {
  let combinations: Record<string, unknown>[] = [{}];
  for (const [field, values] of Object.entries(VALUES)) {
    combinations = combinations.flatMap((rest) =>
      values.map((value) => ({ ...rest, [field]: value }))
    );
  }
  return combinations as unknown as Observation[];
}

test("every combination of observations matches one row, and every row matches some", () => {
  const used = new Set<string>();
  for (const observation of all()) {
    const rows = RECOVERY_TABLE.filter((row) => matches(row, observation));
    expect([observation, rows.length]).toEqual([observation, 1]);
    used.add(rows[0]!.name);
  }
  expect(all().length).toBe(864);
  expect([...used].sort()).toEqual(RECOVERY_TABLE.map((row) => row.name).sort());
});

test("only an open batch with an unwritten sector is cut, in a log that is sound otherwise", () => {
  for (const observation of all()) {
    const cut = observation.format === "known" && observation.owner === "ours" &&
      observation.slots > 0 && observation.segments === "complete" &&
      observation.tail === "damaged" && !observation.closed && observation.unwrittenSector;
    expect(decide(observation).verdict === "cut").toBe(cut);
  }
});

test("a log starts only from a clean end", () => {
  const starting: Verdict[] = ["start", "repair_slot"];
  for (const observation of all()) {
    const { verdict } = decide(observation);
    if (starting.includes(verdict)) expect(observation.tail).toBe("zeros");
  }
});

test("only who is certain of term and vote, and not alone, gives up promises", () => {
  for (const observation of all()) {
    if (decide(observation).verdict !== "recover") continue;
    expect([observation.slots, observation.alone]).toEqual([2, false]);
    expect(observation.segments).not.toBe("no_start");
    expect(observation.segments === "gap" || observation.tail !== "zeros").toBe(true);
  }
});
