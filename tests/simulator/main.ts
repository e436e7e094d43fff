import { runSeed } from "./run.ts";
const seed = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 1);
const verbose = process.argv[4] === "v";
const t = performance.now();
let ev = 0;
for (let s = seed; s < seed + count; s++) {
  const r = runSeed(s, verbose ? (l) => console.log(l) : undefined);
  ev += r.events;
  if (count === 1 || r.failure) console.log(s, r.hash, r.events, r.simulatedUs / 1e6, r.failure ?? "ok");
  if (count===1) console.log(Object.fromEntries(r.counters.numbers), Object.fromEntries(r.counters.marks));
}
console.log(ev, "events", (performance.now() - t) | 0, "ms");
