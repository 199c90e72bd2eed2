"""The figure of profiles by its structure."""

from __future__ import annotations

from fabricate import Results
from hpobench_fds.analysis.figures import profiles


def test_a_profile_is_drawn_on_a_log_axis_from_one(study: Results) -> None:
    ax = profiles.draw(*study.both).figure.axes[0]
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[0] == 1
    assert {line.get_gid() for line in ax.lines} == set(study.runs["method"])
