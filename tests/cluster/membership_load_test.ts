import { expect, test } from "bun:test";
import { countVoters, type NodeProcess } from "../../lib/demo/nodes.ts";
import { waitUntil } from "../../lib/demo/wait.ts";
import { onCluster, post, run, type Stage, START_TIMEOUT_MS } from "./harness.ts";
import { RETRIED_TABLE, RetryingWriters } from "./retrying_writers.ts";

const CLIENTS = 6;
/** Writes that are acknowledged after a change before the next one. */
const WRITES_BETWEEN = 50;
const GAP_MAX_MS = 2_000;
const REMOVED_STATUS = 3;
const TEST_TIMEOUT_MS = 180_000;

/** One run: changes of the cluster while clients write all the time. */
class Run {
  readonly #stage: Stage;
  readonly writers: RetryingWriters;
  readonly #gaps: string[] = [];
  #added = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.writers = new RetryingWriters(stage.nodes, CLIENTS);
  }

  /** Does one thing and notes the longest time that a write took meanwhile. */
  async step(what: string, act: () => Promise<void>): Promise<void> {
    await this.#flow();
    this.writers.takeLongest();
    await act();
    await this.#flow();
    const { longestMs, messages } = this.writers.takeLongest();
    this.#gaps.push(`${what}: ${Math.round(longestMs)} ms`);
    if (longestMs > GAP_MAX_MS) throw new Error(`${what}: ${longestMs} ms\n${messages.join("\n")}`);
  }

  report(): string {
    return this.#gaps.join("\n");
  }

  leader(): Promise<NodeProcess> {
    return waitUntil("a member leads", START_TIMEOUT_MS, async () => {
      const views = await Promise.all(this.writers.nodes.map(async (node) => {
        return { node, view: await node.cluster().catch(() => undefined) };
      }));
      const leading = views.filter(({ view }) => view?.role === "leader");
      return leading.toSorted((a, b) => b.view!.term - a.view!.term)[0]?.node;
    });
  }

  async follower(): Promise<NodeProcess> {
    const leader = await this.leader();
    return this.writers.nodes.find((node) => node !== leader)!;
  }

  async add(): Promise<void> {
    const join = this.writers.nodes.map((node) => node.address);
    const fresh = await this.#stage.addNode(`fresh${++this.#added}`, { join });
    const voters = this.writers.nodes.length;
    await fresh.start();
    await fresh.waitReady(START_TIMEOUT_MS);
    this.writers.nodes.push(fresh);
    await this.voters(voters + 1);
  }

  /** Removes a node, which stops by itself. */
  async remove(node: NodeProcess): Promise<void> {
    const { nodeId } = await node.cluster();
    const voters = this.writers.nodes.length;
    await post(await this.leader(), "/cluster/remove", { id: nodeId });
    const status = await node.exited;
    expect({ code: status.code, output: node.output }).toMatchObject({ code: REMOVED_STATUS });
    expect(node.output).toContain("was removed from cluster");
    this.writers.nodes.splice(this.writers.nodes.indexOf(node), 1);
    await this.voters(voters - 1);
  }

  async assign(node: NodeProcess, role: string): Promise<void> {
    const { nodeId } = await node.cluster();
    const any = this.writers.nodes.at(-1)!;
    expect(await post(any, "/cluster/role", { id: nodeId, role })).toEqual({ done: true, role });
  }

  async voters(count: number): Promise<void> {
    await waitUntil(`${count} nodes vote`, START_TIMEOUT_MS, async () => {
      return countVoters(await (await this.leader()).cluster()) === count;
    });
  }

  async #flow(): Promise<void> {
    const goal = this.writers.acknowledged + WRITES_BETWEEN;
    await waitUntil("the clients write on", START_TIMEOUT_MS, () => {
      return this.writers.acknowledged >= goal;
    });
  }
}

test("whatever changes in the membership, no write waits long, and none is lost", async () => {
  await onCluster({}, async (stage) => {
    await run(stage.nodes[0]!, RETRIED_TABLE);
    const it = new Run(stage);
    it.writers.start();
    try {
      await it.step("remove a follower", async () => await it.remove(await it.follower()));
      await it.step("add a node", () => it.add());
      await it.step("remove the leader", async () => await it.remove(await it.leader()));
      await it.step("add another node", () => it.add());
      await it.step("replace a follower", async () => {
        const old = await it.follower();
        await it.add();
        await it.remove(old);
      });
      await it.step("replace the leader", async () => {
        const old = await it.leader();
        await it.add();
        await it.remove(old);
      });
      for (const role of ["standby", "spare"]) {
        const follower = await it.follower();
        await it.step(`make a follower a ${role}`, () => it.assign(follower, role));
        await it.step(`make the ${role} a voter`, () => it.assign(follower, "voter"));
        const leader = await it.leader();
        await it.step(`make the leader a ${role}`, () => it.assign(leader, role));
        await it.step(`make that ${role} a voter`, () => it.assign(leader, "voter"));
      }
      for (let time = 1; time <= 4; time++) {
        await it.step(`transfer ${time}`, async () => {
          const [leader, heir] = [await it.leader(), await it.follower()];
          await post(leader, "/cluster/transfer", { id: (await heir.cluster()).nodeId });
        });
      }
    } finally {
      await it.writers.stop();
      console.log(`longest time of one write\n${it.report()}`);
    }
    for (const node of it.writers.nodes) await it.writers.check(node);
  });
}, TEST_TIMEOUT_MS);
