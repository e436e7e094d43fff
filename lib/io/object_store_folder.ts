/** Objects as files of a folder, which may be on another machine: no call holds up the thread. */
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DatabaseError, messageOf } from "../base/errors.ts";
import { ARCHIVE_CALL_TIMEOUT_MS } from "../base/limits.ts";
import { systemClock } from "./clock.ts";
import { isDiskFull } from "./disk_full.ts";
import { randomHex } from "./entropy.ts";
import { type ObjectStore, type StoredObject, tooLarge } from "./object_store.ts";

/** See {@linkcode ObjectStore}. The folder is made with the first object. */
export class FolderStore implements ObjectStore {
  readonly where: string;

  constructor(path: string) {
    this.where = path;
  }

  folders(): Promise<string[]> {
    return this.#try(() => this.#names("", "folder"));
  }

  async *list(prefix: string, after = ""): AsyncGenerator<StoredObject> {
    for (const name of await this.#try(() => this.#names(prefix, "folder"))) {
      const folder = `${prefix}${name}/`;
      // All that is in it may sort before.
      if (folder >= after || after.startsWith(folder)) yield* this.list(folder, after);
    }
    for (const name of await this.#try(() => this.#names(prefix, "file"))) {
      const key = prefix + name;
      if (key <= after) continue;
      const sizeBytes = await this.#try(async () => (await stat(this.#path(key))).size, "missing");
      if (sizeBytes !== undefined) yield { key, sizeBytes };
    }
  }

  get(key: string, bytesMax: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#try(async () => {
      const path = this.#path(key);
      if ((await stat(path)).size > bytesMax) throw tooLarge(this.where, key, bytesMax);
      return await readFile(path);
    }, "missing");
  }

  put(key: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.#try(async () => {
      const path = this.#path(key);
      const temporary = `${path}.partial-${randomHex(4)}`;
      await makeFolder(dirname(path));
      try {
        const file = await open(temporary, "wx");
        try {
          await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => {});
        throw error;
      }
      await syncFolder(dirname(path));
    });
  }

  remove(key: string): Promise<void> {
    return this.#try(async () => {
      const path = this.#path(key);
      await rm(path, { force: true });
      // Most folders hold more.
      await rmdir(dirname(path)).catch(() => {});
    });
  }

  #path(key: string): string {
    return join(this.where, key);
  }

  /** What is in a folder, sorted; nothing when there is no such folder. */
  async #names(folder: string, kind: "file" | "folder"): Promise<string[]> {
    const found = await readdir(this.#path(folder), { withFileTypes: true }).catch(nothingIf);
    return (found ?? [])
      .filter((one) => kind === "folder" ? one.isDirectory() : one.isFile())
      .map(({ name }) => name)
      .filter((name) => !name.includes(".partial-"))
      .sort();
  }

  #try<T>(run: () => Promise<T>): Promise<T>;
  #try<T>(run: () => Promise<T>, missing: "missing"): Promise<T | undefined>;
  async #try<T>(run: () => Promise<T>, missing?: "missing"): Promise<T | undefined> {
    const late = Promise.withResolvers<never>();
    // A folder of another machine may not answer at all.
    const cancel = systemClock.after(
      ARCHIVE_CALL_TIMEOUT_MS,
      () => late.reject(new Error(`no answer within ${ARCHIVE_CALL_TIMEOUT_MS} ms`)),
    );
    try {
      return await Promise.race([run(), late.promise]);
    } catch (error) {
      if (error instanceof DatabaseError) throw error;
      if (missing !== undefined && isMissing(error)) return undefined;
      const full = isDiskFull(error);
      throw new DatabaseError(
        full ? "DISK_FULL" : "DISK",
        full ? `The disk of ${this.where} is full` : `${this.where}: ${messageOf(error)}`,
        { outcome: "rejected", cause: error },
      );
    } finally {
      cancel();
    }
  }
}

/** Makes a folder with its parents, durably. */
async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = dirname(at)) await syncFolder(dirname(at));
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function nothingIf(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
