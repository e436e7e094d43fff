/**
 * Finds and loads the SQLite library. Every thread of a process must load the very same file: only
 * then do they share SQLite's locks and the state of replication.
 */
import { createHash, randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { useFastCrc32c } from "../lib/base/crc32c.ts";
import { DatabaseError, messageOf } from "../lib/base/errors.ts";
import type { Library } from "./library.ts";
import { loadInBun } from "./library_bun.ts";
import { loadInDeno } from "./library_deno.ts";

let embeddedPath: string | undefined;
let opened: { readonly path: string; readonly library: Promise<Library> } | undefined;

/** Names the file inside the executable that holds the library; `embed_bun.ts` calls this. */
export function registerEmbeddedLibrary(path: string): void {
  embeddedPath = path;
}

/**
 * Loads the library, once for each thread.
 *
 * @param path What {@linkcode libraryPath} returned on the main thread. By default the same search
 * is made here.
 * @throws {DatabaseError} `CONFIG` when there is no library, it cannot be loaded, or this thread
 * has loaded another one.
 */
export async function openLibrary(path: string = libraryPath()): Promise<Library> {
  if (opened !== undefined && opened.path !== path) {
    throw new DatabaseError(
      "CONFIG",
      `Cannot load ${path}: this process uses ${opened.path} already`,
    );
  }
  if (opened === undefined) {
    const library = load(path);
    opened = { path, library };
    library.catch(() => opened = undefined);
  }
  return await opened.library;
}

/**
 * The file to load the library from, for this thread and those it starts: that of this thread when
 * it has loaded one, else the file `DQLITE_LIBRARY` names, else the one inside the executable,
 * extracted, else the one that `build.sh` made.
 *
 * @throws {DatabaseError} `CONFIG` when there is none.
 */
export function libraryPath(): string {
  if (opened !== undefined) return opened.path;
  const named = process.env["DQLITE_LIBRARY"];
  if (named !== undefined && named !== "") return existing(resolve(named), "DQLITE_LIBRARY");
  if (embeddedPath !== undefined) return extract(readFileSync(embeddedPath));
  return existing(fileURLToPath(new URL("../build/libsqlite3.so", import.meta.url)), "the default");
}

function existing(path: string, origin: string): string {
  // A link may point elsewhere tomorrow, and every thread needs the file of today.
  if (existsSync(path)) return realpathSync(path);
  throw new DatabaseError("CONFIG", `Cannot load the SQLite library: there is no ${path}`, {
    hint: `The path is ${origin}. Run ./build.sh library to make the library`,
  });
}

async function load(path: string): Promise<Library> {
  try {
    const c = "Bun" in globalThis ? await loadInBun(path) : loadInDeno(path);
    if (c.dqlite_has_crc32c() !== 0) useFastCrc32c(c.dqlite_crc32c);
    return { path, c };
  } catch (error) {
    throw new DatabaseError(
      "CONFIG",
      `Cannot load the SQLite library ${path}: ${messageOf(error)}`,
      { hint: "Run ./build.sh library to make the library anew", cause: error },
    );
  }
}

/**
 * Writes the library to a file that is named by its hash, inside a folder that only this user can
 * write to, unless that file is there already with the right content.
 *
 * @returns The file's path.
 * @throws {DatabaseError} `CONFIG` when the folder belongs to someone else or others may write to
 * it.
 */
export function extract(bytes: Uint8Array, parent: string = tmpdir()): string {
  const hash = sha256(bytes);
  const folder = privateFolder(parent);
  const path = join(folder, `libsqlite3-${hash}.so`);
  if (holds(path, hash)) return path;
  const partial = join(folder, `${randomUUID()}.partial`);
  try {
    const file = openSync(partial, "wx", 0o500);
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw new DatabaseError(
      "CONFIG",
      `Cannot extract the SQLite library to ${folder}: ${messageOf(error)}`,
      { hint: "Set TMPDIR to a folder that can be written to", cause: error },
    );
  }
  return path;
}

function privateFolder(parent: string): string {
  const uid = process.getuid?.() ?? 0;
  const folder = join(parent, `dqlite-${uid}`);
  try {
    mkdirSync(folder, { mode: 0o700 });
    // The mask of the process may have taken bits away.
    chmodSync(folder, 0o700);
  } catch (error) {
    if (!existsSync(folder)) {
      throw new DatabaseError("CONFIG", `Cannot make the folder ${folder}: ${messageOf(error)}`, {
        hint: "Set TMPDIR to a folder that can be written to",
        cause: error,
      });
    }
  }
  const stat = lstatSync(folder);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) {
    throw new DatabaseError(
      "CONFIG",
      `Cannot use ${folder}: it must be a folder of user ${uid} that nobody else can write to`,
      { hint: "Remove it, or set TMPDIR to another folder" },
    );
  }
  return folder;
}

function holds(path: string, hash: string): boolean {
  if (!existsSync(path)) return false;
  return lstatSync(path).isFile() && sha256(readFileSync(path)) === hash;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
