/**
 * Names of the objects of an archive. A list of names tells, without reading any object, which
 * points can be restored, and where something is missing:
 *
 * ```text
 * CLUSTER/log/FOLDER/FIRST-LAST-TIME-CHAIN-CHAIN   entries; time after, chains before and after
 * CLUSTER/base/INDEX-FUZZY-TIME-ID                 a base, written once its pages are there
 * CLUSTER/pages/ID/NUMBER                          its pages, from 1
 * ```
 *
 * Numbers have 16 digits, so that names sort as numbers do; FOLDER are the first 11 digits of
 * FIRST. Two objects of the same name hold the same, but for an accident of about 2^-64.
 */
import type { LogIndex } from "../raft/types.ts";
import type { Chain } from "./chain.ts";

const DIGITS = 16;
const FOLDER_DIGITS = 11;
/** The latest time that a `Date` can hold. */
const TIME_MAX_MS = 8.64e15;
const CLUSTER = /^[0-9a-f]{32}$/;
const ENTRIES =
  /^[0-9a-f]{32}\/log\/(\d{11})\/(\d{16})-(\d{16})-(\d{16})-([0-9a-f]{16})-([0-9a-f]{16})$/;
const BASE = /^[0-9a-f]{32}\/base\/(\d{16})-(\d{16})-(\d{16})-([0-9a-f]{32})$/;
const PAGES = /^[0-9a-f]{32}\/pages\/([0-9a-f]{32})\/\d{8}$/;

/** What the name of an object with entries tells. */
export interface EntriesName {
  readonly first: LogIndex;
  readonly last: LogIndex;
  /** The latest time of a command up to its end. */
  readonly timeAfterMs: number;
  readonly chainBefore: Chain;
  readonly chainAfter: Chain;
}

/** What the name of a base tells. */
export interface BaseName {
  readonly index: LogIndex;
  readonly fuzzyIndex: LogIndex;
  readonly timeMs: number;
  /** 32 hexadecimal digits. */
  readonly id: string;
}

/** Whether a folder's name is the id of a cluster. */
export function isClusterId(name: string): boolean {
  return CLUSTER.test(name);
}

/** The name of an object with entries. */
export function entriesKey(clusterId: string, name: EntriesName): string {
  const { first, last, timeAfterMs, chainBefore, chainAfter } = name;
  const numbers = [first, last, timeAfterMs].map(digits).join("-");
  return `${entriesFolder(clusterId, first)}${numbers}-${chainText(chainBefore)}-${
    chainText(chainAfter)
  }`;
}

/** What comes before the names of all objects whose first entry is `first` or a later one. */
export function beforeEntriesFrom(clusterId: string, first: LogIndex): string {
  return `${entriesFolder(clusterId, first)}${digits(first)}`;
}

/** What all names of objects with entries begin with. */
export function entriesPrefix(clusterId: string): string {
  return `${clusterId}/log/`;
}

/** What a name of an object with entries tells; undefined when it is none. */
export function parseEntriesKey(key: string): EntriesName | undefined {
  const match = ENTRIES.exec(key);
  if (match === null) return undefined;
  const [folder, first, last, time] = match.slice(1, 5).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  if (first < 1 || last < first || folder !== Math.floor(first / 10 ** (DIGITS - FOLDER_DIGITS))) {
    return undefined;
  }
  if (time > TIME_MAX_MS) return undefined;
  const chainBefore = parseChain(match[5]!);
  return { first, last, timeAfterMs: time, chainBefore, chainAfter: parseChain(match[6]!) };
}

/** The name of a base. */
export function baseKey(clusterId: string, { index, fuzzyIndex, timeMs, id }: BaseName): string {
  return `${basePrefix(clusterId)}${[index, fuzzyIndex, timeMs].map(digits).join("-")}-${id}`;
}

/** What all names of bases begin with. */
export function basePrefix(clusterId: string): string {
  return `${clusterId}/base/`;
}

/** What a name of a base tells; undefined when it is none. */
export function parseBaseKey(key: string): BaseName | undefined {
  const match = BASE.exec(key);
  if (match === null) return undefined;
  const [index, fuzzyIndex, timeMs] = match.slice(1, 4).map(Number) as [number, number, number];
  if (timeMs > TIME_MAX_MS) return undefined;
  return { index, fuzzyIndex, timeMs, id: match[4]! };
}

/** The name of an object with pages. @param number From 1, over all databases of the base. */
export function pagesKey(clusterId: string, baseId: string, number: number): string {
  return `${pagesPrefix(clusterId)}${baseId}/${String(number).padStart(8, "0")}`;
}

/** What all names of pages begin with. */
export function pagesPrefix(clusterId: string): string {
  return `${clusterId}/pages/`;
}

/** Whose pages an object has, by its name; undefined when it has none. */
export function parsePagesKey(key: string): { readonly baseId: string } | undefined {
  const match = PAGES.exec(key);
  return match === null ? undefined : { baseId: match[1]! };
}

/** A chain as 16 hexadecimal digits. */
export function chainText({ a, b }: Chain): string {
  return a.toString(16).padStart(8, "0") + b.toString(16).padStart(8, "0");
}

function parseChain(text: string): Chain {
  return { a: parseInt(text.slice(0, 8), 16), b: parseInt(text.slice(8), 16) };
}

function entriesFolder(clusterId: string, first: LogIndex): string {
  return `${entriesPrefix(clusterId)}${digits(first).slice(0, FOLDER_DIGITS)}/`;
}

function digits(number: number): string {
  return String(number).padStart(DIGITS, "0");
}
