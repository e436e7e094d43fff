/**
 * Swarm testing: each seed draws which faults there are and how often, and sizes and speeds, since
 * a run with everything turned on hides what only shows when something else is absent (Groce et
 * al., "Swarm Testing", 2012). Times are in microseconds of simulated time, chances in thousandths.
 */
import { below, SeededRandom } from "../../lib/base/random.ts";
import type { RaftLimits } from "../../lib/raft/options.ts";
import type { Trailing } from "../../lib/replica/compaction.ts";

/** Mean time between two faults of a class; 0 turns the class off. */
export interface FaultTimes {
  readonly crash: number;
  readonly kill: number;
  readonly pause: number;
  readonly clockJump: number;
  readonly partition: number;
  readonly slowPath: number;
  readonly duel: number;
  readonly reset: number;
  readonly stall: number;
  readonly writeError: number;
  readonly cutStart: number;
  readonly damage: number;
  readonly strayWrite: number;
  readonly readFault: number;
  readonly fullDisk: number;
  readonly slowNode: number;
  readonly change: number;
  readonly transfer: number;
  readonly campaign: number;
  readonly checkpoint: number;
  readonly compact: number;
  readonly lag: number;
  readonly diverge: number;
}

/** What the network does to messages. */
export interface NetworkSettings {
  /** Messages from one node to another keep their order, as over one connection. */
  readonly inOrder: boolean;
  readonly delayUs: number;
  readonly lossPermille: number;
  readonly repeatPermille: number;
  /** Messages travel in frames, as over a real connection. */
  readonly framed: boolean;
  /** Frames with a bit changed on the way, and connections that break within a frame. */
  readonly flipPermille: number;
  readonly breakPermille: number;
}

/** One seed's world. */
export interface Settings {
  readonly seed: number;
  /** More disks may be damaged than the promise covers: refusals are allowed, lies are not. */
  readonly beyond: boolean;
  /** No faults: no election may be needed but the first. */
  readonly calm: boolean;
  readonly voters: number;
  /** One node founds the cluster and the others join it. */
  readonly foundAlone: boolean;
  readonly tickUs: number;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly limits: RaftLimits;
  readonly segmentBytes: number;
  readonly cacheBytesMax: number;
  readonly partItemsMax: number;
  readonly fillerBytesMax: number;
  readonly fillerZeros: boolean;
  readonly applyUs: number;
  readonly rewindBusyPermille: number;
  readonly driftPermille: number;
  readonly network: NetworkSettings;
  readonly diskUs: number;
  /** Sectors that survive a crash: none, all, or a share that each crash draws. */
  readonly survive: "none" | "all" | "some";
  /** Creations, renames and removals that were not synced are lost from the last one back. */
  readonly namesInOrder: boolean;
  readonly writeUs: number;
  readonly readUs: number;
  readonly faults: FaultTimes;
  /** What a compaction leaves behind a checkpoint. */
  readonly trailing: Trailing;
  /** The time that a part of a snapshot takes. */
  readonly snapshotUs: number;
  readonly safetyUs: number;
  /** One out of so many acknowledgements has the platters read. */
  readonly platterEvery: number;
}

const NO_FAULTS: FaultTimes = {
  crash: 0,
  kill: 0,
  pause: 0,
  clockJump: 0,
  partition: 0,
  slowPath: 0,
  duel: 0,
  reset: 0,
  stall: 0,
  writeError: 0,
  cutStart: 0,
  damage: 0,
  strayWrite: 0,
  readFault: 0,
  fullDisk: 0,
  slowNode: 0,
  change: 0,
  transfer: 0,
  campaign: 0,
  checkpoint: 0,
  compact: 0,
  lag: 0,
  diverge: 0,
};

/** Ticks of the safety phase: mostly few, as most mistakes show early, and time buys more seeds. */
const SAFETY_TICKS = [40, 60, 60, 80, 80, 120, 160, 300];
/** One seed in so many is calm. */
const CALM_EVERY = 16;

/** Draws the settings of a seed; the same faults, and more of the disks damaged, with `beyond`. */
export function drawSettings(seed: number, beyond = false): Settings {
  const settings = drawMost(seed, beyond);
  // Of a generator of its own, so that what older seeds draw stays what it was.
  const random = new SeededRandom(seed ^ 0x4ea10001);
  if (settings.calm || below(random, 2) === 0) return settings;
  const diverge = settings.safetyUs / (1 + below(random, 6));
  return { ...settings, faults: { ...settings.faults, diverge } };
}

