"""One mounted volume: mount, serve, unmount, close.

pyfuse3 has one session in a process, so there is one of these at a time.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pyfuse3
import trio

from vexfs_fuse.errors import MountFailed
from vexfs_fuse.fuse import init_flags, mounting, reader
from vexfs_fuse.fuse.direct import Direct
from vexfs_fuse.fuse.guard import Guard
from vexfs_fuse.fuse.init_flags import InitRelay, Wishes
from vexfs_fuse.fuse.mounting import MountOptions
from vexfs_fuse.fuse.reader import Way

WISHES: Final = Wishes()

REQUESTS_MAX: Final = 99
"""Requests that may be suspended beside each other; those beyond wait in the kernel."""

READAHEAD_KIB: Final = 1024
"""What the kernel reads ahead of a sequential reader, where we may say it; its default is 128."""


class Session:
    """A mount and the loop that answers its requests.

    `mounted_by` and `reads_by` say which ways of mounting and reading were found to work.
    `on_init` is called when `init_flags` are known, before any request is answered.
    """

    def __init__(
        self, path: Path, options: MountOptions, on_init: Callable[[], None] = lambda: None
    ) -> None:
        self.path = path
        self._on_init = on_init
        self.mounted_by = ""
        self.reads_by = Way.PLAIN
        self.readahead_kib: int | None = None  # None: as the kernel has it
        self._options = options
        self._relay: InitRelay | None = None

    async def mount(
        self,
        guard: Guard,
        direct: Direct | None = None,
        *,
        wishes: Wishes | None = WISHES,
        best_reader: Way = Way.DIRECT,
    ) -> None:
        """Mount; requests wait in the kernel until `serve`.

        They are answered by `direct` if that works here and `best_reader` allows it, else through
        pyfuse3 by `guard`.  Without `wishes` libfuse mounts by itself, as it comes.

        Raises
        ------
        MountFailed
        """
        self.path = mounting.prepare(self.path)
        if wishes is None:
            self.reads_by = await reader.install(best_reader)
            self._mount_by_libfuse(guard)
            return
        device, self.mounted_by = mounting.mount(self.path, self._options)
        self._relay = InitRelay(device, wishes, self._initialised)
        self.reads_by = await reader.install(best_reader, self._relay, direct)
        if self.reads_by is Way.DIRECT:
            # Attributes come with a listing where they are asked for; pyfuse3 has no other listing.
            self._relay.wish(init_flags.READDIRPLUS_AUTO)
        pyfuse3.init(guard, self._relay.mountpoint, set())

    def _mount_by_libfuse(self, guard: Guard) -> None:
        self.mounted_by = "libfuse"
        try:
            pyfuse3.init(guard, str(self.path), set(self._options.helper_words))
        except RuntimeError as cause:
            raise MountFailed(f"libfuse: {cause}") from None
        self._on_init()

    def _initialised(self) -> None:
        there = mounting.mount_at(self.path)  # INIT would have lowered the read-ahead again
        if there is not None:
            self.readahead_kib = mounting.set_readahead(there.device, READAHEAD_KIB)
        self._on_init()

    @property
    def init_flags(self) -> int:
        """INIT flags that hold, 0 before the first request; libfuse alone does not tell them."""
        return self._relay.granted if self._relay is not None else 0

    @property
    def clears_set_id(self) -> bool:
        """Whether the kernel leaves it to us to clear set-id bits.

        True when nobody knows: to clear them twice does no harm.
        """
        if self._relay is None:
            return True
        return bool(self.init_flags & (init_flags.HANDLE_KILLPRIV | init_flags.HANDLE_KILLPRIV_V2))

    def forget_attributes(self, ino: int) -> None:
        """Let the kernel ask again for an inode's attributes.

        Never blocks, as no pages are touched: it may be called while a request for the same inode is
        being answered.
        """
        try:
            pyfuse3.invalidate_inode(ino, attr_only=True)
        except FileNotFoundError:
            pass  # the kernel does not know the inode

    async def serve(self) -> None:
        """Answer requests until the volume is unmounted or `end` is called."""
        await pyfuse3.main(min_tasks=1, max_tasks=REQUESTS_MAX)

    def end(self) -> None:
        """Let `serve` return, whether or not the volume is still mounted."""
        pyfuse3.terminate()

    async def unmount(self, *, lazy: bool = False) -> None:
        """Unmount while `serve` goes on answering.

        Raises
        ------
        MountFailed
            It is in use (and `lazy` is not given).
        """
        # To be abandoned when nobody serves any more: only closing the session lets it return then.
        unmount = partial(mounting.unmount, self.path, lazy=lazy)
        await trio.to_thread.run_sync(unmount, abandon_on_cancel=True)

    def close(self) -> None:
        """Give everything back but the mount: after a crash it must not look like an empty one."""
        pyfuse3.close(unmount=False)
        reader.uninstall()

    def describe(self) -> dict[str, object]:
        """Return what `vexfs status` shows of the mount."""
        return {
            "mountpoint": str(self.path),
            "mounted_by": self.mounted_by,
            "reader": str(self.reads_by),
            "readahead_kib": self.readahead_kib,
            "init_flags": init_flags.names(self.init_flags),
        }
