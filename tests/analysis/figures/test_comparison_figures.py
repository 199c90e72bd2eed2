"""Figures that compare methods are legible, with many methods and long names too."""

from __future__ import annotations

import numpy as np
import pytest
from fabricate import Results, assert_legible, make_study, rising
from hpobench_fds.analysis.figures import (
    anytime,
    effects,
    profiles,
    schedules,
    speedup,
    speedup_curve,
    times,
    way,
)


@pytest.mark.parametrize("style", ["paper", "slides"])
@pytest.mark.parametrize("module", [profiles, effects, speedup_curve, times, way])
def test_texts_do_not_overlap(study: Results, module: object, style: str) -> None:
    assert_legible(module.draw(*study.both, style=style).figure)  # type: ignore[attr-defined]


def test_many_methods_with_long_names_are_legible() -> None:
    study, rng = make_study(), np.random.default_rng(3)
    for i in range(8):
        for seed in range(3):
            study.add(f"a_rather_long_label_{i}", seed, rising(3.0 + i, rng))
    for module in (anytime, speedup, schedules, effects, profiles, speedup_curve, times, way):
        assert_legible(module.draw(*study.both).figure)
