"""Every figure of the catalogue that recorded suites can fill, by its structure."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabricate import assert_legible, assert_readable, assert_units
from hpobench_fds.analysis import loading
from hpobench_fds.analysis.figures import available
from hpobench_fds.analysis.stats.frames import NoAnswer

from hpobench_fds.errors import InputError

RECORDED = Path(__file__).parents[3] / "results" / "recorded"
FOLDERS = sorted(path.parent.name for path in RECORDED.glob("*/suite.json"))


@pytest.mark.slow
@pytest.mark.parametrize("style", ["paper", "slides"])
@pytest.mark.parametrize("suite", FOLDERS)
def test_texts_are_apart_and_large_enough_and_axes_have_units(suite: str, style: str) -> None:
    loaded = loading.load(RECORDED / suite)
    wrong, drawn = {}, 0
    for name, draw in available(loaded.reports).items():
        try:
            figure = draw(loaded.reports, loaded.runs, style).figure
        except (NoAnswer, InputError):
            continue
        drawn += 1
        # Slides are shown at their own width.
        for check in (assert_legible, assert_units, *([assert_readable] if style == "paper" else [])):
            try:
                check(figure)
            except AssertionError as found:
                wrong[name, check.__name__] = str(found).splitlines()[0]
    assert drawn
    assert wrong == {}
