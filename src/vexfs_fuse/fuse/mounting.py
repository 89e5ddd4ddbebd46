"""How a mount point comes and goes: mount(2), fusermount3 and /proc/self/mountinfo.

Knows neither pyfuse3 nor the protocol that is spoken over the descriptor it returns.
"""

import array
import ctypes
import errno
import os
import re
import socket
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse.errors import MountFailed

DEVICE: Final = "/dev/fuse"
SUBTYPE: Final = "vexfs"
FILE_SYSTEM_TYPE: Final = f"fuse.{SUBTYPE}"
HELPER: Final = "fusermount3"
HELPER_TIMEOUT_S: Final = 30.0

# from linux/mount.h
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MNT_DETACH: Final = 2
_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_BDI: Final = Path("/sys/class/bdi")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """What the kernel is told of a mount; `default_permissions` is always on.

    `read_bytes_max` bounds one read request; None leaves it to the kernel.
    """

    source: str = "vexfs"
    read_only: bool = False
    allow_other: bool = False
    suid: bool = False
    dev: bool = False
    executable: bool = True
    read_bytes_max: int | None = None

    @property
    def flags(self) -> int:
        """The flags of mount(2)."""
        return (
            (_MS_RDONLY if self.read_only else 0)
            | (0 if self.suid else _MS_NOSUID)
            | (0 if self.dev else _MS_NODEV)
            | (0 if self.executable else _MS_NOEXEC)
        )

    @property
    def fuse_words(self) -> list[str]:
        """The options that the FUSE module of the kernel reads."""
        words = ["default_permissions"]
        if self.allow_other:
            words.append("allow_other")
        if self.read_bytes_max is not None:
            words.append(f"max_read={self.read_bytes_max}")
        return words

    @property
    def helper_words(self) -> list[str]:
        """The options of fusermount3, which refuses `suid` and `dev` to ordinary users itself."""
        source = self.source.replace("\\", "\\\\").replace(",", "\\,")
        words = [f"fsname={source}", f"subtype={SUBTYPE}", "ro" if self.read_only else "rw"]
        for wanted, word in ((self.suid, "suid"), (self.dev, "dev")):
            if wanted:
                words.append(word)
        if not self.executable:
            words.append("noexec")
        return words + self.fuse_words


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo."""

    path: Path
    device: str  # MAJOR:MINOR, as under /sys/class/bdi
    kind: str
    source: str


def mounts() -> list[Mount]:
    """Return all mounts that this process sees, in the order in which they were made."""
    return [_parse(line) for line in _MOUNTINFO.read_text(errors="surrogateescape").splitlines()]


def _parse(line: str) -> Mount:
    # proc_pid_mountinfo(5): ID PARENT DEV ROOT PATH OPTIONS [TAGS...] - TYPE SOURCE SUPER
    before, _, after = line.partition(" - ")
    fields = before.split(" ")
    kind, source = after.split(" ")[:2]
    return Mount(Path(_unescaped(fields[4])), fields[2], kind, _unescaped(source))


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), field)


def mount_at(path: Path) -> Mount | None:
    """Return the topmost mount at exactly `path`, which is absolute and without symlinks."""
    return next((mount for mount in reversed(mounts()) if mount.path == path), None)


def prepare(path: Path) -> Path:
    """Return the mount point without symlinks, after clearing away a dead vexfs mount on it.

    A daemon that was killed leaves its mount, so that nobody takes the empty directory below it for
    the volume; here, where a new one is about to take its place, it goes.

    Raises
    ------
    MountFailed
        There is no directory, or a living vexfs is mounted there.
    """
    whole = Path(os.path.realpath(path))
    there = mount_at(whole)
    if there is not None and there.kind == FILE_SYSTEM_TYPE:
        if answers(whole):
            raise MountFailed(f"{whole} is a mounted vexfs already")
        unmount(whole, lazy=True)
    try:
        mode = os.stat(whole).st_mode
    except OSError as cause:
        raise MountFailed(f"{whole}: {cause.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise MountFailed(f"{whole} is not a directory")
    return whole


def answers(path: Path) -> bool:
    """Return whether a daemon stands behind the mount at `path`.

    Asks by statfs(2), as the kernel may know the attributes of a dead mount's root for hours.
    """
    try:
        os.statvfs(path)
    except OSError as cause:
        return cause.errno not in {errno.ENOTCONN, errno.ECONNABORTED}
    return True


def mount(path: Path, options: MountOptions) -> tuple[int, str]:
    """Mount on `path`; return the descriptor that requests come from, and by which way it was done.

    The way is `mount(2)`, or `fusermount3` when mount(2) is not for us.

    Raises
    ------
    MountFailed
    """
    if os.geteuid() == 0:
        try:
            return _mount_by_call(path, options), "mount(2)"
        except PermissionError:
            pass  # root in a container without CAP_SYS_ADMIN; the helper may be let do it
    return _mount_by_helper(path, options), HELPER


def _mount_by_call(path: Path, options: MountOptions) -> int:
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise MountFailed(
            f"{DEVICE} is missing: the kernel has no FUSE, or it is not loaded"
        ) from None
    words = [f"fd={device}", "rootmode=40000", f"user_id={os.getuid()}", f"group_id={os.getgid()}"]
    data = ",".join(words + options.fuse_words).encode()
    source = os.fsencode(options.source)
    if _libc.mount(source, os.fsencode(path), FILE_SYSTEM_TYPE.encode(), options.flags, data) == 0:
        return device
    number = ctypes.get_errno()
    os.close(device)
    if number in {errno.EPERM, errno.EACCES}:
        raise PermissionError(number, os.strerror(number))
    raise MountFailed(f"mount(2) on {path}: {os.strerror(number)}")


def _mount_by_helper(path: Path, options: MountOptions) -> int:
    """Let the setuid helper mount; it sends the descriptor over a socket (libfuse, lib/mount.c)."""
    ours, theirs = socket.socketpair()
    command = [HELPER, "-o", ",".join(options.helper_words), "--", os.fspath(path)]
    with ours, theirs:
        try:
            helper = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=os.environ | {"_FUSE_COMMFD": str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
            )
        except FileNotFoundError:
            raise MountFailed(f"{HELPER} is missing: install fuse3") from None
        theirs.close()
        device = _receive_descriptor(ours)
        complaint = helper.communicate(timeout=HELPER_TIMEOUT_S)[1].decode(errors="replace").strip()
    if device is None:
        raise MountFailed(complaint or f"{HELPER} ended with {helper.returncode}")
    return device


def _receive_descriptor(ours: socket.socket) -> int | None:
    ours.settimeout(HELPER_TIMEOUT_S)
    number = array.array("i")
    _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(number.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            number.frombytes(data[: number.itemsize])
            os.set_inheritable(number[0], False)
            return number[0]
    return None


def unmount(path: Path, *, lazy: bool = False) -> None:
    """Unmount; `lazy` takes the name away at once and leaves open files working until they close.

    It waits for the daemon of the mount: never call it on the event loop.

    Raises
    ------
    MountFailed
        Nothing is mounted there, it is in use (and `lazy` is not given), or it is somebody else's.
    """
    if _libc.umount2(os.fsencode(path), _MNT_DETACH if lazy else 0) == 0:
        return
    number = ctypes.get_errno()
    if number != errno.EPERM:
        raise MountFailed(f"umount {path}: {os.strerror(number)}")
    command = [HELPER, "-u", *(["-z"] if lazy else []), "--", os.fspath(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MountFailed(f"{HELPER} is missing: install fuse3") from None
    if done.returncode != 0:
        raise MountFailed(done.stderr.strip())


def set_readahead(mount_device: str, kib: int) -> int | None:
    """Let the kernel read `kib` ahead on the mount with this MAJOR:MINOR; None if we may not."""
    try:
        (_BDI / mount_device / "read_ahead_kb").write_text(str(kib))
    except OSError:
        return None
    return kib
