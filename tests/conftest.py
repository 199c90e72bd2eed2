"""What holds for every test process, and for what it starts."""

from __future__ import annotations

import os
import signal

import pytest

# Small tensors gain nothing from more threads, and parallel workers lose.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In the background of a shell SIGINT is ignored, and so it would be in every runner that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def any_md5(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's loaders accept our small files: only their md5 is not looked at."""

    def exists(path: str, md5: str | None = None) -> bool:
        return os.path.isfile(path)

    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", exists)
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", exists)
