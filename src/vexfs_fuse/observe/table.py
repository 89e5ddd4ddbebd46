"""Every metric in one table: name, kind, labels, help, and where its values come from.

That is the recorder, or a path into the daemon's status, so that nothing is counted twice.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from vexfs_fuse.observe.recorder import Recorder, count
from vexfs_fuse.observe.tiers import NO_PAGES, TIER, of_hot, of_tiers

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

Status = Mapping[str, Any]
Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, Any]]


class Metric(NamedTuple):
    """One row of the table.

    `source` is a function of recorder and status, or a path into the status.  In a path `*` takes
    every key of a mapping as a label, `*NAME` every member of a list, labelled by its field NAME.
    """

    name: str
    kind: str
    labels: Labels
    help: str
    source: Callable[[Recorder, Status], Values] | str


def _of_spaces(column: str) -> Callable[[Recorder, Status], Values]:
    """Return what reads a column of the status of all vector spaces; a space without a value has no row."""
    return lambda _, status: [
        ((space["name"],), space[column])
        for space in status["volume"]["spaces"]
        if space[column] is not None
    ]


_PAGES: Final = "volume.pool.pages.*page_bytes"

METRICS: Final = (
    Metric(
        "vexfs_requests",
        COUNTER,
        ("operation", "errno"),
        "Requests of the kernel by operation and the errno they were answered with.",
        lambda recorder, _: recorder.requests().items(),
    ),
    Metric(
        "vexfs_request_seconds",
        HISTOGRAM,
        ("operation",),
        "Time from a request's arrival to its answer.",
        lambda recorder, _: (((name,), row) for name, row in recorder.latency.items()),
    ),
    Metric(
        "vexfs_request_bytes",
        COUNTER,
        ("direction",),
        "File contents that read requests got and write requests brought.",
        lambda recorder, _: [
            (("read",), recorder.bytes_read),
            (("write",), recorder.bytes_written),
        ],
    ),
    Metric(
        "vexfs_events",
        COUNTER,
        ("event",),
        "What was counted besides requests: kernel cache hints, waits.",
        lambda recorder, _: (((event,), n) for event, n in recorder.events.items()),
    ),
    Metric(
        "vexfs_loop_stall_seconds",
        HISTOGRAM,
        (),
        "How late the event loop came back to a timer, once a second.",
        lambda recorder, _: [((), recorder.stalls)],
    ),
    Metric(
        "vexfs_read_only",
        GAUGE,
        (),
        "1 when the volume takes no changes; the status and the log say why.",
        "volume.read_only",
    ),
    Metric("vexfs_inodes", GAUGE, (), "Inodes in the volume.", "volume.inodes"),
    Metric(
        "vexfs_journal_lsn",
        GAUGE,
        ("reached",),
        "Last record that was logged, is durable, and is in the committed state view.",
        lambda _, status: [
            ((reached,), status["volume"][f"{reached}_lsn"])
            for reached in ("logged", "durable", "state")
        ],
    ),
    Metric(
        "vexfs_journal_records",
        COUNTER,
        (),
        "Records appended since the mount.",
        "volume.journal.records",
    ),
    Metric(
        "vexfs_journal_bytes",
        COUNTER,
        (),
        "Bytes of records written since the mount.",
        "volume.journal.bytes",
    ),
    Metric(
        "vexfs_journal_syncs",
        COUNTER,
        (),
        "Group commits that synced the journal since the mount.",
        "volume.journal.batches",
    ),
    Metric(
        "vexfs_journal_lag_bytes",
        GAUGE,
        (),
        "Bytes of records that are not durable yet.",
        "volume.journal.buffered_bytes",
    ),
    Metric(
        "vexfs_journal_files",
        GAUGE,
        (),
        "Journal files kept.",
        "volume.journal.files",
    ),
    Metric(
        "vexfs_journal_file_bytes",
        GAUGE,
        (),
        "Bytes of all journal files kept.",
        "volume.journal.file_bytes",
    ),
    Metric(
        "vexfs_state_uncommitted_rows",
        GAUGE,
        (),
        "Rows of the state view that are in memory only; the journal has them all.",
        "volume.state.uncommitted_rows",
    ),
    Metric(
        "vexfs_cached_nodes",
        GAUGE,
        (),
        "Inodes in memory.",
        "volume.state.nodes",
    ),
    Metric(
        "vexfs_cached_names",
        GAUGE,
        (),
        "Directory entries in memory.",
        "volume.state.names",
    ),
    Metric(
        "vexfs_pool_hits",
        COUNTER,
        TIER,
        "Reads that a tier had the bytes for: hot, in a page; warm, in segments, of which a page was filled.",
        lambda _, status: of_tiers(status, lambda use: (use["hits"], use["fills"])),
    ),
    Metric(
        "vexfs_pool_misses",
        COUNTER,
        TIER,
        "Reads that a tier had no bytes for: hot, in no page; warm, not stored either, as they are a hole.",
        lambda _, status: of_tiers(
            status, lambda use: (use["misses"], use["misses"] - use["fills"])
        ),
    ),
    Metric(
        "vexfs_pool_bytes",
        GAUGE,
        TIER,
        "Bytes that a tier holds: pages of the hot one; contents in the warm one have no page size.",
        lambda _, status: [
            *of_hot(status, lambda use: use["pages_used"] * use["page_bytes"]),
            (("warm", NO_PAGES), status["volume"]["segments"]["live_bytes"]),
        ],
    ),
    Metric(
        "vexfs_pool_evictions",
        COUNTER,
        TIER,
        "What a tier let go of to make room: clean pages of the hot one; whole segments of the warm one.",
        lambda _, status: [
            *of_hot(status, lambda use: use["evictions"]),
            (("warm", NO_PAGES), status["volume"]["segments"]["dropped"]),
        ],
    ),
    Metric(
        "vexfs_pool_pages_used",
        GAUGE,
        ("page_bytes",),
        "Pages that hold contents.",
        f"{_PAGES}.pages_used",
    ),
    Metric(
        "vexfs_pool_pages_free",
        GAUGE,
        ("page_bytes",),
        "Free pages in slabs of this size.",
        f"{_PAGES}.pages_free",
    ),
    Metric(
        "vexfs_pool_dirty_bytes",
        GAUGE,
        (),
        "Contents written by programs and not flushed to a segment yet.",
        "volume.pool.dirty_bytes",
    ),
    Metric(
        "vexfs_pool_waits",
        COUNTER,
        (),
        "Writes that had to wait for room in a pool full of dirty pages.",
        "volume.pool.waits",
    ),
    Metric(
        "vexfs_cold_read_bytes",
        COUNTER,
        (),
        "Contents read from segments (the warm tier) because the pool did not have them.",
        "volume.pool.cold_bytes",
    ),
    Metric(
        "vexfs_flushed_bytes",
        COUNTER,
        (),
        "Contents flushed to segments.",
        "volume.pool.flushed_bytes",
    ),
    Metric(
        "vexfs_inline_bytes",
        COUNTER,
        (),
        "Contents flushed inside journal records.",
        "volume.pool.inline_bytes",
    ),
    Metric(
        "vexfs_segments",
        GAUGE,
        (),
        "Segment files.",
        "volume.segments.segments",
    ),
    Metric(
        "vexfs_segment_live_bytes",
        GAUGE,
        (),
        "Bytes in segments that files use.",
        "volume.segments.live_bytes",
    ),
    Metric(
        "vexfs_segment_dead_bytes",
        GAUGE,
        (),
        "Bytes in full segments that no file uses, headers and checksums among them.",
        "volume.segments.dead_bytes",
    ),
    Metric(
        "vexfs_segment_queued_bytes",
        GAUGE,
        (),
        "Bytes on their way to segments.",
        "volume.segments.queued_bytes",
    ),
    Metric(
        "vexfs_damaged_rows",
        COUNTER,
        (),
        "Questions that a damaged row of the state view left without an answer.",
        "volume.damage.rows",
    ),
    Metric(
        "vexfs_checksum_mismatches",
        COUNTER,
        (),
        "Reads of stored contents that did not match their checksum, answered EIO.",
        "volume.segments.mismatches",
    ),
    Metric(
        "vexfs_searches",
        COUNTER,
        ("plan", "space"),
        "Searches by how they were answered: exact, ann, filtered (a graph and a mask), names.",
        lambda recorder, _: ((key, count(row)) for key, row in recorder.searches.items()),
    ),
    Metric(
        "vexfs_search_seconds",
        HISTOGRAM,
        ("plan", "space"),
        "Time from a question to its answer, without the reading of it.",
        lambda recorder, _: recorder.searches.items(),
    ),
    Metric(
        "vexfs_search_recall",
        GAUGE,
        ("space",),
        "Running recall: the share of the true neighbours that sampled approximate searches found.",
        _of_spaces("recall"),
    ),
    Metric(
        "vexfs_search_ef",
        GAUGE,
        ("space",),
        "Effort that approximate searches spend, adapted to hold the target recall.",
        _of_spaces("ef"),
    ),
    Metric(
        "vexfs_vectors",
        GAUGE,
        ("space",),
        "Vectors that a search can find.",
        _of_spaces("vectors"),
    ),
    Metric(
        "vexfs_vectors_tail",
        GAUGE,
        ("space",),
        "Vectors among them that no graph holds yet: they are compared one by one.",
        _of_spaces("tail"),
    ),
    Metric(
        "vexfs_vectors_waiting",
        GAUGE,
        ("space",),
        "Vectors in the tail that the next graph will hold.",
        _of_spaces("waiting"),
    ),
    Metric(
        "vexfs_graphs",
        GAUGE,
        ("space",),
        "Graphs that a search asks.",
        _of_spaces("shards"),
    ),
    Metric(
        "vexfs_graphs_saved",
        GAUGE,
        ("space",),
        "Graphs among them that are on disk, so that the next mount need not build them.",
        _of_spaces("saved"),
    ),
    Metric(
        "vexfs_vectors_dead",
        GAUGE,
        ("space",),
        "Vectors in graphs that were removed or replaced, until the graph is built anew.",
        _of_spaces("dead"),
    ),
    Metric(
        "vexfs_vector_bytes",
        GAUGE,
        ("space",),
        "Memory that vectors and graphs take.",
        _of_spaces("bytes"),
    ),
    Metric(
        "vexfs_indexes_built",
        COUNTER,
        ("space",),
        "Graphs built since the mount.",
        _of_spaces("built"),
    ),
    Metric(
        "vexfs_index_build_seconds",
        COUNTER,
        ("space",),
        "Time spent on building graphs, in a thread beside requests.",
        _of_spaces("build_s"),
    ),
    Metric(
        "vexfs_index_pending",
        GAUGE,
        (),
        "Files that are to be indexed.",
        "indexing.pending",
    ),
    Metric(
        "vexfs_index_lag_seconds",
        GAUGE,
        (),
        "Time since nothing was to be indexed.",
        "indexing.lag_s",
    ),
    Metric(
        "vexfs_index_files",
        GAUGE,
        (),
        "Files in the full text index.",
        "indexing.indexed",
    ),
    Metric(
        "vexfs_index_failed_files",
        GAUGE,
        (),
        "Files among them whose text cannot be had.",
        "indexing.failed",
    ),
    Metric(
        "vexfs_index_cut_files",
        GAUGE,
        (),
        "Files among them that have more text than is indexed of one file.",
        "indexing.cut",
    ),
    Metric(
        "vexfs_index_position",
        GAUGE,
        (),
        "The last journal record that indexing has followed.",
        "indexing.position",
    ),
    Metric(
        "vexfs_index_looks",
        GAUGE,
        (),
        "Files that the running indexer has looked at.",
        "indexing.looked_at",
    ),
    Metric(
        "vexfs_index_embeddings",
        GAUGE,
        (),
        "Passages that the running indexer has embedded.",
        "indexing.embedded",
    ),
    Metric(
        "vexfs_index_restarts",
        COUNTER,
        (),
        "Times that the indexer has ended and was started again.",
        "indexing.restarts",
    ),
    Metric(
        "vexfs_index_rss_bytes",
        GAUGE,
        (),
        "Memory of the indexer's process.",
        "indexing.rss_bytes",
    ),
    Metric(
        "vexfs_store_free_bytes",
        GAUGE,
        (),
        "Free space of the store's disk.",
        "volume.disk.free",
    ),
    Metric(
        "vexfs_store_total_bytes",
        GAUGE,
        (),
        "Size of the store's disk.",
        "volume.disk.total",
    ),
)
"""The table.  What a scrape cannot tell apart, `vexfs status` shows under the same path."""
