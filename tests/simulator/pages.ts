/**
 * The database of the simulator: a few pages, and transactions that depend on what they find there,
 * so that a lost, repeated or reordered one changes everything after it. Page 0 counts the
 * transactions and chains their ids.
 */
import { assert } from "../../lib/base/assert.ts";
import { ByteReader, ByteWriter } from "../../lib/base/bytes.ts";
import type { Content, Ran, Reference, Taken } from "./database.ts";

/** Pages of a database. */
export const PAGES = 8;
const WORDS = 2;

/** All pages of a database, two words each. */
export class Pages implements Content {
  readonly words: Uint32Array;

  constructor(words = new Uint32Array(PAGES * WORDS)) {
    this.words = words;
  }

  get count(): number {
    return this.words[0]!;
  }

  get chain(): number {
    return this.words[1]!;
  }

  copy(): Pages {
    return new Pages(this.words.slice());
  }

  /** Runs the transaction `id`; returns the pages that it changed. */
  run(id: number): readonly number[] {
    const { words } = this;
    const changed = [0];
    words[0] = words[0]! + 1;
    words[1] = mix(words[1]!, id);
    for (const page of new Set([1 + id % (PAGES - 1), 1 + (id >>> 3) % (PAGES - 1)])) {
      words[page * WORDS] = id;
      words[page * WORDS + 1] = mix(words[page * WORDS + 1]!, id);
      changed.push(page);
    }
    return changed;
  }

  page(page: number): readonly [number, number] {
    return [this.words[page * WORDS]!, this.words[page * WORDS + 1]!];
  }

  set(page: number, [a, b]: readonly [number, number]): void {
    this.words[page * WORDS] = a;
    this.words[page * WORDS + 1] = b;
  }

  digest(): number {
    let digest = 0;
    for (const word of this.words) digest = mix(digest, word);
    return digest;
  }
}

function mix(one: number, other: number): number {
  let z = Math.imul(one ^ 0x9e3779b9, 0x85ebca6b) + other;
  z = Math.imul(z ^ (z >>> 15), 0xc2b2ae35);
  return (z ^ (z >>> 13)) >>> 0;
}

/** A part of what some transactions changed. */
export interface Part {
  readonly type: "part";
  readonly first: boolean;
  readonly last: boolean;
  /** Ids of transactions, in their order; each is in one part. */
  readonly ids: readonly number[];
  /** Pages as the last of the transactions left them. */
  readonly pages: readonly (readonly [page: number, a: number, b: number])[];
}

/** What an entry of the log says. */
export type PageCommand = { readonly type: "create" } | Part;

const CREATE = 1;
const PART = 2;

/** @param filler Bytes that mean nothing, to make the payload longer. */
export function encodeCommand(command: PageCommand, filler: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(128);
  if (command.type === "create") writer.u8(CREATE);
  else {
    writer.u8(PART).u8(command.first ? 1 : 0).u8(command.last ? 1 : 0);
    writer.u16(command.ids.length).u16(command.pages.length);
    for (const id of command.ids) writer.u32(id);
    for (const [page, a, b] of command.pages) writer.u8(page).u32(a).u32(b);
  }
  return writer.blob(filler).finish();
}

/** @throws {FormatError} when the bytes are no command. */
export function decodeCommand(payload: Uint8Array): PageCommand {
  const reader = new ByteReader(payload);
  if (reader.u8() === CREATE) return { type: "create" };
  const first = reader.u8() === 1;
  const last = reader.u8() === 1;
  const idCount = reader.u16();
  const pageCount = reader.u16();
  const ids: number[] = [];
  for (let i = 0; i < idCount; i++) ids.push(reader.u32());
  const pages: [number, number, number][] = [];
  for (let i = 0; i < pageCount; i++) pages.push([reader.u8(), reader.u32(), reader.u32()]);
  reader.blob();
  reader.end();
  return { type: "part", first, last, ids, pages };
}

/** Runs the committed transactions again. */
export class PageReference implements Reference {
  #pages: Pages | undefined;
  #ids: number[] = [];

  get content(): Pages | undefined {
    return this.#pages;
  }

  take(payload: Uint8Array): Taken {
    const command = decodeCommand(payload);
    if (command.type === "create") {
      this.#pages = new Pages();
      return command;
    }
    const { first, last, ids } = command;
    if (first) this.#ids = [];
    this.#ids.push(...ids);
    return { type: "part", first, ran: last ? this.#ids.map((id) => this.#run(id)) : undefined };
  }

  #run(id: number): Ran {
    assert(this.#pages !== undefined, `transaction ${id} before there is a database`);
    this.#pages.run(id);
    return { id, chain: this.#pages.chain };
  }
}
