/** Sends calls to the leader, finds out who that is, and follows it. */
import { messageOf } from "../base/errors.ts";
import { CLIENT_DISCOVERY_MS } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Clock } from "../io/clock.ts";
import type { PipelineBody } from "../wire/hrana/types.ts";
import { ClientError, withDetails } from "./error.ts";
import { Exchange, type ExchangeLimits } from "./exchange.ts";
import * as knowledge from "./leader.ts";
import { backoffMs, mayRetry } from "./retry.ts";
import type { ClusterView, PipelineReply, PipelineTransport } from "./transport.ts";

/** Failed attempts after which any node that answers is asked to pass a request on. */
const PATIENT_ATTEMPTS = 4;

/** What a router needs. */
export interface RouterOptions {
  readonly seeds: readonly string[];
  readonly transport: PipelineTransport;
  readonly clock: Clock;
  readonly random: Random;
}

/** How one call is to be made. */
export interface CallOptions {
  readonly timeoutMs: number;
  /** The call reads only, so it may be made twice. */
  readonly idempotent: boolean;
}

/** What a node tells of its cluster. */
export interface NodeStatus {
  /** The node that told it. */
  readonly url: string;
  /** The body of `GET /cluster`. */
  readonly status: Readonly<Record<string, unknown>>;
}

/** A round of questions to everybody known. */
interface Round {
  /** The nodes that answered, in the order of their answers. */
  readonly answered: string[];
  /** Why the others did not. */
  readonly failures: string[];
}

/** The way of one client to its cluster. */
export class Router {
  readonly #transport: PipelineTransport;
  readonly #clock: Clock;
  readonly #random: Random;
  #known: knowledge.Knowledge;
  /** The round of questions under way, shared by all calls that wait for one. */
  #round: Promise<Round> | undefined;
  /** What is under way, to end it when the client is closed. */
  readonly #exchanges = new Set<Exchange>();
  #closed = false;

  constructor(options: RouterOptions) {
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#known = knowledge.initialKnowledge(options.seeds);
  }

  /** The HTTP address of the leader, as last heard. */
  get leaderUrl(): string | undefined {
    return this.#known.leader;
  }

