/** A log whose lines a test can look at. */
import type { Log, LogFields } from "../../lib/observe/log.ts";

/** See the file comment. */
export class Lines implements Log {
  readonly #lines: { readonly message: string; readonly fields: LogFields }[] = [];
  readonly debug = this.#add.bind(this);
  readonly info = this.#add.bind(this);
  readonly warn = this.#add.bind(this);
  readonly error = this.#add.bind(this);

  /** The facts of every line with that message. */
  with(message: string): readonly LogFields[] {
    return this.#lines.filter((line) => line.message === message).map(({ fields }) => fields);
  }

  #add(message: string, fields: LogFields = {}): void {
    this.#lines.push({ message, fields });
  }
}
