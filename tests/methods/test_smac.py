"""SMAC3 proposes what the package's own loop would; where it is missing, that is said in a line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closed_form import SPACE, bowl, gone_on, initial, run, vectors
from hpobench_fds.methods.smac import SMAC, config_space
from refused import assert_refused_before_anything_runs

from hpobench_fds.errors import InputError
from hpobench_fds.method.registry import parse_options

try:
    import smac
except ImportError:  # it is not installed, or scikit-learn is too new for it
    smac = None
needs_smac = pytest.mark.skipif(smac is None, reason="the extra smac is not installed")


def made(**options: Any) -> SMAC:
    return SMAC(parse_options(SMAC, {"n_startup_trials": 4, **options}))


def plain(seed: int, count: int, folder: Path) -> list[tuple[float, ...]]:
    """The points of the package's own loop on the bowl."""
    from smac import HyperparameterOptimizationFacade as Facade
    from smac import Scenario

    points: list[tuple[float, ...]] = []

    def objective(config: Any, seed: int = 0) -> float:
        points.append(tuple(float(config[name]) for name in SPACE.names))
        return bowl(np.array(points[-1]), 0)

    scenario = Scenario(
        config_space(SPACE), deterministic=True, n_trials=count, seed=seed % 2**31, output_directory=folder
    )
    design = Facade.get_initial_design(scenario, n_configs=4, max_ratio=1.0)
    Facade(scenario, objective, initial_design=design, logging_level=False, overwrite=True).optimize()
    return points


@needs_smac
def test_it_proposes_what_the_package_s_own_loop_does(tmp_path: Path) -> None:
    ours = run(made(start_from_initial=False), 12)
    np.testing.assert_allclose(vectors(ours), plain(ours.seed, 12, tmp_path), rtol=1e-12)


@needs_smac
def test_the_initial_schedule_comes_first_and_is_learned_from() -> None:
    found = vectors(run(made(), 10))
    assert found[0] == tuple(initial().values())
    others = vectors(run(made(start_from_initial=False), 9))
    np.testing.assert_allclose(found[1:5], others[:4])  # Sobol's
    assert found[5:] != others[4:]  # a forest that knows of one more


@needs_smac
@pytest.mark.parametrize("at", [2, 8])
@pytest.mark.parametrize("prior", [False, True])
def test_an_interrupted_run_goes_on(at: int, prior: bool) -> None:
    gone_on(lambda: made(prior=prior), 10, at)


@needs_smac
def test_it_finds_its_way_down_the_bowl_and_writes_nothing_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    losses = [trained.loss for trained in run(made(), 25).trained]
    assert min(losses) < 0.33  # the best of 25 random points has 0.36 in the median
    assert list(tmp_path.iterdir()) == []


@needs_smac
def test_it_is_told_of_divergence() -> None:
    ours = run(made(), 18, loss=lambda v, step: 0.5 if v[0] < 0.1 else float("inf"))
    assert sum(v[0] < 0.1 for v in vectors(ours)[8:]) >= 7


@pytest.mark.parametrize("lacking", ["smac", "ConfigSpace"])
def test_where_it_is_missing_a_line_says_so(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    with pytest.raises(InputError, match=r"methods.x: smac cannot be imported \(allowed: pip install \"hpo"):
        parse_options(SMAC, {}, key="methods.x")


def test_that_is_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "smac", None)
    methods = "[methods.smac]\n"
    assert_refused_before_anything_runs(methods, tmp_path, capsys)
