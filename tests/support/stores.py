"""A whole store in a test's hands: opened, killed, cut off from power, copied and looked at."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.models.volume import Look
from tests.support.disks import FaultyDisk, SimulatedDisk
from tests.support.states import StateFiles
from vexfs_fuse.config import Config
from vexfs_fuse.errors import VexfsError
from vexfs_fuse.pending import Durable, Pending, WaitForSpace
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import KIB, MIB, NS_PER_S, ROOT, Inode
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume.batch import Batch
from vexfs_fuse.volume.identity import FORMAT, Identity
from vexfs_fuse.volume.opening import assemble
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import Actor

ROOT_USER = Actor(0, 0, 1)
IDENTITY = Identity(FORMAT, "6a0f6d3e-8f6c-4c0e-9c53-0f1e2d3c4b5a", 0)

SMALL = {
    "pool_bytes": 4 * MIB,
    "segment_bytes": 192 * KIB,
    "journal_file_bytes": 8 * KIB,
    "journal_keep_bytes": 0,
    "journal_keep_age": 0.0,
}
"""Everything is full after a few operations."""


class FixedClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000 * NS_PER_S

    def now_ns(self) -> int:
        return self.ns

    def monotonic_s(self) -> float:
        return self.ns / NS_PER_S

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * NS_PER_S)


class SyncedState(State):
    """A state view that tells `files` what a power cut cannot take any more."""

    files: StateFiles | None = None

    def checkpoint(self) -> None:
        super().checkpoint()
        if self.files is not None:
            self.files.synced()


class SimulatedStore:
    """A store on a simulated disk, its state view on real files; one volume is open at a time.

    `disk` is what survives, `faults` what the volume sees of it.
    """

    def __init__(self, clock: FixedClock | None = None, **options: Any) -> None:
        self.clock = clock or FixedClock()
        self.config = Config(**(SMALL | {"atime": "noatime"} | options))
        self.files = StateFiles()
        self.disk = SimulatedDisk()
        self.faults = FaultyDisk(self.disk)

    def open(self) -> "Mounted":
        """Open the volume, which recovers."""
        self.faults = FaultyDisk(self.disk)
        view = SyncedState.open(self.files.path)
        assert isinstance(view, SyncedState)
        view.files = self.files
        self.files.synced()
        try:
            volume = assemble(self.faults, view, IDENTITY, self.config, self.clock)
        except BaseException:
            view.close()
            raise
        return Mounted(volume)

    def kill(self, mounted: "Mounted | None" = None) -> None:
        """End the process: what it held in its own memory is lost."""
        self.files.path = self.files.after_kill()
        if mounted is not None:
            mounted.volume.view.close()

    def cut_power(self, rng: random.Random, mounted: "Mounted | None" = None) -> None:
        """End the machine: what was not synced may be lost, in part and in any order."""
        self.disk = self.disk.crash(rng)
        self.files.path = self.files.after_power_cut(rng)
        if mounted is not None:
            mounted.volume.view.close()

    @contextmanager
    def twin(self) -> Iterator["Mounted"]:
        """Open a copy of this store, which must be closed or killed."""
        twin = SimulatedStore(self.clock)
        twin.config = self.config
        twin.disk = self.disk.copy()
        copied = twin.files.path
        twin.files.path = self.files.after_kill()
        mounted = twin.open()
        try:
            yield mounted
        finally:
            mounted.volume.view.close()
            twin.files.path = copied
            twin.remove()

    def remove(self) -> None:
        """Remove the state view's files."""
        self.files.remove()


class Mounted:
    """A volume as it is mounted, without a kernel: requests, and what the daemon does beside them."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        config = volume.config
        self.vfs = Vfs(
            volume,
            VirtualTrees(),
            open_max=config.max_open_files,
            atime=config.atime,
        )

    def sync(self) -> None:
        """Make durable what is logged, in one batch."""
        batch = self.volume.seal()
        if batch is not None:
            self.run(batch)

    def run(self, batch: Batch) -> None:
        """Do what the writer thread and then the loop do with a batch."""
        error: VexfsError | None = None
        try:
            batch.run()
        except VexfsError as failure:
            error = failure
        self.volume.settle(batch, error)

    def finish(self, answer: Any) -> Any:
        """Return what a slow answer becomes; raises what the caller would be told."""
        while isinstance(answer, (Pending, Durable, WaitForSpace)):
            if isinstance(answer, Pending):
                answer = answer.resume(answer.work())
            elif isinstance(answer, Durable):
                self.sync()
                assert self.volume.durable_lsn >= answer.lsn
                answer = answer.value
            else:
                self.relieve()
                answer = answer.retry()
        return answer

    def relieve(self) -> None:
        """Write dirty pages out, so that they can be evicted."""
        pending = self.volume.relieve()
        if pending is not None:
            pending.resume(pending.work())

    def maintain(self) -> None:
        """Do all background work that is due."""
        for step in self.volume.maintain():
            if step is not None:
                step.resume(step.work())

    def looks(self, *, contents: bool = True) -> dict[int, Look]:
        """Return every inode that can be reached from the root, as programs see it."""
        found: dict[int, Look] = {}
        waiting = [int(ROOT)]
        while waiting:
            ino = waiting.pop()
            found[ino] = look = self._look(Inode(ino), contents)
            waiting += [child for _, child in look.entries if child not in found]
        return found

    def _look(self, ino: Inode, contents: bool) -> Look:
        vfs = self.vfs
        node = vfs.getattr(ino)
        size, mtime, ctime = vfs.size_times(node)
        return Look(
            node.mode,
            node.uid,
            node.gid,
            node.rdev,
            node.nlink,
            size,
            node.atime,
            mtime,
            ctime,
            {n: vfs.getxattr(ino, n, ROOT_USER) for n in vfs.listxattr(ino, ROOT_USER)},
            self.entries(ino) if node.is_dir else [],
            vfs.readlink(ino),
            self.contents(ino) if contents and node.is_file else None,
        )

    def entries(self, ino: Inode) -> list[tuple[bytes, int]]:
        """Return what readdir tells of a directory, without `.` and `..`."""
        handle = self.vfs.opendir(ino, ROOT_USER)
        entries = [(name, entry.ino) for name, entry, _ in self.vfs.readdir(handle, 0)]
        self.vfs.releasedir(handle)
        return entries[2:]

    def contents(self, ino: Inode) -> bytes:
        """Return all bytes of a file."""
        handle, _, _ = self.vfs.open(ino, 0, ROOT_USER)
        data = b""
        try:
            while part := bytes(self.finish(self.vfs.read(handle, len(data), MIB))):
                data += part
        finally:
            self.vfs.release(handle)
        return data

    def close(self) -> None:
        """Unmount."""
        self.volume.close()
