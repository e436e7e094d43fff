/**
 * Spares: members that receive nothing of the log. In place of heartbeats the leader sends them the
 * latest configuration that is committed, so that they know the term, the leader and the others.
 * They keep it in memory only, and confirm nothing that counts.
 */
import { heardFromLeader } from "./follow.ts";
import { knownConfiguration, send, type State } from "./state.ts";
import type { Message, NodeId } from "./types.ts";

/** The leader takes this node for a spare. */
export function onConfiguration(
  state: State,
  from: NodeId,
  message: Extract<Message, { type: "configuration" }>,
): void {
  heardFromLeader(state, from);
  const { index, configuration } = message;
  const before = knownConfiguration(state);
  if (index > (state.told?.index ?? 0)) state.told = { index, configuration };
  if (knownConfiguration(state).index !== before.index) state.effects.changed = true;
  send(state, from, { type: "heartbeat_response", term: state.term, round: 0 });
}
