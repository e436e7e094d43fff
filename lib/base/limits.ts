/**
 * Every bound of the system, in one place. Over a bound there is a named error, never growth.
 * Sizes are in bytes, times in milliseconds, the rest are counts.
 */
import { assert } from "./assert.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Largest payload of one log entry. A larger transaction becomes several entries. */
export const ENTRY_PAYLOAD_BYTES_MAX = 4 * MIB;
/** Entries in one AppendEntries message. */
export const APPEND_ENTRIES_MAX = 256;
/** Payload bytes in one AppendEntries message; a single larger entry still travels alone. */
export const APPEND_BYTES_MAX = 1 * MIB;
/** AppendEntries messages that may be on their way to one peer. */
export const INFLIGHT_MESSAGES_MAX = 64;
/** Payload bytes that may be on their way to one peer. */
export const INFLIGHT_BYTES_MAX = 8 * MIB;
/** Entries a leader may hold that are not committed; past it, writers queue. */
export const UNCOMMITTED_ENTRIES_MAX = 4096;
/** Bytes a leader may hold that are not committed; past it, writers queue. */
export const UNCOMMITTED_BYTES_MAX = 64 * MIB;
/** Pending linearizable reads in the consensus core. */
export const PENDING_READS_MAX = 65_536;
/** Voters and learners together. */
export const MEMBERS_MAX = 32;

/** Size of one segment file of the log. */
export const SEGMENT_BYTES = 16 * MIB;
/** Bytes in one write to the log; what arrives meanwhile forms the next batch. */
export const LOG_BATCH_BYTES_MAX = 8 * MIB;
/** Bytes of recent entries kept in memory, to feed followers and apply without reading the disk. */
export const LOG_CACHE_BYTES_MAX = 32 * MIB;

/** Body of one frame between nodes. */
export const FRAME_BYTES_MAX = 32 * MIB;
/** Bytes queued for one peer; past it, messages are dropped, which Raft allows. */
export const PEER_QUEUE_BYTES_MAX = 64 * MIB;
/** Inbound cluster connections. */
export const CLUSTER_CONNECTIONS_MAX = 256;
/** Time a new cluster connection has to present itself. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;

/** Body of one HTTP request. */
export const HTTP_BODY_BYTES_MAX = 16 * MIB;
/** One result set, encoded. */
export const RESPONSE_BYTES_MAX = 64 * MIB;
/** Nesting of a batch condition. */
export const CONDITION_DEPTH_MAX = 32;
/** Requests in one pipeline. */
export const PIPELINE_REQUESTS_MAX = 4_096;
/** Statements in one batch. */
export const BATCH_STEPS_MAX = 65_536;
/** Length of one SQL text in UTF-16 code units. */
export const SQL_LENGTH_MAX = 4 * MIB;
/** Stored SQL texts of one stream. */
export const STORED_SQL_MAX = 256;
/** Streams (sessions) open at once on one node. */
export const SESSIONS_MAX = 4_096;
/** Pipelines of one stream that may wait for their turn. */
export const SESSION_QUEUE_MAX = 64;
/** Requests waiting for the write turn of one database. */
export const WRITE_QUEUE_MAX = 16_384;
/** One-shot requests that share one grant of the write turn. */
export const WRITE_BATCH_MAX = 256;
/** Time a request waits for the write turn before it is told that the database is busy. */
export const WRITE_WAIT_MS = 10_000;
/** Time a write transaction may sit idle while others wait. */
export const TRANSACTION_IDLE_CONTENDED_MS = 5_000;
/** Time a stream may sit idle. */
export const SESSION_IDLE_MS = 30_000;
/** Prepared statements that one connection keeps. */
export const STATEMENT_CACHE_MAX = 128;
/** Idle connections that one worker keeps. */
export const IDLE_CONNECTIONS_MAX = 8;

/** Time a request waits for a leader before it is told that there is none. */
export const LEADER_WAIT_MS = 5_000;
/** Frames in a database's WAL above which a checkpoint is due. */
export const CHECKPOINT_FRAMES = 4_096;

assert(ENTRY_PAYLOAD_BYTES_MAX < SEGMENT_BYTES, "an entry must fit a segment");
assert(ENTRY_PAYLOAD_BYTES_MAX + APPEND_BYTES_MAX < FRAME_BYTES_MAX, "an append must fit a frame");
assert(LOG_BATCH_BYTES_MAX >= ENTRY_PAYLOAD_BYTES_MAX, "an entry must fit a batch");
assert(INFLIGHT_BYTES_MAX < PEER_QUEUE_BYTES_MAX, "what is in flight must fit the peer's queue");
