"""A daemon over the memory view, as a program: what the tests of the shell mount.

usage: python -m tests.support.memory_daemon MOUNTPOINT '{"reader": "hybrid", ...}'
Prints one JSON line with the status when the mount answers, and one when it has ended.
"""

import encodings.idna  # noqa: F401  # or it is imported late, when we may be somebody else
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import trio

from tests.support.memory_vfs import MemoryVfs, MemoryVolume
from vexfs_fuse.config import Config
from vexfs_fuse.fuse import reader
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.runtime.daemon import Daemon
from vexfs_fuse.runtime.settings import MountSettings


def become(uid: int) -> None:
    """Go on as an ordinary user; after all imports, as they may not reach root's interpreter."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def announce_in_vain(every: int) -> None:
    """Have each so-many-th wait of the hybrid reader end although there is nothing to read."""
    make_wait: Any = reader._Hybrid._make_wait
    waits = 0

    def make(*parts: Any) -> Any:
        wait = make_wait(*parts)

        async def wait_readable(fd: int) -> None:
            nonlocal waits
            waits += 1
            if waits % every:
                await wait(fd)

        return wait_readable

    reader._Hybrid._make_wait = make  # type: ignore[method-assign, assignment]


def main(mountpoint: str, wishes: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    config = Config(
        allow_other=wishes.pop("allow_other", False),
        ro=wishes.pop("ro", False),
        commit_interval=wishes.pop("commit_interval", 0.1),
        attr_timeout=wishes.pop("attr_timeout", 60.0),
        entry_timeout=wishes.pop("entry_timeout", 60.0),
        metrics=None,
        index=False,  # the memory view has no contents to index
        suid=wishes.pop("suid", False),
    )
    if every := wishes.pop("announce_in_vain", 0):
        announce_in_vain(every)
    if uid := wishes.pop("uid", 0):
        become(uid)
    vfs = MemoryVfs()
    volume = MemoryVolume(vfs, sync_s=wishes.pop("sync_s", 0.0))
    volume.crashes = wishes.pop("crashes", "")
    settings = MountSettings(config=config, mountpoint=Path(mountpoint), ready_fd=1, **wishes)
    recorder = Recorder()
    daemon = Daemon(volume, settings, recorder, lambda _daemon: vfs)
    trio.run(daemon.main)
    ended = {
        "batches": len(volume.batch_lsns),
        "durable_lsn": volume.durable_lsn,
        "logged_lsn": volume.logged_lsn,
        "handles": len(vfs.handles),
        "flushes": volume.flushes,
        "events": recorder.events,
        "status": daemon.status(),
    }
    print("ENDED " + json.dumps(ended), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
