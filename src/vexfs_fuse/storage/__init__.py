"""Bytes that survive: the disk seam, journal, segments, pool and the SQLite view.  Knows no names and no POSIX."""
