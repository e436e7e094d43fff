/**
 * Requests that are built once and patched in place: a slot is a run of digits that gets another
 * number before every send, always of the same width.
 */

import { framesOf } from "./socket_frames.ts";

/** Where the numbers of a slot come from. */
export type SlotSource =
  /** The next number of a sequence that all clients share. */
  | { readonly type: "sequence" }
  /** Drawn evenly from `[first, first + count)`. */
  | { readonly type: "random"; readonly first: number; readonly count: number };

/** What a workload sends to one system, and how a good answer looks. */
export interface RequestPlan {
  readonly path: string;
  /** Sent over a WebSocket in place of the body, one behind the other; each is answered. */
  readonly messages?: readonly string[];
  /** A JSON text in which {@linkcode SLOT} stands for each number. */
  readonly body: string;
  readonly slot: SlotSource;
  /** A good answer contains this text. */
  readonly must: string;
  /** A good answer does not contain this text. */
  readonly mustNot: string;
  /** A good answer contains the digits of the first slot. */
  readonly echo: boolean;
  /** A good answer's body has at least this many bytes. */
  readonly bodyBytesMin: number;
}

/** Stands for a number in the body of a plan. */
export const SLOT = "##########";
/** Every number in a slot has as many digits. */
export const SLOT_DIGITS = SLOT.length;
/** The smallest number with that many digits. */
export const SLOT_MIN = 1_000_000_000;

/** The bytes of one request, with the places of its slots. */
export class RequestTemplate {
  readonly bytes: Buffer;
  readonly #offsets: number[] = [];

  /** @param host The value of the Host header. */
  constructor(plan: RequestPlan, host: string) {
    this.bytes = plan.messages === undefined ? requestOf(plan, host) : framesOf(plan.messages);
    for (let at = this.bytes.indexOf(SLOT); at !== -1;) {
      this.#offsets.push(at);
      at = this.bytes.indexOf(SLOT, at + SLOT_DIGITS);
    }
  }

  get slots(): number {
    return this.#offsets.length;
  }

  /** The digits that slot `index` holds now. */
  digits(index: number): Buffer {
    const at = this.#offsets[index]!;
    return this.bytes.subarray(at, at + SLOT_DIGITS);
  }

  /** Writes a number of ten digits into slot `index`. */
  set(index: number, value: number): void {
    let rest = value;
    const start = this.#offsets[index]!;
    for (let at = start + SLOT_DIGITS - 1; at >= start; at--) {
      this.bytes[at] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
  }
}

function requestOf(plan: RequestPlan, host: string): Buffer {
  const body = Buffer.from(plan.body);
  const head = `POST ${plan.path} HTTP/1.1\r\nHost: ${host}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}
