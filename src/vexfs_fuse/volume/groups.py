"""Whether a caller belongs to a group: FUSE requests carry one gid, /proc the others."""

from pathlib import Path

from vexfs_fuse.volume.writer import Caller


def is_member(gid: int, who: Caller) -> bool:
    """Whether `who` is root or has `gid` among its groups (0 as uid stands for CAP_FSETID)."""
    return who.uid == 0 or who.gid == gid or gid in supplementary(who.pid)


def supplementary(pid: int) -> frozenset[int]:
    """Return the supplementary groups of a process; none when it is gone or not ours to see."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    for line in status.splitlines():
        if line.startswith("Groups:"):
            return frozenset(int(word) for word in line.split()[1:])
    return frozenset()
