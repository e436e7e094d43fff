/**
 * Streams inside one process, for tests and the simulator: every delay, size of a segment and
 * fault comes from the clock and the random numbers that are handed in.
 */
import { assert } from "../base/assert.ts";
import { DatabaseError } from "../base/errors.ts";
import { below, type Random } from "../base/random.ts";
import type { Clock } from "./clock.ts";
import { formatAddress, type HostPort } from "./address.ts";
import { type Connection, type ConnectionHandler, IGNORE, LINGER_MS } from "./network.ts";
import type { Listener, Network } from "./network.ts";

const EPHEMERAL_PORT_FIRST = 49_152;
const EPHEMERAL_PORT_LAST = 65_535;
/** Unread bytes above which a writer is asked to wait. */
const WINDOW_BYTES = 64 * 1024;

/** How a network inside the process behaves. */
export interface MemoryNetworkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly delayMinMs?: number;
  readonly delayMaxMs?: number;
  /** Writes arrive in random pieces of up to this many bytes. */
  readonly segmentBytesMax?: number;
}

type Accept = (connection: Connection) => void;

/** The wires between the hosts of one process. */
export class MemoryNetwork {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #delayMinMs: number;
  readonly #delayMaxMs: number;
  readonly #segmentBytesMax: number;
  readonly #listeners = new Map<string, { readonly host: string; readonly accept: Accept }>();
  readonly #cuts = new Set<string>();
  readonly #streams = new Set<MemoryConnection>();
  #nextPort = EPHEMERAL_PORT_FIRST;

