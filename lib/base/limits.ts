/**
 * Every bound of the system, in one place. Over a bound there is a named error, never growth.
 * Sizes are in bytes, times in milliseconds, the rest are counts.
 */
import { assert } from "./assert.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** Largest payload of one log entry. A larger transaction becomes several entries. */
export const ENTRY_PAYLOAD_BYTES_MAX = 4 * MIB;
/**
 * Bytes of pages that one transaction may change, unless a node is told otherwise. On each node its
 * pages are in the log and in the WAL at once, and its followers apply it in one go.
 */
export const TRANSACTION_BYTES_MAX = 4096 * MIB;
/** Pause between two looks at the space that is left for a transaction that grows. */
export const TRANSACTION_SPACE_POLL_MS = 100;
/** Pause before a follower whose disk is full tries again to apply. */
export const APPLY_SPACE_RETRY_MS = 1_000;
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
/** Voters and standbys together. */
export const MEMBERS_MAX = 32;

/** Size of one segment file of the log. */
export const SEGMENT_BYTES = 16 * MIB;
/** Bytes in one write to the log; what arrives meanwhile forms the next batch. */
export const LOG_BATCH_BYTES_MAX = 8 * MIB;
/** End of a segment that is kept for votes when there is no space for the next segment. */
export const LOG_RESERVE_BYTES = 256 * KIB;
/**
 * Space that a new segment leaves to others: on a full disk what is committed must still be
 * applied, and checkpointed, which gives back space.
 */
export const LOG_SPACE_LEFT_BYTES = 32 * MIB;
/** Bounds of the wait before a segment is tried again on a full disk; it doubles in between. */
export const LOG_SPACE_RETRY_MIN_MS = 250;
export const LOG_SPACE_RETRY_MAX_MS = 4_000;
/**
 * What a compaction leaves behind the last checkpoint, so that a node that was away for a while is
 * fed from the log and needs no snapshot: entries, and bytes of their payloads. What is more goes.
 */
export const LOG_TRAILING_ENTRIES = 65_536;
export const LOG_TRAILING_BYTES = 64 * MIB;
/** Time for which a log is kept for a node that takes a snapshot, since it was last heard of. */
export const SNAPSHOT_PIN_MS = 60_000;
/** Pause after an attempt to take a snapshot that failed. */
export const SNAPSHOT_RETRY_MS = 500;
/** Database pages that are compared at once when a snapshot is taken, in bytes. */
export const PAGE_RANGE_BYTES = 256 * KIB;
/** Comparisons that one taker of a snapshot may have under way. */
export const PAGE_REQUESTS_MAX = 4;
/** Body of one request for pages: the hashes of the smallest pages of a range. */
export const PAGE_REQUEST_BYTES_MAX = 16 * KIB;
/** Body of one answer to it: the pages of a range, or a configuration. */
export const PAGE_RESPONSE_BYTES_MAX = 512 * KIB;
/** Pages written to the file of a snapshot before they are made durable. */
export const SNAPSHOT_SYNC_BYTES = 8 * MIB;
/** Nodes that one node gives snapshots to at once. */
export const SNAPSHOTS_GIVEN_MAX = 4;
/** Time without progress after which a snapshot is given up by either end. */
export const SNAPSHOT_STALL_MS = 20_000;
/** Pause before a page that differs from its hash, as a checkpoint may write it, is read again. */
export const PAGE_RECHECK_MS = 20;
/** Time that a damaged page has to be repaired before the snapshot that needs it ends. */
export const SNAPSHOT_REPAIR_MS_MAX = 5_000;
/** Bytes of recent entries kept in memory, to feed followers and apply without reading the disk. */
export const LOG_CACHE_BYTES_MAX = 32 * MIB;

/** Body of one frame between nodes. */
export const FRAME_BYTES_MAX = 32 * MIB;
/** Bytes queued for one peer; past it, messages are dropped, which Raft allows. */
export const PEER_QUEUE_BYTES_MAX = 64 * MIB;
/** Bytes queued for a node over the connection that it opened, to answer one that is no peer. */
export const CALLER_QUEUE_BYTES_MAX = 8 * MIB;
/** Inbound cluster connections. */
export const CLUSTER_CONNECTIONS_MAX = 256;
/** Time a new cluster connection has to present itself. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** Body of a frame of the handshake. */
export const HANDSHAKE_BYTES_MAX = 1 * KIB;
/** Body of one request or response that manages the cluster, as JSON. */
export const CONTROL_BYTES_MAX = 1 * MIB;
/** Bytes handed to a connection in one write; what is left waits for it to drain. */
export const PEER_WRITE_BYTES = 1 * MIB;
/** An idle cluster connection says so once in this time. */
export const KEEPALIVE_MS = 1_000;
/** Keepalive periods without a byte after which a cluster connection counts as dead. */
export const SILENT_PERIODS_MAX = 5;
/** Bounds of the wait before a peer is dialled again; it doubles from one to the other. */
export const RECONNECT_MIN_MS = 50;
export const RECONNECT_MAX_MS = 1_000;

