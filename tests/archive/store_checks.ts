/** What every object store has to do, under every runtime. */
import { DatabaseError } from "../../lib/base/errors.ts";
import type { ObjectStore } from "../../lib/io/object_store.ts";

/** More than a server lists at once. */
const MANY = 1_100;

/** @throws {Error} that says what the empty store does not do. */
export async function checkStore(store: ObjectStore): Promise<void> {
  check("an empty store has no folders", (await store.folders()).length === 0);
  check("an empty store lists nothing", (await keys(store, "a/")).length === 0);
  check("what is missing is undefined", await store.get("a/1", 10) === undefined);
  await store.remove("a/1");

  const bytes = new Uint8Array(100_000).map((_, at) => at * 31);
  await store.put("a/b/1", bytes);
  const read = await store.get("a/b/1", bytes.length);
  check("an object is what was put", read !== undefined && equal(read, bytes));
  await store.put("a/b/1", bytes.slice(0, 5));
  check("an object is replaced", (await store.get("a/b/1", 10))?.length === 5);
  const refusal = await store.get("a/b/1", 4).catch((error) => error);
  check("a large one is refused", refusal instanceof DatabaseError && refusal.code === "TOO_LARGE");

  const small = new Uint8Array([1, 2, 3]);
  const names = Array.from({ length: MANY }, (_, at) => `many/${String(at >> 9)}/${number(at)}`);
  for (let at = 0; at < names.length; at += 50) {
    await Promise.all(names.slice(at, at + 50).map((name) => store.put(name, small)));
  }
  check("all are listed in order", same(await keys(store, "many/"), names));
  check("one folder is listed", same(await keys(store, "many/1/"), names.slice(512, 1024)));
  for (const at of [0, 511, 512, 700, MANY - 1]) {
    const listed = await keys(store, "many/", names[at]!);
    check(`those behind ${at} are listed`, same(listed, names.slice(at + 1)));
  }
  check("what is between two names counts", (await keys(store, "many/", "many/1")).length === 588);
  for await (const { key, sizeBytes } of store.list("a/")) {
    check("a list tells sizes", key === "a/b/1" && sizeBytes === 5);
  }
  check("folders are listed", same(await store.folders(), ["a", "many"]));
  await store.remove("a/b/1");
  check("an object is removed", await store.get("a/b/1", 10) === undefined);
}

async function keys(store: ObjectStore, prefix: string, after?: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix, after)) found.push(key);
  return found;
}

function number(at: number): string {
  return String(at).padStart(6, "0");
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, at) => name === other[at]);
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function check(what: string, holds: boolean): void {
  if (!holds) throw new Error(`Not so: ${what}`);
}
