/** The committed log, applied to a real database by a follower that never fails. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Library } from "../../../ffi/library.ts";
import { Connection } from "../../../lib/database/connection.ts";
import { ReplicaHandle } from "../../../lib/database/replica_handle.ts";
import type { FramesCommand } from "../../../lib/replica/replicated_database.ts";
import { decodeCommand } from "../../../lib/wire/command.ts";
import { require } from "../checkers/violation.ts";
import type { Ran, Reference, Taken } from "../database.ts";
import { dump, query, ranAfter, SqliteContent } from "./content.ts";
import { type Step, transactionOf } from "./sql.ts";

/** See the file comment. */
export class SqliteReference implements Reference {
  readonly #library: Library;
  readonly #folder: string;
  #handle: ReplicaHandle | undefined;
  #content: SqliteContent | undefined;
  #chunks: Uint8Array[] = [];

  /** @param folder To be made. */
  constructor(library: Library, folder: string) {
    this.#library = library;
    this.#folder = folder;
  }

  get content(): SqliteContent | undefined {
    return this.#content;
  }

  take(payload: Uint8Array): Taken {
    const command = decodeCommand(payload);
    if (command.type === "create") {
      if (this.#content === undefined) this.#create(command.image);
      return { type: "create" };
    }
    require(command.type === "frames", () => "a database is dropped that nobody asked to");
    const { first, last, chunk } = command as FramesCommand;
    if (first) this.#chunks = [];
    this.#chunks.push(chunk.slice());
    return { type: "part", first, ran: last ? this.#apply() : undefined };
  }

  /** Runs the transactions again, by SQL, and compares what there is to see. */
  check(ids: readonly number[]): void {
    if (this.#content === undefined) return;
    using replicated = this.#connect();
    require(
      query(replicated, "PRAGMA integrity_check").join() === "ok",
      () => "the replicated database is damaged",
    );
    using plain = Connection.open(this.#library, ":memory:", { role: "plain" });
    ids.forEach((id, at) => {
      const { before, work, end } = transactionOf(id, at === 0);
      for (const step of [...before, ...work, ...end]) run(plain, step);
    });
    require(
      dump(replicated) === dump(plain),
      () => `the database is not what its ${ids.length} transactions make`,
    );
  }

  close(): void {
    this.#handle?.close();
  }

  get #path(): string {
    return `${this.#folder}/main.db`;
  }

  #connect(): Connection {
    return Connection.open(this.#library, this.#path, { role: "session" });
  }

  #create(image: Uint8Array): void {
    mkdirSync(this.#folder);
    writeFileSync(this.#path, image);
    this.#handle = ReplicaHandle.open(this.#library, this.#path);
    this.#content = new SqliteContent(this.#library, this.#path);
  }

  #apply(): Ran[] {
    for (const chunk of this.#chunks) this.#handle!.apply(chunk);
    this.#chunks = [];
    const { count } = this.#content!;
    this.#content = new SqliteContent(this.#library, this.#path);
    using connection = this.#connect();
    return ranAfter(connection, count);
  }
}

function run(connection: Connection, { sql, fails = false }: Step): void {
  let failed = false;
  try {
    connection.exec(sql);
  } catch {
    failed = true;
  }
  require(failed === fails, () => `${sql} ${failed ? "fails" : "does not fail"}`);
}
