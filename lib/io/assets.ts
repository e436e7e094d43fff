/**
 * Files that come with the program: inside the executable, or in the folder it is run from.
 */
import { readFileSync, writeFileSync } from "node:fs";

const embedded = new Map<string, string>();

/** Makes a file inside the executable known, under a name; its entry calls this at the start. */
export function registerAsset(name: string, path: string): void {
  embedded.set(name, path);
}

/** The content of an embedded file; undefined when there is none of that name. */
export function readAsset(name: string): Uint8Array | undefined {
  const path = embedded.get(name);
  return path === undefined ? undefined : readFileSync(path);
}

/**
 * The content of a file of the checkout.
 *
 * @param path Relative to the root of the checkout.
 * @throws {Error} of the system, with the path in its message.
 */
export function readCheckoutFile(path: string): Uint8Array {
  return readFileSync(new URL(`../../${path}`, import.meta.url));
}

/** Makes or replaces a file. @throws {Error} of the system, with the path in its message. */
export function writeFile(path: string, bytes: Uint8Array): void {
  writeFileSync(path, bytes);
}
