"""What a run searched is said in a few words."""

from __future__ import annotations

import pytest

from hpobench_fds.records.searched import searched


@pytest.mark.parametrize(
    ("names", "space", "said"),
    [
        (["lr[0]", "lr[1]", "momentum[0]"], {}, "lr[2], momentum"),
        (["lr.peak"], {"lr": {"family": "cosine"}}, "lr as a cosine (peak)"),
        (["lr.peak", "lr.final", "momentum[0]"], {"lr": {"family": "one_cycle"}},
         "lr as a one cycle (peak, final), momentum"),
        (["lr.peak"], {}, "lr as a curve (peak)"),
        ([], {}, ""),
    ],
)  # fmt: skip
def test_of_windows_and_curves(names: list[str], space: dict[str, object], said: str) -> None:
    assert searched(names, space) == said


def test_a_schedule_set_by_hand_is_no_search() -> None:
    assert searched(["lr[0]"], {}, searches=False) == "nothing"
