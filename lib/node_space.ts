/** What a node says of the space on its disk. */
import type { LogSpace } from "./log/types.ts";
import type { Log } from "./observe/log.ts";

/** The log has no space for its next segment, or has it again. */
export function tellLogSpace(log: Log, space: LogSpace): void {
  if (space === "low") {
    log.warn("the disk is full: this node takes no writes until there is space");
  } else log.info("the disk has space again");
}

/** There is no space to apply what is committed, or there is again. */
export function tellApplySpace(log: Log, space: LogSpace): void {
  if (space === "ok") log.info("what is committed is applied again");
  else log.warn("the disk is full: what is committed waits to be applied");
}
