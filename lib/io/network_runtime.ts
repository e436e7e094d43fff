import type { Network } from "./network.ts";
import { bunNetwork } from "./network_bun.ts";
import { tcpNetwork } from "./network_node.ts";

/** The TCP that suits the runtime at hand best. */
export function runtimeNetwork(): Network {
  return "Bun" in globalThis ? bunNetwork : tcpNetwork;
}
