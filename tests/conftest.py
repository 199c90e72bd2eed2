"""One thread for each test process: small tensors gain nothing from more, and parallel workers lose."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
