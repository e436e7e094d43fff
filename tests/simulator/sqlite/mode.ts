/** The mode in which every node has real SQLite. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Library } from "../../../ffi/library.ts";
import { openLibrary } from "../../../ffi/open.ts";
import { below, SeededRandom } from "../../../lib/base/random.ts";
import { createDatabaseImage } from "../../../lib/database/create.ts";
import { encodeCreate, MAIN_DATABASE_ID } from "../../../lib/wire/command.ts";
import type { Databases, MachineOptions, Mode, Reference, SimulatedMachine } from "../database.ts";
import type { Settings } from "../settings.ts";
import { SimulatedSqlite, type SqliteOptions } from "./machine.ts";
import { SqliteReference } from "./reference.ts";

/** Memory, where the system has a folder in it. */
const PARENT = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
/** The number of the process follows. */
const PREFIX = "dqlite-simulator-";

/**
 * Loads the library.
 *
 * @param parent Where each run has a folder of its own while it lasts.
 */
export async function sqliteMode(parent = PARENT): Promise<Mode> {
  const library = await openLibrary();
  removeAbandoned(parent);
  return { settings, open: (drawn) => new SqliteDatabases(library, parent, drawn) };
}

/** A process that was killed left its folder behind. */
function removeAbandoned(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const pid = Number(name.slice(PREFIX.length).split("-")[0]);
    if (!isAlive(pid)) rmSync(join(parent, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code !== "ESRCH";
  }
}

/** Real transactions cost more than simulated ones: there are fewer. */
function settings(drawn: Settings): Settings {
  const safetyUs = Math.min(drawn.safetyUs, 100 * drawn.tickUs);
  const { checkpoint } = drawn.faults;
  return {
    ...drawn,
    safetyUs,
    faults: { ...drawn.faults, checkpoint: Math.min(checkpoint, safetyUs / 10) },
    writeUs: Math.max(drawn.writeUs, 2 * drawn.tickUs),
    readUs: Math.max(drawn.readUs, 2 * drawn.tickUs),
    // The largest entry has to fit.
    segmentBytes: 2 * drawn.segmentBytes,
  };
}

/** The databases of one run, in a folder of their own. */
class SqliteDatabases implements Databases {
  readonly creation: Uint8Array<ArrayBuffer>;
  readonly #options: SqliteOptions;
  readonly #folder: string;
  readonly #machines: SimulatedSqlite[] = [];
  #reference: SqliteReference | undefined;

  constructor(library: Library, parent: string, { seed }: Settings) {
    this.#folder = mkdtempSync(join(parent, `${PREFIX}${process.pid}-`));
    const random = new SeededRandom(seed ^ 0x50c11e);
    const pageBytes = [512, 1024, 4096][below(random, 3)]!;
    const partPages = [1, 2, 5, 60][below(random, 4)]!;
    this.#options = {
      library,
      pageBytes,
      payloadBytesMax: Math.min(8000, 64 + partPages * (pageBytes + 4)),
    };
    const image = createDatabaseImage(library, { pageSize: pageBytes });
    this.creation = encodeCreate(MAIN_DATABASE_ID, "main", image);
  }

  newReference(): Reference {
    this.#reference = new SqliteReference(this.#options.library, `${this.#folder}/reference`);
    return this.#reference;
  }

  newMachine(options: MachineOptions): SimulatedMachine {
    const folder = `${this.#folder}/${options.nodeId}-${this.#machines.length}`;
    const machine = new SimulatedSqlite(options, this.#options, folder);
    this.#machines.push(machine);
    return machine;
  }

  atEnd(ids: readonly number[]): void {
    this.#reference?.check(ids);
  }

  close(): void {
    for (const machine of this.#machines) machine.close();
    this.#reference?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
