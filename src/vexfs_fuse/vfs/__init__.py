"""What a mounted volume looks like: POSIX and the virtual trees.  Knows no FUSE and no errno."""
