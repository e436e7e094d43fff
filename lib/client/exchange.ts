import { CLIENT_PROBE_MS } from "../base/limits.ts";
import type { Clock } from "../io/clock.ts";
import { ClientError } from "./error.ts";

/** When an exchange is given up. */
export interface ExchangeLimits {
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** Says that the deadline has passed. */
  readonly late: string;
  /**
   * Asked again and again while there is no answer: why it is not to be waited for any longer, or
   * undefined to go on. A node that was cut off keeps its connections open and says nothing.
   */
  readonly probe?: () => Promise<string | undefined>;
}

/** One request under way. */
export class Exchange {
  readonly #limits: ExchangeLimits;
  readonly #abort = new AbortController();
  readonly #givenUp = Promise.withResolvers<never>();
  #cancelTimer: (() => void) | undefined;
  #over = false;

  constructor(limits: ExchangeLimits) {
    this.#limits = limits;
    this.#givenUp.promise.catch(() => {});
  }

  /** Runs `start` to its end, or until the exchange is given up; then it throws why. */
  async run<T>(start: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#arm();
    try {
      // Giving up comes first: the runtime's own words for it say less, and not every transport
      // can be stopped.
      return await Promise.race([this.#givenUp.promise, start(this.#abort.signal)]);
    } finally {
      this.#over = true;
      this.#cancelTimer?.();
    }
  }

  /** Ends the exchange by an error. */
  giveUp(error: ClientError): void {
    if (this.#over) return;
    this.#over = true;
    this.#givenUp.reject(error);
    this.#abort.abort(error);
  }

  /** One timer serves the deadline and the probes. */
  #arm(): void {
    const { clock, deadlineMs, late, probe } = this.#limits;
    const leftMs = Math.max(0, deadlineMs - clock.nowMs());
    const probes = probe !== undefined && leftMs > CLIENT_PROBE_MS;
    this.#cancelTimer = clock.after(probes ? CLIENT_PROBE_MS : leftMs, () => {
      if (!probes) return this.giveUp(new ClientError("CONNECTION_LOST", late));
      probe().then((reason) => {
        if (this.#over) return;
        if (reason === undefined) this.#arm();
        else this.giveUp(new ClientError("CONNECTION_LOST", reason));
      });
    });
  }
}
