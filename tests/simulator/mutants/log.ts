/** Mistakes in the log on disk. */
import { type Mutant, mutant } from "./mutant.ts";

export const LOG: readonly Mutant[] = [
  mutant("any damage at the end counts as torn", [
    "lib/log/recovery_table.ts",
    '{ name, when: { ...when, slots: [2], alone: [false] }, verdict: "recover" },',
    '{ name, when: { ...when, slots: [2], alone: [false] }, verdict: "cut" },',
  ]),
  mutant("damage is forgotten by the next start", [
    "lib/log/open.ts",
    "const recovering = newestSlot.recovering || givenUp !== undefined;",
    "const recovering = givenUp !== undefined;",
  ]),
  mutant("a log counts as whole before what makes it so is durable", [
    "lib/log/record_queue.ts",
    '    if (this.#items[0]?.type === "recovered") {\n      this.#items.shift();',
    '    const early = this.#items.findIndex((item) => item.type === "recovered");\n' +
    "    if (early >= 0) {\n      this.#items.splice(early, 1);",
  ]),
  mutant("truncations are forgotten by a restart", [
    "lib/log/segment_log.ts",
    '    this.#writer.push({ type: "truncate", from, after, alone: this.#isAlone });',
    "",
  ]),
  mutant("a failed sync is passed over", [
    "lib/log/log_writer.ts",
    "      waiting--;\n      if (error !== undefined) this.fail(error);",
    "      waiting--;\n      if (error !== undefined && waiting < 0) this.fail(error);",
  ]),
  mutant("a new segment's name is not synced", [
    "lib/log/preparer.ts",
    "      this.#disk.syncFolder(this.#folder);\n",
    "",
  ]),
  mutant("the slot's sync stands for that of the stream", [
    "lib/log/log_writer.ts",
    "    let waiting = toSlot ? 2 : 1;",
    "    let waiting = 1;",
  ]),
  mutant("a batch is durable as soon as it is handed over", [
    "lib/log/log_writer.ts",
    "    this.#busy = true;\n    let waiting",
    "    for (const done of dones) this.#host.clock.soon(done);\n    dones = [];\n" +
    "    this.#busy = true;\n    let waiting",
  ]),
  mutant("what only the cache holds counts as durable after a restart", [
    "lib/log/open.ts",
    "  writeParts(file, 0, headerParts(header));\n" +
    "  if (lastUnit.length > 0) file.write(lastUnitAt, lastUnit);\n  file.sync();",
    "",
  ]),
  mutant("a missing log is made anew", [
    "lib/log/open.ts",
    "    if (options.create) return make(options);",
    "    return make(options);",
  ]),
  mutant("of term and vote the stream's copy is not looked at", [
    "lib/log/recovery.ts",
    "  let hardState = newerState(slot.hardState, replay.hardState);",
    "  let hardState = slot.hardState;",
  ]),
];