/** Body of one HTTP request. */
export const HTTP_BODY_BYTES_MAX = 16 * MIB;
/** HTTP requests with a body that one node has under way. */
export const HTTP_REQUESTS_MAX = 16_384;
/** HTTP connections of one node. */
export const HTTP_CONNECTIONS_MAX = 32_768;
/** Time after which an HTTP connection is closed on which the client neither sends nor takes. */
export const HTTP_IDLE_MS = 255_000;
/** One message of a client over a WebSocket. */
export const WEBSOCKET_MESSAGE_BYTES_MAX = HTTP_BODY_BYTES_MAX;
/** Time without a word of the client after which a WebSocket is pinged. */
export const WEBSOCKET_PING_MS = 30_000;
/** Time after which a WebSocket is closed whose client neither sends nor takes nor answers. */
export const WEBSOCKET_SILENT_MS = 90_000;
/** Requests of one WebSocket that are under way; what more comes is not read meanwhile. */
export const WEBSOCKET_REQUESTS_MAX = 1_024;
/** Streams that one WebSocket has open. */
export const WEBSOCKET_STREAMS_MAX = 1_024;
/** Time after which an idle stream of a WebSocket is kept from expiring: its client lives. */
export const WEBSOCKET_STREAM_IDLE_MS = 10_000;
/** Characters of all SQL texts that one WebSocket has stored. */
export const WEBSOCKET_STORED_CHARS_MAX = 16 * MIB;
/** Entries of a cursor in one answer, and their bytes; one larger row still goes alone. */
export const CURSOR_ENTRIES_MAX = 4_096;
export const CURSOR_BYTES_MAX = 1 * MIB;
/** Messages that wait to be handled where the runtime cannot hold a WebSocket back, in bytes. */
export const WEBSOCKET_AHEAD_BYTES_MAX = 2 * WEBSOCKET_MESSAGE_BYTES_MAX;
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
/** SQL worker threads of one node: one for writes, the others for reads and open streams. */
export const SQL_WORKERS_MAX = 8;
/** Operations of SQLite's virtual machine that a statement on the main thread may take. */
export const BRIEF_OPERATIONS_MAX = 2_000;
/** Length of a text that may run on the main thread, and of all its arguments. */
export const BRIEF_SQL_CHARS_MAX = 2_000;
export const BRIEF_ARGUMENT_CHARS_MAX = 16_384;
/** Texts of which it is known whether they are brief. */
export const BRIEF_TEXTS_MAX = 1_024;
/** Time that statements may take on the main thread before sockets get their turn. */
export const BRIEF_TURN_MS = 2;
/** After several statements that took so long on the main thread, none runs there for a while. */
export const BRIEF_SLOW_MS = 5;
export const BRIEF_PAUSE_MS = 1_000;
/** Closed streams that are remembered, to say why they are gone. */
export const TOMBSTONES_MAX = 4_096;
/** Idle connections that one worker keeps. */
export const IDLE_CONNECTIONS_MAX = 8;

