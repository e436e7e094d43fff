/**
 * Run by Deno from `deno_test.ts`: a leader and a follower in one process. It writes one line of
 * JSON once they listen, stops when its standard input ends, and says what came of that.
 */
import process from "node:process";
import { messageOf } from "../../lib/base/errors.ts";
import { FakeSessions, startServer } from "./fixture.ts";

const leaderSessions = new FakeSessions();
const followerSessions = new FakeSessions();
followerSessions.refuse("NOT_LEADER");
const leader = await startServer({ sessions: leaderSessions });
const follower = await startServer({
  sessions: followerSessions,
  nodeId: 2,
  leadership: { leaderUrl: () => leader.url, waitForLeader: () => Promise.resolve(true) },
});
const slowSessions = new FakeSessions();
slowSessions.answer = () => new Promise(() => {});
const slow = await startServer({ sessions: slowSessions });

let taken = "nothing";
try {
  await startServer({ port: leader.server.port });
} catch (error) {
  taken = messageOf(error);
}
const urls = { leader: leader.url, follower: follower.url, slow: slow.url };
console.log(JSON.stringify({ ...urls, port: leader.server.port, taken }));

process.stdin.on("end", async () => {
  await follower.server.close(5_000);
  await leader.server.close(5_000);
  // It never answers, so that it must be cut.
  await slow.server.close(20);
  const pipelines = leaderSessions.pipelines.length;
  const failures = [...leader.failures, ...follower.failures, ...slow.failures].length;
  console.log(JSON.stringify({ pipelines, failures }));
  process.exit(0);
});
process.stdin.resume();
