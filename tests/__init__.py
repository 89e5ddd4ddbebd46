"""The tests; they mirror `src/vexfs_fuse`."""
