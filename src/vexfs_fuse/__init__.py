"""vexfs: a file system whose files carry meaning."""

import os

__version__ = "0.1.0"

# Read by numpy when it is imported.  A search multiplies matrices of a few MiB: shared with a second thread that
# is waited for in a busy loop, it takes 18 times as long when other programs use the CPUs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
