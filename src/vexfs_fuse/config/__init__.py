"""The options: one table, and the sources that fill it."""

from vexfs_fuse.config.sources import Effective, load
from vexfs_fuse.config.table import OPTIONS, Config

__all__ = ["OPTIONS", "Config", "Effective", "load"]