/** Time a request waits for a leader before it is told that there is none. */
export const LEADER_WAIT_MS = 5_000;
/** HTTP connections from one node to another, for requests it passes on. */
export const PROXY_CONNECTIONS_MAX = 1_024;
/** Requests to pass on that wait for a connection. */
export const PROXY_QUEUE_MAX = 4_096;
/** Time after which an unused connection to another node is closed. */
export const PROXY_IDLE_MS = 30_000;
/** Time the leader has to answer once it is known that another node leads. */
export const PROXY_STALE_LEADER_MS = 3_000;
/** Databases of one cluster. */
export const DATABASES_MAX = 4_096;
/** Databases that are open on a node, beyond which those used least recently are closed. */
export const DATABASES_OPEN_MAX = 64;
/** Databases that may be open while others are being closed. */
export const DATABASES_OPEN_LIMIT = 192;
/** Frames in a database's WAL above which a checkpoint is due. */
export const CHECKPOINT_FRAMES = 4_096;
/** Frames that a checkpoint may leave to copy while writers wait; more are copied before. */
export const CHECKPOINT_PAUSED_FRAMES = 256;
/** Times that a checkpoint copies while writers go on, if they keep pace with it. */
export const CHECKPOINT_ROUNDS_MAX = 4;
/** How long a checkpoint of the leader waits for what was written to be committed. */
export const CHECKPOINT_COMMIT_MS = 1_000;
/** Frames in the WAL above which writers wait for readers of the WAL, so that it begins anew. */
export const WAL_FRAMES_HIGH = 16_384;
/** Time that they wait. */
export const WAL_WAIT_MS = 100;
/** Time after which a reader that keeps the WAL from being copied is told of, and ended. */
export const WAL_READER_WARN_MS = 10_000;
export const WAL_READER_END_MS = 60_000;
/** Frames in the WAL above which such a reader is ended once it would be told of. */
export const WAL_FRAMES_MAX = 131_072;
/** The same for a backup, which a large database needs time for; until then it may go on. */
export const BACKUP_WAL_FRAMES_MAX = 8 * WAL_FRAMES_MAX;
/** Bytes of the log since the last checkpoint above which one is due, however small the WAL is. */
export const CHECKPOINT_LOG_BYTES = 32 * MIB;

/** Backups that a node sends at once; each holds a snapshot of the database open. */
export const BACKUPS_MAX = 4;
/** Pages of a backup that are read, and sent, at once. */
export const BACKUP_PART_BYTES = 256 * KIB;
/** Time for which whoever takes a backup may take nothing of it, before it is ended. */
export const BACKUP_STALL_MS = 30_000;
/** Pages of a file that is to replace the database, in one request. */
export const RESTORE_PART_BYTES = 2 * MIB;
/** Time a restore may stand still before it is given up, with what was sent of the file. */
export const RESTORE_STALL_MS = 60_000;
/** Time after which the question for the end of a restore is answered, also when it goes on. */
export const RESTORE_WAIT_MS = 20_000;

/**
 * Entries in one object of an archive: the size, unpacked, up to which more are added; the size
 * that it may have with a single large one, and their count.
 */
export const ARCHIVE_OBJECT_BYTES = 2 * MIB;
export const ARCHIVE_OBJECT_BYTES_MAX = 8 * MIB;
export const ARCHIVE_OBJECT_ENTRIES_MAX = 4_096;
/** Pages in one object of an archive, unpacked. */
export const ARCHIVE_PART_BYTES = 2 * MIB;
/** What an object may have beside its body: head, hash, and what packing adds to noise. */
export const ARCHIVE_OVERHEAD_BYTES = 4 * MIB;
/** Time that an entry waits for others before they are put into an archive together. */
export const ARCHIVE_DELAY_MS = 1_000;
/** How often a node that does not lead looks how far the archive is. */
export const ARCHIVE_LOOK_MS = 30_000;
/** A base is made when the log grew by so much, and by the size of the database, since the last. */
export const ARCHIVE_BASE_LOG_BYTES = 64 * MIB;
/** A base is made after this time, if anything was written since the last one. */
export const ARCHIVE_BASE_MS = 24 * 60 * 60 * 1000;
/** Pages of a base that are read at once. */
export const ARCHIVE_READ_BYTES = 256 * KIB;
/** Bytes of log that are kept for an archive that cannot be reached; past it, there is a gap. */
export const ARCHIVE_HOLD_BYTES_MAX = 1024 * MIB;
/** Time that one call of an archive may take. */
export const ARCHIVE_CALL_TIMEOUT_MS = 60_000;
/** Bounds of the pause after an archive could not be reached; it doubles in between. */
export const ARCHIVE_RETRY_MIN_MS = 1_000;
export const ARCHIVE_RETRY_MAX_MS = 30_000;
/** An archive that cannot be reached is told of in the log once in this time. */
export const ARCHIVE_TELL_MS = 60_000;
/** Time for which a node that stops goes on to archive what is committed. */
export const ARCHIVE_STOP_MS = 5_000;
/** How often an archive is looked through for what is older than what is to be kept. */
export const ARCHIVE_PRUNE_MS = 60 * 60 * 1000;
/** Age of pages in an archive that no base names, after which nobody is making a base of them. */
export const ARCHIVE_ORPHAN_MS = 7 * 24 * 60 * 60 * 1000;
/** Attempts of one call of a bucket, and the pause after the first; it doubles. */
export const BUCKET_ATTEMPTS_MAX = 3;
export const BUCKET_RETRY_MS = 200;
/** Objects of an archive that are fetched ahead when it is restored. */
export const ARCHIVE_PREFETCH = 4;

