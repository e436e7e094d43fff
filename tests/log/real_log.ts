import { SeededRandom } from "../../lib/base/random.ts";
import type { Disk } from "../../lib/io/disk.ts";
import { SegmentLog } from "../../lib/log/segment_log.ts";
import { CLUSTER } from "./harness.ts";

/** A log with small segments on a real disk. */
export function openReal(disk: Disk, folder: string): SegmentLog {
  return SegmentLog.open({
    disk,
    folder,
    clusterId: CLUSTER,
    nodeId: 7,
    random: new SeededRandom(Date.now()),
    segmentBytes: 256 * 1024,
    cacheBytesMax: 64 * 1024,
    onFatal: (error) => {
      throw error;
    },
  });
}
