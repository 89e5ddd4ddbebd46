"""What reads and writes of file contents cost in the core, without kernel and journal.

CPU time of one call on the loop.  Hits are in a file of 8 MiB; fresh writes fill a file of 64 MiB;
cold reads come from the kernel's cache of a segment, through a pool that is smaller than the file.

usage: python -m benchmarks.contents [--quick] [--json FILE]
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from benchmarks import report
from benchmarks.commandline import end_on_sigterm, parser
from benchmarks.machine import BusinessMeter, machine
from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.pool import Pool
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import KIB, MIB, Inode
from vexfs_fuse.volume.contents import Contents

TARGETS_NS: Final = {"read 4 KiB, hit": 1_500, "write 4 KiB, hit": 2_500}
FILE_BYTES: Final = 8 * MIB
FRESH_BYTES: Final = 64 * MIB
COLD_BYTES: Final = 64 * MIB
POOL_BYTES: Final = 128 * MIB
COLD_POOL_BYTES: Final = 16 * MIB


class Bench:
    """Contents over a directory, with nodes that nothing else knows."""

    def __init__(self, work: Path) -> None:
        self.segments = Segments.open(LocalDisk(work), bytes(16))
        self.extents: dict[Inode, list[Extent]] = {}
        self.inodes = 1
        self.open(POOL_BYTES)

    def open(self, pool_bytes: int) -> None:
        """Begin with an empty pool."""
        self.contents = Contents(Pool(pool_bytes), self.segments, self.extents.__getitem__)

    def make(self) -> Node:
        """Return an empty file."""
        self.inodes += 1
        mode, nlink = 0o100644, 1
        return Node(
            Inode(self.inodes), mode, 0, 0, nlink, 0, 0, 0, 0, 0, 0, 0, 0, Inode(0), None, 0
        )

    def fill(self, node: Node, size: int, step: int) -> None:
        """Write a file from its start, `step` bytes at a time."""
        data = bytes(step)
        for offset in range(0, size, step):
            written = self.contents.write(node, offset, data, 1)
            assert written == step, "the pool holds the whole file"

    def settle(self, node: Node) -> None:
        """Flush a file and write it out."""
        size = self.contents.size_of(node)
        extents = self.contents.flush(node)
        node.stored += self.contents.adopt(node, extents).grown
        node.size = size
        self.extents[node.ino] = list(self.contents.extents(node))
        batch = self.segments.seal()
        assert batch is not None
        batch.write()
        self.segments.settle(batch)

    def reopen(self, node: Node, pool_bytes: int) -> None:
        """Forget everything in memory."""
        self.open(pool_bytes)
        node.content = None


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = parser(__doc__, quick="fewer rounds").parse_args()
    end_on_sigterm()
    meter = BusinessMeter()
    rounds = 5 if arguments.quick else 21
    gc.disable()
    with tempfile.TemporaryDirectory(prefix="vexfs-contents-", dir=arguments.work) as work:
        described = machine(Path(work))
        bench = Bench(Path(work))
        found = {**_hits(bench, rounds), **_fresh(bench, rounds), **_cold(bench, rounds)}
    results = report.document("contents", described, meter.end(), {"rounds": rounds})
    report.tell(results, found, readable(found), arguments.json)


def _cost(call: Callable[[], int], rounds: int) -> list[float]:
    """Return ns of CPU time by round; `call` returns how many operations it did."""
    costs = []
    for _ in range(rounds + 1):
        start = time.process_time_ns()
        count = call()
        costs.append((time.process_time_ns() - start) / count)
    return costs[1:]  # the first touches the memory


def _hits(bench: Bench, rounds: int) -> dict[str, list[float]]:
    node = bench.make()
    bench.fill(node, FILE_BYTES, MIB)
    bench.settle(node)
    random = Random(1)
    offsets = [random.randrange(FILE_BYTES // (4 * KIB)) * 4 * KIB for _ in range(20_000)]
    read, write, data = bench.contents.read, bench.contents.write, bytes(4 * KIB)

    def reads() -> int:
        for offset in offsets:
            read(node, offset, 4 * KIB)
        return len(offsets)

    def writes() -> int:
        for offset in offsets:
            write(node, offset, data, 1)
        return len(offsets)

    return {"read 4 KiB, hit": _cost(reads, rounds), "write 4 KiB, hit": _cost(writes, rounds)}


def _fresh(bench: Bench, rounds: int) -> dict[str, list[float]]:
    found = {}
    for step in (4 * KIB, 128 * KIB, MIB):

        def writes(step: int = step) -> int:
            node = bench.make()
            bench.fill(node, FRESH_BYTES, step)
            bench.contents.forget(node)
            return FRESH_BYTES // step

        found[f"write {step // KIB} KiB, fresh"] = _cost(writes, rounds)
    return found


def _cold(bench: Bench, rounds: int) -> dict[str, list[float]]:
    node = bench.make()
    bench.fill(node, COLD_BYTES, MIB)
    bench.settle(node)
    bench.reopen(node, COLD_POOL_BYTES)
    random = Random(1)
    offsets = [random.randrange(COLD_BYTES // (4 * KIB)) * 4 * KIB for _ in range(2_000)]

    def read(offset: int, size: int) -> None:
        found = bench.contents.read(node, offset, size)
        while isinstance(found, Pending):
            found = found.resume(found.work())

    def stream() -> int:
        for offset in range(0, COLD_BYTES, 128 * KIB):
            read(offset, 128 * KIB)
        return COLD_BYTES // (128 * KIB)

    def scattered() -> int:
        for offset in offsets:
            read(offset, 4 * KIB)
        return len(offsets)

    return {
        "read 128 KiB, cold, in turn": _cost(stream, rounds),
        "read 4 KiB, cold, at random": _cost(scattered, rounds),
    }


def readable(found: dict[str, list[float]]) -> str:
    """Return the figures with their verdicts."""
    rows = []
    for what, costs in found.items():
        median, target = statistics.median(costs), TARGETS_NS.get(what)
        verdict = "" if target is None else "pass" if median <= target else "MISS"
        limit = "" if target is None else f"<= {target:,}"
        rows.append(
            [what, f"{median:,.0f}", f"{min(costs):,.0f}-{max(costs):,.0f}", limit, verdict]
        )
    return report.table(["ns per call", "median", "range", "target", ""], rows)


if __name__ == "__main__":
    main()
