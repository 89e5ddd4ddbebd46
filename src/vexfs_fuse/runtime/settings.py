"""What a daemon is started with: a volume's options, where it is mounted, and who waits for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vexfs_fuse.config import Config

STOP_GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSettings:
    """One mount.

    `config.store` is the volume, `mountpoint` an existing directory.  When the mount answers, a
    line with the daemon's process id is written to the descriptor `ready_fd`, which is then closed.
    In the foreground the log goes to standard error.  `origins` says what set an option, for the
    effective configuration in the control tree.

    `reader` is the best way of reading requests that may be used (`fuse.reader.Way`); without
    `init_relay`, libfuse mounts and negotiates by itself.  For `stop_grace_s`, open files are
    served after a signal has taken the mount point away.
    """

    config: Config
    mountpoint: Path
    ready_fd: int | None = None
    foreground: bool = True
    origins: Mapping[str, str] = field(default_factory=dict)
    reader: str = "direct"
    init_relay: bool = True
    stop_grace_s: float = STOP_GRACE_S
