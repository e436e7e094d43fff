/** The object store that a user names: `s3://bucket/prefix`, or the path of a folder. */
import process from "node:process";
import { DatabaseError } from "../base/errors.ts";
import type { ObjectStore } from "./object_store.ts";
import { FolderStore } from "./object_store_folder.ts";
import { S3Store } from "./object_store_s3.ts";

const S3 = /^s3:\/\/([^/]+)\/?(.*)$/;

/**
 * Opens a store; nothing is read or written yet.
 *
 * @param env Where the credentials of a bucket are, under the names that AWS gave them.
 * @throws {DatabaseError} `CONFIG` when it is no place for objects, or credentials are missing.
 */
export function openObjectStore(
  where: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ObjectStore {
  const match = S3.exec(where);
  if (match !== null) return S3Store.fromEnvironment(match[1]!, match[2]!, env);
  if (!/^[a-z0-9+.-]+:\/\//i.test(where)) return new FolderStore(where);
  throw new DatabaseError("CONFIG", `${where} is no archive`, {
    hint: "Name a folder, or s3://BUCKET/PREFIX",
  });
}
