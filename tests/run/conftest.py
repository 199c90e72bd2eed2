"""Fixtures of the runner's tests."""

from __future__ import annotations

import pytest

from hpobench_fds.run.referee import Referee
from hpobench_fds.schedule import Schedule
from hpobench_fds.training.state import Evaluation


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Schedule, int]]:
    """The schedules and draws that the referee trains, as it goes."""
    seen: list[tuple[Schedule, int]] = []
    train = Referee._train

    def watched(self: Referee, schedule: Schedule, draw: int) -> tuple[Evaluation, int | None]:
        seen.append((schedule, draw))
        return train(self, schedule, draw)

    monkeypatch.setattr(Referee, "_train", watched)
    return seen
