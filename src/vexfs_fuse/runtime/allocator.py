"""Keeps malloc from giving the buffer of every large request back to the kernel.

A write of 1 MiB arrives in a bytes object of that size.  glibc trims the heap when it is freed, and the
next one faults in all its pages again: six times the cost of copying the data.
"""

import ctypes
from typing import Final

from vexfs_fuse.units import MIB

HEAP_FROM_BYTES_MAX: Final = 4 * MIB
"""Up to here memory comes from the heap: the largest request has 1 MiB."""

KEPT_BYTES_MAX: Final = 32 * MIB
"""Free memory at the end of the heap beyond which it is given back."""

# from malloc.h; mallopt(3)
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_buffers() -> bool:
    """Let malloc keep the memory of large buffers; return whether this C library can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, HEAP_FROM_BYTES_MAX)
        and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX)
    )
