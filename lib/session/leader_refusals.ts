import { DatabaseError } from "../base/errors.ts";

/** The refusals of a node that does not lead: they name the leader, where it is known. */
export class LeaderRefusals {
  readonly #leaderUrl: () => string | undefined;

  /** @param leaderUrl URL of the leader's HTTP port, where it is known. */
  constructor(leaderUrl: () => string | undefined) {
    this.#leaderUrl = leaderUrl;
  }

  notLeader(): DatabaseError {
    return this.named(new DatabaseError("NOT_LEADER", "This node does not lead the cluster"));
  }

  /** The error, which names the leader if that may answer instead. */
  named(error: DatabaseError): DatabaseError {
    const leader = this.#leaderUrl();
    if (error.code !== "NOT_LEADER" || leader === undefined) return error;
    return new DatabaseError(error.code, error.message, { leader, outcome: error.outcome });
  }

  /** Why a pipeline did not begin: what was lost on the way to its database was not a write. */
  notBegun(error: unknown): unknown {
    if (!(error instanceof DatabaseError)) return error;
    return error.code === "LEADERSHIP_LOST" ? this.notLeader() : this.named(error);
  }
}
