"""A daemon's status as a real one gives it, for tests that need no daemon."""

from typing import Any

STATUS: dict[str, Any] = {
    "daemon": {"pid": 4711, "version": "0.1.0", "store": "/srv/notes", "batches": 3},
    "mount": {
        "mountpoint": "/mnt/vex",
        "mounted_by": "mount(2)",
        "reader": "hybrid",
        "init_flags": ["PARALLEL_DIROPS", "HANDLE_KILLPRIV_V2"],
    },
    "requests": {
        "getattr": {"count": 1_200, "failed": 0, "median_us": 8, "p99_us": 65},
        "lookup": {"count": 28, "failed": 3, "median_us": 16, "p99_us": 131},
    },
    "searches": {"exact default": {"count": 3, "median_us": 131, "p99_us": 524}},
    "indexing": {
        "state": "indexing",
        "pid": 4712,
        "reason": None,
        "model": "all-MiniLM-L6-v2",
        "model_missing": None,
        "pending": 12,
        "indexed": 300,
        "failed": 2,
        "lag_s": 1.5,
        "position": 11,
        "looked_at": 310,
        "embedded": 900,
        "rss_bytes": 150_000_000,
        "restarts": 1,
    },
    "volume": {
        "read_only": False,
        "failure": None,
        "logged_lsn": 20,
        "durable_lsn": 12,
        "state_lsn": 10,
        "damage": {"rows": 0, "contents": 0, "last": None},
        "inodes": 19,
        "journal": {
            "records": 20,
            "bytes": 15_100,
            "batches": 1,
            "files": 1,
            "file_bytes": 26_400,
            "buffered_bytes": 1_707,
        },
        "segments": {
            "segments": 2,
            "dropped": 1,
            "live_bytes": 100_000,
            "dead_bytes": 20_000,
            "queued_bytes": 10_000,
            "mismatches": 0,
        },
        "pool": {
            "dirty_bytes": 237_320,
            "dirty_files": 14,
            "flushed_bytes": 100_000,
            "inline_bytes": 900,
            "cold_bytes": 64_000,
            "waits": 0,
            "pages": [
                {
                    "page_bytes": page_bytes,
                    "slabs": 1,
                    "pages_used": 13,
                    "pages_free": 3,
                    "hits": 100,
                    "misses": 7,
                    "fills": 5,
                    "evictions": 2,
                }
                for page_bytes in (4_096, 65_536, 1_048_576)
            ],
        },
        "state": {"uncommitted_rows": 37, "nodes": 19, "names": 18},
        "spaces": [
            {
                "name": "default",
                "dimensions": 384,
                "metric": "cosine",
                "model": None,
                "vectors": 50_000,
                "tail": 1_232,
                "waiting": 0,
                "shards": 2,
                "saved": 1,
                "dead": 7,
                "bytes": 99_000_000,
                "ef": 140,
                "recall": 0.9812,
                "judged": 64,
                "built": 3,
                "build_s": 12.5,
                "loading": None,
                "building": None,
            }
        ],
        "disk": {"free": 83_215_446_016, "total": 270_553_174_016},
    },
}
