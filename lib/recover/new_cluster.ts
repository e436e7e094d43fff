/** From a choice to a cluster that can be started: who is in it, and where. */
import { parseAddress } from "../io/address.ts";
import { httpUrl } from "../io/http_server.ts";
import { initialConfiguration } from "../raft/configuration.ts";
import type { Member, NodeId } from "../raft/types.ts";
import type { Choice } from "./choice.ts";
import { makeCopies } from "./copies.ts";
import { recoverInPlace } from "./in_place.ts";
import type { MakeOptions } from "./new_log.ts";

/** Where a node listens whose addresses nobody remembers; its next start brings its own. */
const ADDRESS = "127.0.0.1:9001";
const HTTP_PORT = 8080;

/** What the new cluster is to be. */
export interface Wish {
  /** A folder to make the new ones in; undefined to make the chosen folder one of it. */
  readonly to: string | undefined;
  /** Its voters; the node of the chosen folder when there are none. Only with `to`. */
  readonly nodes: readonly { readonly id: NodeId; readonly address: string }[];
}

/** What was made. */
export interface Made {
  /** Each with the address it is to listen on, where that was asked for. */
  readonly folders: readonly { readonly dir: string; readonly listen: string | undefined }[];
  /** Where the old log is kept, when a folder was changed. */
  readonly oldLog: string | undefined;
}

/**
 * Makes the data folders of the new cluster.
 *
 * @throws {DatabaseError} As `recoverInPlace` and `makeCopies` do.
 */
export async function makeCluster(
  edges: Omit<MakeOptions, "configuration">,
  choice: Choice,
  { to, nodes }: Wish,
): Promise<Made> {
  const { chosen } = choice;
  const members = nodes.length === 0
    ? [memberAt(choice, chosen.nodeId, undefined)]
    : nodes.map(({ id, address }) => memberAt(choice, id, address));
  const options = { ...edges, configuration: initialConfiguration(members) };
  if (to === undefined) {
    const oldLog = await recoverInPlace(options, chosen);
    return { folders: [{ dir: chosen.dir, listen: undefined }], oldLog };
  }
  if (nodes.length === 0) {
    await makeCopies(options, chosen, to, [{ member: members[0]!, name: "" }]);
    return { folders: [{ dir: to, listen: undefined }], oldLog: undefined };
  }
  const targets = members.map((member) => ({ member, name: String(member.id) }));
  await makeCopies(options, chosen, to, targets);
  const folders = targets.map(({ member, name }) => ({
    dir: `${to}/${name}`,
    listen: member.address,
  }));
  return { folders, oldLog: undefined };
}

/** A member of the new cluster: as the old one knew it, as far as it did. */
function memberAt({ configuration }: Choice, id: NodeId, address: string | undefined): Member {
  const known = configuration.members.find((member) => member.id === id);
  if (known !== undefined && (address ?? known.address) === known.address) return known;
  const place = address ?? ADDRESS;
  return { id, address: place, httpUrl: httpUrl(parseAddress(place).host, HTTP_PORT) };
}