function drawMost(seed: number, beyond: boolean): Settings {
  const random = new SeededRandom(seed ^ 0x5e771465);
  const upTo = (bound: number) => below(random, bound + 1);
  const pick = <T>(values: readonly T[]): T => values[below(random, values.length)]!;
  const calm = below(random, CALM_EVERY) === 0 && !beyond;
  const tickUs = pick([10_000, 50_000]);
  const heartbeatTicks = pick([1, 2, 2, 3]);
  const electionTicks = Math.max(calm ? 8 : 4, heartbeatTicks * 2) + upTo(6);
  // A class of faults strikes a few times in a run, or not at all.
  const safetyUs = pick(SAFETY_TICKS) * tickUs;
  const strikes = (most: number) => below(random, 2) === 0 ? 0 : safetyUs / (1 + upTo(most - 1));
  const seldom = (most: number) => below(random, 2) === 0 ? 0 : strikes(most);
  const damage = (times: number) => beyond ? safetyUs / (2 + upTo(10)) : times;
  const small = below(random, 3) === 0;
  // Entries soon fill a segment, and whoever is away for a while needs a snapshot.
  const compacts = !calm && below(random, 3) === 0;
  return {
    seed,
    beyond,
    calm,
    voters: pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5]),
    foundAlone: !calm && below(random, 4) === 0,
    tickUs,
    electionTicks,
    heartbeatTicks,
    limits: {
      appendEntriesMax: small ? 1 + upTo(4) : 256,
      appendBytesMax: small ? 100 + upTo(900) : 1 << 20,
      inflightMessagesMax: small ? 1 + upTo(3) : 64,
      inflightBytesMax: small ? 100 + upTo(2000) : 8 << 20,
      uncommittedEntriesMax: small ? 2 + upTo(12) : 4096,
      uncommittedBytesMax: small ? 200 + upTo(4000) : 64 << 20,
      pendingReadsMax: small ? 1 + upTo(10) : 65_536,
    },
    segmentBytes: compacts ? 12 * 1024 : pick([12, 16, 24, 48]) * 1024,
    cacheBytesMax: pick([0, 2000, 1 << 20, 1 << 20]),
    partItemsMax: pick([2, 3, 5, 100, 100]),
    fillerBytesMax: compacts ? 1500 : pick([0, 40, 600, 1500]),
    fillerZeros: below(random, 3) === 0,
    applyUs: pick([0, 0, 0, 1500, 2600]),
    rewindBusyPermille: pick([0, 0, 500]),
    driftPermille: calm ? 0 : pick([0, 0, 20, 200]),
    network: {
      inOrder: below(random, 2) === 0,
      delayUs: calm ? 200 + upTo(500) : pick([200, 1000, tickUs >>> 1, tickUs * 2, tickUs * 4]),
      lossPermille: calm ? 0 : pick([0, 0, 10, 50, 200]),
      repeatPermille: calm ? 0 : pick([0, 0, 20, 200]),
      framed: below(random, 4) === 0,
      flipPermille: calm ? 0 : pick([0, 2, 20]),
      breakPermille: calm ? 0 : pick([0, 2, 20]),
    },
    diskUs: calm ? 100 + upTo(500) : pick([100, 500, tickUs >>> 1, tickUs]),
    survive: pick(["none", "all", "some", "some", "some"]),
    namesInOrder: below(random, 3) > 0,
    writeUs: tickUs * pick([1, 2, 4]),
    readUs: tickUs * pick([0.25, 2, 4, 8]),
    faults: calm ? { ...NO_FAULTS, checkpoint: safetyUs / 4 } : {
      crash: strikes(10),
      kill: strikes(4),
      pause: strikes(6),
      clockJump: strikes(4),
      partition: strikes(10),
      slowPath: strikes(6),
      duel: strikes(10),
      reset: strikes(20),
      stall: strikes(6),
      writeError: strikes(4),
      cutStart: strikes(8),
      damage: damage(strikes(8)),
      strayWrite: seldom(8),
      readFault: seldom(8),
      fullDisk: seldom(3),
      slowNode: seldom(4),
      change: strikes(16),
      transfer: strikes(6),
      campaign: strikes(8),
      checkpoint: compacts ? safetyUs / 12 : strikes(12),
      compact: compacts ? safetyUs / 20 : strikes(20),
      lag: compacts ? safetyUs / 6 : strikes(6),
      diverge: 0,
    },
    trailing: { entries: compacts ? 0 : pick([0, 5, 1000]), bytes: pick([0, 2000, 1 << 20]) },
    snapshotUs: pick([500, tickUs >>> 1, tickUs * 2]),
    safetyUs,
    platterEvery: pick([16, 128, 1024]),
  };
}
