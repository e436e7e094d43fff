/** A database of this node as a plain SQLite file, streamed. */
import { DatabaseError } from "../base/errors.ts";
import type { HttpReply, HttpRequest } from "../io/http.ts";
import type { Backup } from "../session/backups.ts";
import { MAIN_DATABASE_NAME } from "../wire/command.ts";
import { databaseInQuery } from "./database_path.ts";
import type { Operations } from "./types.ts";

const SQLITE_TYPE = "application/vnd.sqlite3";

/**
 * Answers `GET /cluster/backup` with the pages of the first database, or with `?db=NAME` of that
 * one. The headers tell how many there are, and as of which index. With `?sha256` the 32 bytes of
 * the SHA-256 of all pages follow them; with `?stale` no leader is asked whether the node is up to
 * date.
 *
 * @throws {DatabaseError} when no backup can begin.
 */
export async function handleBackup(
  request: HttpRequest,
  operations: Operations,
): Promise<HttpReply> {
  if (request.method !== "GET") {
    throw new DatabaseError("PROTOCOL", `/cluster/backup takes GET, not ${request.method}`);
  }
  const asked = request.query.split("&");
  const withHash = asked.includes("sha256");
  const name = databaseInQuery(request.query);
  const backup = await operations.backup(name, { stale: asked.includes("stale") });
  const { index, pages, pageSizeBytes } = backup;
  const sizeBytes = pages * pageSizeBytes + (withHash ? 32 : 0);
  return {
    status: 200,
    contentType: SQLITE_TYPE,
    body: streamOf(backup, withHash),
    headers: {
      // Some runtimes send chunks instead; these, too, tell a body that was cut off.
      "content-length": String(sizeBytes),
      "content-disposition": `attachment; filename="${name ?? MAIN_DATABASE_NAME}.db"`,
      "x-dqlite-index": String(index),
      "x-dqlite-pages": String(pages),
      "x-dqlite-page-size": String(pageSizeBytes),
    },
  };
}

function streamOf(backup: Backup, withHash: boolean): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const part = await backup.next();
      if (part.type === "pages") return controller.enqueue(part.bytes);
      if (withHash) controller.enqueue(Uint8Array.fromHex(part.sha256));
      controller.close();
    },
    cancel: () => backup.end(),
  }, { highWaterMark: 0 });
}