  constructor(options: MemoryNetworkOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#delayMinMs = options.delayMinMs ?? 0;
    this.#delayMaxMs = options.delayMaxMs ?? this.#delayMinMs;
    this.#segmentBytesMax = options.segmentBytesMax ?? WINDOW_BYTES;
    assert(this.#delayMinMs <= this.#delayMaxMs, "the delays must be in order");
  }

  /** The network as `host` sees it; what it listens on is reached under that name. */
  host(host: string): Network {
    return {
      connect: (address, handler) => this.#connect(host, address, handler),
      listen: (address, accept) => this.#listen(host, address, accept),
    };
  }

  /** Bytes from one host to the other wait until the link heals; new connections hang. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from} ${to}`);
  }

  /** Undoes {@linkcode cut}; what waited arrives. */
  heal(from: string, to: string): void {
    this.#cuts.delete(`${from} ${to}`);
    for (const stream of [...this.#streams]) stream.pump();
  }

  /** Breaks every connection between two hosts, as a reset does on both sides. */
  reset(a: string, b: string): void {
    for (const stream of [...this.#streams]) {
      if ((stream.from === a && stream.to === b) || (stream.from === b && stream.to === a)) {
        stream.close(new Error(`The connection to ${stream.remote} was reset`));
      }
    }
  }

  /** Sides of connections that are open. */
  get openCount(): number {
    return [...this.#streams].filter((stream) => !stream.closed).length;
  }

  #connect(from: string, address: HostPort, handler: ConnectionHandler): Connection {
    const near = new MemoryConnection(this.#wires(from, address.host), formatAddress(address));
    near.handler = handler;
    near.enqueue(() => {
      const listener = this.#listeners.get(formatAddress(address));
      if (near.closed) return;
      if (listener === undefined) return near.close(new Error(`${near.remote} refused`));
      const remote = formatAddress({ host: from, port: this.#port() });
      const far = new MemoryConnection(this.#wires(address.host, from), remote);
      near.join(far);
      listener.accept(far);
      far.enqueue(() => near.open());
    });
    return near;
  }

  #listen(host: string, asked: HostPort, accept: Accept): Promise<Listener> {
    const address = { host: asked.host, port: asked.port === 0 ? this.#port() : asked.port };
    const key = formatAddress(address);
    if (asked.host !== host) {
      const message = `${key} is not an address of this machine`;
      return Promise.reject(new DatabaseError("ADDRESS", message));
    }
    if (this.#listeners.has(key)) {
      const message = `The address ${key} is taken by another program`;
      return Promise.reject(new DatabaseError("ADDRESS", message));
    }
    this.#listeners.set(key, { host, accept });
    return Promise.resolve({ address, close: () => void this.#listeners.delete(key) });
  }

  #port(): number {
    const port = this.#nextPort;
    this.#nextPort = port === EPHEMERAL_PORT_LAST ? EPHEMERAL_PORT_FIRST : port + 1;
    return port;
  }

  #wires(from: string, to: string): Wires {
    return {
      from,
      to,
      clock: this.#clock,
      isCut: () => this.#cuts.has(`${from} ${to}`),
      delayMs: () =>
        this.#delayMinMs + below(this.#random, this.#delayMaxMs - this.#delayMinMs + 1),
      segmentBytes: () => 1 + below(this.#random, this.#segmentBytesMax),
      opened: (stream) => void this.#streams.add(stream),
      forget: (stream) => void this.#streams.delete(stream),
    };
  }
}

/** What one direction of one connection needs to know of the network. */
interface Wires {
  readonly from: string;
  readonly to: string;
  readonly clock: Clock;
  isCut(): boolean;
  delayMs(): number;
  segmentBytes(): number;
  opened(stream: MemoryConnection): void;
  forget(stream: MemoryConnection): void;
}

/** One side of a connection, with what travels from it to the other side. */
class MemoryConnection implements Connection {
  readonly remote: string;
  handler: ConnectionHandler = IGNORE;
  readonly #wires: Wires;
  readonly #traffic: { readonly dueMs: number; readonly deliver: () => void }[] = [];
  #far: MemoryConnection | undefined;
  #unreadBytes = 0;
  #waits = false;
  #paused = false;
  #ended = false;
  #endArrived = false;
  #closed = false;
  readonly #closedCallbacks: (() => void)[] = [];
  #cancelTimer: (() => void) | undefined;
  #cancelLinger: (() => void) | undefined;

  constructor(wires: Wires, remote: string) {
    this.#wires = wires;
    this.remote = remote;
    wires.opened(this);
  }

  get from(): string {
    return this.#wires.from;
  }

  get to(): string {
    return this.#wires.to;
  }

  get closed(): boolean {
    return this.#closed;
  }

  join(far: MemoryConnection): void {
    this.#far = far;
    far.#far = this;
  }

  open(): void {
    if (!this.#closed) this.handler.onOpen();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#ended) return true;
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.slice(at, at + this.#wires.segmentBytes());
      at += piece.length;
      this.#unreadBytes += piece.length;
      this.enqueue(() => this.#deliver(piece));
    }
    this.#waits ||= this.#unreadBytes > WINDOW_BYTES;
    return !this.#waits;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#far?.pump();
  }

  end(): void {
    if (this.#closed || this.#ended) return;
    this.#ended = true;
    this.#cancelLinger = this.#wires.clock.after(LINGER_MS, () => this.destroy());
    this.enqueue(() => {
      this.#endArrived = true;
      this.#far?.end();
      this.#closeWhenBothEnded();
      if (this.#far !== undefined) this.#far.#closeWhenBothEnded();
    });
  }

  destroy(): void {
    if (this.#closed) return;
    const far = this.#far;
    this.#traffic.length = 0;
    this.close(undefined);
    if (far === undefined || far.#closed) return;
    this.#wires.opened(this);
    this.enqueue(() => far.close(new Error(`The connection to ${far.remote} was reset`)));
  }

  whenClosed(callback: () => void): void {
    this.#closedCallbacks.push(callback);
  }

  /** Closes this side; the handler learns of it later. */
  close(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLinger?.();
    this.#forgetWhenIdle();
    this.#wires.clock.soon(() => {
      this.handler.onClose(error);
      for (const callback of this.#closedCallbacks) callback();
    });
  }

  /** Lets something travel to the other side, behind what travels already. */
  enqueue(deliver: () => void): void {
    const earliestMs = this.#wires.clock.nowMs() + this.#wires.delayMs();
    const lastMs = this.#traffic.at(-1)?.dueMs ?? 0;
    this.#traffic.push({ dueMs: Math.max(earliestMs, lastMs), deliver });
    this.pump();
  }

  /** Sets the timer for what arrives next, unless a cut link or a paused reader holds it back. */
  pump(): void {
    const next = this.#traffic[0];
    if (next === undefined || this.#cancelTimer !== undefined || this.#held()) return;
    const waitMs = Math.max(0, next.dueMs - this.#wires.clock.nowMs());
    this.#cancelTimer = this.#wires.clock.after(waitMs, () => {
      this.#cancelTimer = undefined;
      if (this.#held()) return;
      this.#arrive();
      this.pump();
    });
  }

  #held(): boolean {
    return this.#wires.isCut() || (this.#far !== undefined && this.#far.#paused);
  }

  #arrive(): void {
    const nowMs = this.#wires.clock.nowMs();
    while (this.#traffic.length > 0 && this.#traffic[0]!.dueMs <= nowMs && !this.#held()) {
      this.#traffic.shift()!.deliver();
    }
    this.#forgetWhenIdle();
    if (this.#waits && this.#unreadBytes === 0 && !this.#closed) {
      this.#waits = false;
      this.handler.onDrain();
    }
  }

  /** The network must know a closed side for as long as a reset or an end travels from it. */
  #forgetWhenIdle(): void {
    if (this.#closed && this.#traffic.length === 0) this.#wires.forget(this);
  }

  #deliver(piece: Uint8Array): void {
    this.#unreadBytes -= piece.length;
    const far = this.#far;
    if (far !== undefined && !far.#closed) far.handler.onData(piece);
  }

  #closeWhenBothEnded(): void {
    if (this.#endArrived && this.#far !== undefined && this.#far.#endArrived) this.close(undefined);
  }
}
