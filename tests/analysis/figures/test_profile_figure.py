"""The figure of profiles by its structure."""

from __future__ import annotations

from fabricate import Results
from hpobench_fds.analysis.figures import profiles
from matplotlib.collections import LineCollection


def test_a_profile_is_drawn_on_a_log_axis_from_one(study: Results) -> None:
    for seed in range(3):
        study.add("grid", seed, [(1, 0.2)])
    ax = profiles.draw(*study.both).figure.axes[0]
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[0] == 1
    lines = {line.get_gid() for line in ax.lines}
    # In colour, and the best that searches nothing in black; the others are one collection.
    assert lines == {"fds", "hd", "bohb", "tpe", "grid", "default"}
    (grey,) = (part for part in ax.collections if isinstance(part, LineCollection))
    assert len(grey.get_segments()) == len(set(study.runs["method"])) - len(lines)
    names = {text.get_text() for text in ax.texts}
    assert {"FDS", "Default"} <= names
