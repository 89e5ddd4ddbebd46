"""The INIT exchange: what the kernel offers, what libfuse answers, and what we put in beside it.

libfuse 3.14 leaves out flags that pyfuse3 cannot set either.  So libfuse gets a socket for its
device: we carry the one INIT request to it, edit its answer, send that to the kernel, and put the
real device under the same descriptor number.  libfuse never notices.
"""

import os
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from vexfs_fuse.errors import MountFailed
from vexfs_fuse.fuse.protocol import WRITE_BYTES_MAX

# linux/fuse.h, FUSE_INIT
DONT_MASK: Final = 1 << 6
AUTO_INVAL_DATA: Final = 1 << 12
READDIRPLUS_AUTO: Final = 1 << 14
ASYNC_DIO: Final = 1 << 15
PARALLEL_DIROPS: Final = 1 << 18
EXPLICIT_INVAL_DATA: Final = 1 << 25
HANDLE_KILLPRIV: Final = 1 << 19
HANDLE_KILLPRIV_V2: Final = 1 << 28
SETXATTR_EXT: Final = 1 << 29
INIT_EXT: Final = 1 << 30  # there are 32 flags more, of which we understand none

NAMES: Final = {
    DONT_MASK: "DONT_MASK",
    READDIRPLUS_AUTO: "READDIRPLUS_AUTO",
    PARALLEL_DIROPS: "PARALLEL_DIROPS",
    EXPLICIT_INVAL_DATA: "EXPLICIT_INVAL_DATA",
    HANDLE_KILLPRIV_V2: "HANDLE_KILLPRIV_V2",
}

BACKGROUND_REQUESTS_MAX: Final = 64
"""Read-ahead and asynchronous requests that the kernel keeps in flight; its default of 12 starves
a daemon that serves several readers."""

REQUEST_BYTES_MAX: Final = 64 * 1024
_IN_HEADER: Final = 40
_OUT_HEADER: Final = struct.Struct("<IiQ")  # len, error, unique
_INIT_IN: Final = struct.Struct("<IIII")  # major, minor, max_readahead, flags
_INIT_OUT: Final = struct.Struct("<IIIIHHI")  # as before, max_background, congestion, max_write
_READAHEAD_BYTES: Final = 1 << 20


class Wishes(NamedTuple):
    """INIT flags to add to libfuse's, as far as the kernel offers them, and flags to take out.

    DONT_MASK
        The umask comes with the request, so that a default ACL can take its place.
    PARALLEL_DIROPS
        One slow lookup does not stall the others of its directory.
    HANDLE_KILLPRIV_V2
        No request for security.capability goes before each write; we clear set-id bits.
    EXPLICIT_INVAL_DATA for AUTO_INVAL_DATA
        What the kernel has written stays in its page cache although mtime moved: all changes of
        contents come through it.
    no ASYNC_DIO
        The kernel drops its pages of what was written past them only when it has waited for the
        answer: with it, a buffered reader beside O_DIRECT and AIO would see old bytes for good.
    no SETXATTR_EXT, no INIT_EXT
        Requests to set an attribute and to create would be laid out in another way (the latter for
        SECURITY_CTX, which is among the flags of INIT_EXT).
    """

    add: int = DONT_MASK | PARALLEL_DIROPS | HANDLE_KILLPRIV_V2 | EXPLICIT_INVAL_DATA
    remove: int = AUTO_INVAL_DATA | ASYNC_DIO | SETXATTR_EXT | INIT_EXT


class InitRelay:
    """Carries INIT between the kernel's `device` and libfuse, and edits the answer.

    `mountpoint` is what libfuse is told to mount.  After `complete` the flags that hold are in
    `granted`, 0 before, and `on_complete` is called: the first other request comes after it.
    """

    def __init__(self, device: int, wishes: Wishes, on_complete: Callable[[], None]) -> None:
        self._device = device
        self._wishes = wishes
        self._on_complete = on_complete
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.granted = 0
        request = os.read(device, REQUEST_BYTES_MAX)
        self._offered = _INIT_IN.unpack_from(request, _IN_HEADER)[3]
        self._ours.send(request)
        self.mountpoint = f"/dev/fd/{theirs.detach()}"  # libfuse closes it with the session

    def wish(self, flags: int) -> None:
        """Ask for more flags, before `complete`."""
        self._wishes = self._wishes._replace(add=self._wishes.add | flags)

    def complete(self, libfuse_fd: int) -> None:
        """Send libfuse's answer on, edited, and make `libfuse_fd` the real device.

        Raises
        ------
        MountFailed
            libfuse refused the kernel.
        """
        reply = bytearray(self._ours.recv(REQUEST_BYTES_MAX))
        self._ours.close()
        error = _OUT_HEADER.unpack_from(reply)[1]
        if error == 0:
            self._edit(reply)
        os.write(self._device, reply)
        if error:
            raise MountFailed(f"libfuse and the kernel do not agree: {os.strerror(-error)}")
        os.dup2(self._device, libfuse_fd, inheritable=False)
        os.close(self._device)
        self._on_complete()

    def _edit(self, reply: bytearray) -> None:
        at = _OUT_HEADER.size
        major, minor, _, flags, _, _, max_write = _INIT_OUT.unpack_from(reply, at)
        flags = (flags & ~self._wishes.remove) | (self._wishes.add & self._offered)
        in_flight = BACKGROUND_REQUESTS_MAX
        _INIT_OUT.pack_into(
            reply,
            at,
            major,
            minor,
            _READAHEAD_BYTES,
            flags,
            in_flight,
            in_flight * 3 // 4,
            min(max_write, WRITE_BYTES_MAX),
        )
        self.granted = flags


def names(flags: int) -> list[str]:
    """Return the names of those flags that this module asks for, for people."""
    return [name for flag, name in NAMES.items() if flags & flag]
