"""The FUSE device as distributions have it, for tests that mount as an ordinary user."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from vexfs_fuse.fuse import mounting


@contextmanager
def open_to_all() -> Iterator[None]:
    """Open the device to everybody, as udev does where it runs."""
    mode = stat.S_IMODE(os.stat(mounting.DEVICE).st_mode)
    os.chmod(mounting.DEVICE, 0o666)
    try:
        yield
    finally:
        os.chmod(mounting.DEVICE, mode)
