"""Records per second that the journal takes with group sync, and its share of a create.

The records are those of file creations.  `in turn` writes and syncs each batch before it goes on,
as a lone fsync does; `beside` appends while one thread writes and syncs, as the daemon does.

usage: python -m benchmarks.journal_append [--quick] [--json FILE]
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks import report, systems
from benchmarks.commandline import end_on_sigterm, parser
from benchmarks.harness import run_load
from benchmarks.machine import BusinessMeter, machine
from benchmarks.placement import placement
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.journal_batch import JournalBatch
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.changes import Created, body

RECORDS_PER_S: Final = 300_000
SHARE: Final = 0.05
BATCH_RECORDS: Final = 2_000


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = parser(__doc__, quick="fewer records").parse_args()
    end_on_sigterm()
    meter = BusinessMeter()
    records = 100_000 if arguments.quick else 500_000
    rounds = 3 if arguments.quick else 7
    with tempfile.TemporaryDirectory(prefix="vexfs-journal-", dir=arguments.work) as work:
        described = machine(Path(work))
        found = {
            "append": _rates(_append_only, records, rounds, Path(work)),
            "in turn": _rates(_in_turn, records, rounds, Path(work)),
            "beside": _rates(_beside, records, rounds, Path(work)),
        }
        share = _share(arguments, found["append"], Path(work))
    results = report.document(
        "journal_append", described, meter.end(), {"records": records, "batch": BATCH_RECORDS}
    )
    report.tell(
        results,
        {"records_per_second": found, "share_of_create": share},
        readable(found, share),
        arguments.json,
    )


def _rates(
    way: Callable[[Journal, int], None], records: int, rounds: int, work: Path
) -> list[float]:
    """Return records per second, one for each round, each into a journal of its own."""
    rates = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=work) as store:
            journal = Journal.open(LocalDisk(Path(store)))
            start = time.perf_counter()
            way(journal, records)
            rates.append(records / (time.perf_counter() - start))
            journal.close()
    return rates


def _append(journal: Journal, first: int, count: int) -> None:
    actor = (1000, 1000, 4242)
    for number in range(first, first + count):
        journal.reserve_space()
        change = Created(1, b"file-%d" % number, 0o100644, 1000, 1000, 0, None, None)
        journal.append("Created", Inode(number), actor, body(change), number)


def _append_only(journal: Journal, records: int) -> None:
    _append(journal, 1, records)


def _in_turn(journal: Journal, records: int) -> None:
    for first in range(1, records + 1, BATCH_RECORDS):
        _append(journal, first, BATCH_RECORDS)
        batch = journal.seal()
        assert batch is not None
        batch.write()
        journal.settle(batch)


def _beside(journal: Journal, records: int) -> None:
    """Seal whatever has come whenever the thread is free."""
    under_way: tuple[JournalBatch, Future[None]] | None = None
    with ThreadPoolExecutor(1) as thread:
        for first in range(1, records + 1, BATCH_RECORDS):
            _append(journal, first, BATCH_RECORDS)
            if under_way is not None and under_way[1].done():
                _settle(journal, under_way)
                under_way = None
            if under_way is None and (batch := journal.seal()):
                under_way = batch, thread.submit(batch.write)
        if under_way is not None:
            _settle(journal, under_way)
        if batch := journal.seal():
            _settle(journal, (batch, thread.submit(batch.write)))


def _settle(journal: Journal, under_way: tuple[JournalBatch, "Future[None]"]) -> None:
    batch, written = under_way
    written.result()
    journal.settle(batch)


def _share(arguments: Any, rates: list[float], work: Path) -> float:
    """Return the part of one mounted create + close that appending its record takes."""
    place = placement("pinned", clients=1)
    system = systems.named("vexfs", arguments)
    with system.mounted(work, place.daemon_prefix()) as mounted:
        samples = [
            run_load("create_close", mounted, 1, 3_000, place.client_prefix()) for _ in range(3)
        ]
    creates_per_s: float = statistics.median(sample["per_second"] for sample in samples)
    return creates_per_s / statistics.median(rates)


def readable(found: dict[str, list[float]], share: float) -> str:
    """Return the figures with their verdicts."""
    rows = []
    for way, rates in found.items():
        median = statistics.median(rates)
        verdict = "" if way == "append" else "pass" if median >= RECORDS_PER_S else "MISS"
        spread = f"{report.rate(min(rates))}-{report.rate(max(rates))}"
        target = "" if way == "append" else f">= {report.rate(RECORDS_PER_S)}"
        rows.append([way, report.rate(median), spread, target, verdict])
    verdict = "pass" if share <= SHARE else "MISS"
    return (
        report.table(["records per second", "median", "range", "target", ""], rows)
        + f"\n\nappending takes {share:.1%} of a create + close (target <= {SHARE:.0%}: {verdict})"
    )


if __name__ == "__main__":
    main()