  /** The addresses of all nodes heard of, the leader first. */
  get urls(): string[] {
    return knowledge.everybody(this.#known);
  }

  /**
   * Sends a pipeline that opens a new stream, again and elsewhere where that is safe.
   *
   * @param decode Makes the result of an answer; what it throws counts as an error of the attempt.
   * @throws {ClientError} when the call failed, or did not succeed within its time.
   */
  async call<T>(
    body: PipelineBody,
    options: CallOptions,
    decode: (reply: PipelineReply, url: string) => T,
  ): Promise<T> {
    const deadlineMs = this.#clock.nowMs() + options.timeoutMs;
    let suspect: string | undefined;
    let last: ClientError | undefined;
    for (let failed = 0;; failed++) {
      const url = await this.#target(deadlineMs, suspect, failed, last);
      try {
        const reply = await this.#attempt(url, body, deadlineMs, options);
        if (reply.baseUrl !== undefined) this.#learnLeader(reply.baseUrl);
        return decode(reply, url);
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        last = error;
        if (!mayRetry(error, options) || this.#closed) throw error;
      }
      suspect = url;
      this.#known = knowledge.doubt(this.#known, url);
      if (last.leader !== undefined && knowledge.sameForm(last.leader) !== url) {
        this.#learnLeader(last.leader);
        if (failed === 0) continue;
      }
      await this.#pause(Math.min(backoffMs(failed + 1, this.#random), deadlineMs - this.#now()));
    }
  }

  /** Sends the next pipeline of an open stream, once. */
  async pinned(url: string, body: PipelineBody, timeoutMs: number): Promise<PipelineReply> {
    const deadlineMs = this.#now() + timeoutMs;
    return await this.#attempt(url, body, deadlineMs, { timeoutMs, idempotent: false });
  }

  /**
   * What the cluster looks like to the first node that answers, the leader being asked first.
   *
   * @throws {ClientError} `NO_LEADER` when nobody answers.
   */
  async status(): Promise<NodeStatus> {
    if (this.#known.leader === undefined) await this.#ask();
    const reasons: string[] = [];
    for (const url of this.urls) {
      try {
        const view = await this.#view(url);
        if (view?.status !== undefined) return { url, status: view.status };
        reasons.push(`${url}: knows nothing of a cluster`);
      } catch (error) {
        reasons.push(`${url}: ${messageOf(error)}`);
      }
    }
    throw noLeader(reasons, undefined);
  }

  /** Sends a last pipeline without waiting for the answer, such as the end of a stream. */
  dismiss(url: string, body: PipelineBody): void {
    this.pinned(url, body, CLIENT_DISCOVERY_MS).catch(() => {});
  }

  /** Ends everything under way by an error; nothing can be sent any more. */
  close(): void {
    this.#closed = true;
    for (const exchange of this.#exchanges) exchange.giveUp(closedError("unknown"));
  }

  /** The node to ask now. @throws {ClientError} `NO_LEADER` when the time is up. */
  async #target(
    deadlineMs: number,
    suspect: string | undefined,
    failed: number,
    last: ClientError | undefined,
  ): Promise<string> {
    if (last !== undefined && this.#now() >= deadlineMs) throw noLeader([], last);
    if (this.#known.leader !== undefined && this.#known.leader !== suspect) {
      return this.#known.leader;
    }
    for (let rounds = 1;; rounds++) {
      if (this.#closed) throw closedError("rejected");
      const round = await this.#ask();
      const patience = failed + rounds < PATIENT_ATTEMPTS;
      const url = knowledge.chooseTarget(this.#known, round.answered, suspect, patience);
      if (url !== undefined && this.#now() < deadlineMs) return url;
      const pauseMs = Math.min(backoffMs(rounds, this.#random), deadlineMs - this.#now());
      if (pauseMs <= 0) throw noLeader(round.failures, last);
      await this.#pause(pauseMs);
    }
  }

  /** Asks everybody for the leader, or joins a round that is under way. */
  #ask(): Promise<Round> {
    return this.#round ??= this.#askEverybody().finally(() => this.#round = undefined);
  }

  /** Ends early, as soon as one answer names a leader that was not known before. */
  async #askEverybody(): Promise<Round> {
    const round: Round = { answered: [], failures: [] };
    const before = this.#known.leader;
    const urls = knowledge.everybody(this.#known);
    const found = Promise.withResolvers<void>();
    const all = urls.map(async (url) => {
      try {
        const view = await this.#view(url);
        round.answered.push(url);
        this.#known = knowledge.learn(this.#known, { url, view });
        if (this.#known.leader !== before) found.resolve();
      } catch (error) {
        round.failures.push(`${url}: ${messageOf(error)}`);
      }
    });
    await Promise.race([found.promise, Promise.all(all)]);
    return round;
  }

  #view(url: string): Promise<ClusterView | undefined> {
    const deadlineMs = this.#now() + CLIENT_DISCOVERY_MS;
    const late = `no answer within ${CLIENT_DISCOVERY_MS} ms`;
    return this.#limited({ deadlineMs, late }, (signal) => this.#transport.cluster(url, signal));
  }

  #attempt(
    url: string,
    body: PipelineBody,
    deadlineMs: number,
    options: CallOptions,
  ): Promise<PipelineReply> {
    const late = `${url} did not answer within ${options.timeoutMs} ms`;
    // A node that passes requests on is not asked to lead.
    const limits = this.#known.leader === url
      ? { deadlineMs, late, probe: () => this.#replaced(url) }
      : { deadlineMs, late };
    return this.#limited(limits, (signal) => this.#transport.send(url, body, signal));
  }

  /** Runs one exchange, which also ends when the client is closed. */
  async #limited<T>(
    limits: Omit<ExchangeLimits, "clock">,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw closedError("rejected");
    const exchange = new Exchange({ clock: this.#clock, ...limits });
    this.#exchanges.add(exchange);
    try {
      return await exchange.run(start);
    } finally {
      this.#exchanges.delete(exchange);
    }
  }

  /** Why a request to the leader is not to be waited for; undefined while it may still lead. */
  async #replaced(url: string): Promise<string | undefined> {
    await this.#ask();
    const { leader } = this.#known;
    if (leader === undefined || leader === url) return undefined;
    return `${url} does not answer, and ${leader} leads by now`;
  }

  #learnLeader(url: string): void {
    this.#known = knowledge.learnLeader(this.#known, url);
  }

  #now(): number {
    return this.#clock.nowMs();
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(Math.max(0, delayMs), resolve));
  }
}

function noLeader(reasons: readonly string[], last: ClientError | undefined): ClientError {
  const failures = reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
  const hint = "Check the addresses, and that most nodes of the cluster run";
  if (last !== undefined && last.code !== "CONNECTION_REFUSED") {
    return withDetails(last, {
      hint: last.hint ?? `It was tried until the time was up${failures}`,
    });
  }
  const cause = last === undefined ? {} : { cause: last };
  return new ClientError("NO_LEADER", `No leader was found in time${failures}`, { hint, ...cause });
}

function closedError(outcome: "rejected" | "unknown"): ClientError {
  return new ClientError("CLIENT_CLOSED", "The client is closed", { outcome });
}
