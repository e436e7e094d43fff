/** The entry of an SQL worker thread: an executor behind the thread's messages. */
import { openLibrary } from "../../ffi/open.ts";
import { messageOf } from "../base/errors.ts";
import { systemClock } from "../io/clock.ts";
import { sha256 } from "../io/hash.ts";
import { workerScope } from "../io/worker.ts";
import { Executor } from "./executor.ts";
import { handedOver, packFromWorker, unpack } from "./worker_codec.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./worker_messages.ts";

const scope = workerScope();
const post = (message: FromWorker) => scope.post(packFromWorker(message), handedOver(message));
let executor: Executor | undefined;
/** What arrived before the library was there. */
const early: Exclude<ToWorker, { type: "setup" }>[] = [];

scope.onMessage((data) => {
  try {
    const message = unpack<ToWorker>(data);
    if (message.type !== "setup") {
      if (executor === undefined) early.push(message);
      else executor.handle(message);
      return;
    }
    void setUp(message.setup);
  } catch (error) {
    post({ type: "failed", message: messageOf(error) });
  }
});

async function setUp({ libraryPath, databasePath, owner }: WorkerSetup): Promise<void> {
  try {
    const library = await openLibrary(libraryPath);
    const { nowMs } = systemClock;
    executor = new Executor({ library, databasePath, owner, nowMs, post, sha256 });
    post({ type: "ready" });
    for (const message of early.splice(0)) executor.handle(message);
  } catch (error) {
    post({ type: "failed", message: messageOf(error) });
  }
}