/** A leader tells the digest of its database once in so many batches, or after this time. */
export const CLAIM_BATCHES = 64;
export const CLAIM_MS = 1_000;
/** Entries with a digest of the database that a node remembers; the library does as many. */
export const DIGESTS_KEPT = 1_024;
/** Bytes in a second that a scrub reads, of the database file and of the log. */
export const SCRUB_BYTES_PER_S = 4 * MIB;
/** The same while the hashes of pages are being learnt: nothing is verified until they are. */
export const LEARN_BYTES_PER_S = 128 * MIB;
/** Bytes that a scrub reads at once. */
export const SCRUB_SLICE_BYTES = 1 * MIB;
/** Pause between two rounds of the scrub. */
export const SCRUB_PAUSE_MS = 60_000;
/** Damaged pages that are looked after at once; the others come later. */
export const DAMAGED_PAGES_LISTED = 4_096;
/** Damaged pages that are asked for at once, and the bytes of an answer. */
export const REPAIR_PAGES_MAX = 128;
export const REPAIR_BYTES_MAX = 512 * KIB;
/** Time another node has to send pages. */
export const REPAIR_TIMEOUT_MS = 5_000;
/** How often damaged pages are looked for; doubles up to the second after an attempt in vain. */
export const REPAIR_POLL_MS = 100;
export const REPAIR_RETRY_MS_MAX = 5_000;
/** A node whose database differs again within this time after it was healed stops. */
export const HEALED_AGAIN_MS_MIN = 60_000;

/** Time a call of a client may take, failover included, unless it says otherwise. */
export const CLIENT_TIMEOUT_MS = 30_000;
/** The longest time a call of a client may be given. */
export const CLIENT_TIMEOUT_MS_MAX = 24 * 60 * 60 * 1000;
/** Requests that one client has under way; those of open transactions are not counted. */
export const CLIENT_REQUESTS_MAX = 128;
/** Requests of one client that wait for their turn. */
export const CLIENT_QUEUE_MAX = 16_384;
/** Time a node has to tell a client of its cluster. */
export const CLIENT_DISCOVERY_MS = 1_000;
/** Time without an answer after which a client asks whether the leader is another one by now. */
export const CLIENT_PROBE_MS = 2_000;
/** Time a node has to answer, or to send more, when it is asked for a backup or to restore. */
export const NODE_CALL_TIMEOUT_MS = 60_000;
/** Attempts to take a backup that cannot begin, or breaks off. */
export const BACKUP_ATTEMPTS_MAX = 3;
/** Longest pause between two attempts of a client. */
export const CLIENT_BACKOFF_MS_MAX = 500;

assert(ENTRY_PAYLOAD_BYTES_MAX < SEGMENT_BYTES, "an entry must fit a segment");
assert(ENTRY_PAYLOAD_BYTES_MAX + APPEND_BYTES_MAX < FRAME_BYTES_MAX, "an append must fit a frame");
assert(LOG_BATCH_BYTES_MAX >= ENTRY_PAYLOAD_BYTES_MAX, "an entry must fit a batch");
assert(PAGE_RANGE_BYTES < PAGE_RESPONSE_BYTES_MAX, "a range must fit an answer");
assert(SNAPSHOT_REPAIR_MS_MAX < SNAPSHOT_STALL_MS, "a giver that waits is not a stalled one");
assert(SNAPSHOT_STALL_MS < SNAPSHOT_PIN_MS, "the log is kept for as long as a snapshot is given");
assert(RESTORE_WAIT_MS < NODE_CALL_TIMEOUT_MS, "a restore that goes on must say so in time");
assert(RESTORE_PART_BYTES < HTTP_BODY_BYTES_MAX, "a part of a file must fit a request");
assert(2 * WEBSOCKET_STREAM_IDLE_MS < SESSION_IDLE_MS, "a stream must be kept in time");
assert(
  TRANSACTION_IDLE_CONTENDED_MS < WEBSOCKET_STREAM_IDLE_MS,
  "a stream that holds others up must not be kept",
);
assert(ENTRY_PAYLOAD_BYTES_MAX + KIB <= ARCHIVE_OBJECT_BYTES_MAX, "an entry must fit an object");
assert(INFLIGHT_BYTES_MAX < PEER_QUEUE_BYTES_MAX, "what is in flight must fit the peer's queue");
