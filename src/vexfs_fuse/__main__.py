"""`python -m vexfs_fuse` is `vexfs`."""

import sys

from vexfs_fuse.cli.main import main

sys.exit(main())
