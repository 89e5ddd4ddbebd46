"""vexfs: a file system whose files carry meaning."""

__version__ = "0.1.0"
