"""Names and inodes as data: no disk, no journal."""
