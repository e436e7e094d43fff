/**
 * The addresses of the other members as last known, on disk: whoever holds nothing of the log finds
 * its cluster again by them. They are a hint only, so damage to the file does no harm.
 */
import { z } from "zod";
import { messageOf } from "../base/errors.ts";
import { MEMBERS_MAX } from "../base/limits.ts";
import type { Disk } from "../io/disk.ts";
import type { Log } from "../observe/log.ts";
import type { Member, NodeId } from "../raft/types.ts";

const FILE = "members.json";
const FILE_BYTES_MAX = 64 * 1024;
const FORM = z.object({ addresses: z.array(z.string().max(300)).max(MEMBERS_MAX) });

/** What a roster needs. */
export interface RosterOptions {
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
  readonly nodeId: NodeId;
  readonly log: Log;
}

/** Remembers where the others are. */
export class Roster {
  readonly #options: RosterOptions;
  readonly #path: string;
  #addresses: readonly string[];

  constructor(options: RosterOptions) {
    this.#options = options;
    this.#path = `${options.folder}/${FILE}`;
    this.#addresses = this.#read();
  }

  /** Cluster ports of the other members. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** The configuration may have changed; one that nobody is part of tells nothing. */
  observe(members: readonly Member[]): void {
    if (members.length === 0) return;
    const others = members.filter(({ id }) => id !== this.#options.nodeId);
    const addresses = others.map(({ address }) => address);
    if (addresses.join() === this.#addresses.join()) return;
    this.#addresses = addresses;
    try {
      this.#write(`${JSON.stringify({ addresses }, undefined, 2)}\n`);
    } catch (error) {
      this.#options.log.debug("cannot remember the members", { reason: messageOf(error) });
    }
  }

  #read(): readonly string[] {
    const { disk, log } = this.#options;
    try {
      if (!disk.exists(this.#path)) return [];
      const file = disk.open(this.#path, { create: false, readOnly: true });
      try {
        const text = new TextDecoder().decode(file.read(0, FILE_BYTES_MAX));
        return FORM.parse(JSON.parse(text)).addresses;
      } finally {
        file.close();
      }
    } catch (error) {
      log.debug("the remembered members are not readable", { reason: messageOf(error) });
      return [];
    }
  }

  #write(text: string): void {
    const { disk } = this.#options;
    const temporary = `${this.#path}.new`;
    const file = disk.open(temporary, { create: true });
    try {
      file.truncate(0);
      file.write(0, new TextEncoder().encode(text));
      file.sync();
    } finally {
      file.close();
    }
    disk.rename(temporary, this.#path);
  }
}
