import { DatabaseError } from "../base/errors.ts";
import type { LogIndex } from "../raft/types.ts";
import { leadershipLost } from "./proposals.ts";
import type { StateMachine } from "./state_machine.ts";

/** Told once that the command is applied, or what became of it. */
export type CommandCallback = (error: DatabaseError | undefined) => void;

interface Command {
  readonly index: LogIndex;
  readonly payload: Uint8Array;
  /** Undefined once whoever waited was told. */
  done: CommandCallback | undefined;
}

/**
 * Commands that a leader applies as everybody does, rather than having made their effect itself:
 * once they are committed, and durable here, so that the databases are never ahead of the log.
 */
export class LeaderCommands {
  readonly #machine: Pick<StateMachine, "apply">;
  #commands: Command[] = [];

  constructor(machine: Pick<StateMachine, "apply">) {
    this.#machine = machine;
  }

  /** The command was proposed. */
  push(index: LogIndex, payload: Uint8Array, done: CommandCallback): void {
    this.#commands.push({ index, payload, done });
  }

  /** Applies those up to an index. */
  apply(safeIndex: LogIndex): void {
    while (this.#commands.length > 0 && this.#commands[0]!.index <= safeIndex) {
      const { index, payload, done } = this.#commands.shift()!;
      this.#machine.apply(index, payload, () => undefined);
      done?.(undefined);
    }
  }

  /** Leadership is lost: those after what is committed are not this node's any more. */
  lose(committedIndex: LogIndex): void {
    const commands = this.#commands;
    this.#commands = commands.filter(({ index }) => index <= committedIndex);
    for (const command of commands) this.#tell(command, leadershipLost());
  }

  /** The node stops. */
  fail(error: DatabaseError): void {
    for (const command of this.#commands.splice(0)) this.#tell(command, error);
  }

  #tell(command: Command, error: DatabaseError): void {
    const { done } = command;
    command.done = undefined;
    done?.(error);
  }
}

/** The refusal of a command for which there is no room. */
export function tooMuch(): DatabaseError {
  return new DatabaseError("BUSY", "More is being written than can be committed; try again");
}
