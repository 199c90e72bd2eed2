"""The Monte Carlo check of the theorem passes a true bound, is sharp, and catches a wrong one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hpobench_fds.analysis.stats import theorem
from hpobench_fds.analysis.stats.window_sharing import Constants

from hpobench_fds.cli import main
from hpobench_fds.errors import InputError


@cache
def checked(seed: int = 0) -> theorem.Result:
    return theorem.check(2000, seed)


def test_every_drift_width_correlation_and_ratio_of_drift_to_noise_is_tried_once() -> None:
    cases = checked().table["case"]
    assert cases.is_unique
    assert len(cases) == (1 + 2 + 2) * 2 * 3 * 4  # epsilons by drift, sigmas, correlations, widths
    assert set(checked().table["drift"]) == {"none", "random", "largest"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_true_bound_holds(seed: int) -> None:
    assert checked(seed).failed == []
    assert checked(seed).holds


@pytest.mark.parametrize("drift", ["none", "largest"])
def test_the_bound_is_attained_where_nothing_or_everything_drifts(drift: str) -> None:
    """Simulated over bound is 1 within the Monte Carlo error: the theorem cannot be improved."""
    table = checked().table
    own = table[table["drift"] == drift]
    away = (own["mse"] - own["bound"]) / own["error"]
    assert away.abs().max() < 4.5  # by chance once in 3,000 for 48 cases
    assert 0.5 < float(np.mean(away**2)) < 1.7  # and the errors are as large as they are said to be
    assert (own["ratio"] - 1).abs().max() < 0.15


def test_random_drift_has_the_error_that_algebra_gives_it_below_the_bound() -> None:
    table = checked().table
    own = table[(table["drift"] == "random") & (table["width"] > 1)]
    w, epsilon = own["width"], own["epsilon"]
    noise = own["sigma"] ** 2 * (1 + own["c"] * (w - 1)) / w
    # Steps of variance epsilon^2 / 3; a walk of w of them is (w^2 - 1) / (6 w) of that from its mean.
    truth = noise + epsilon**2 / 3 * (w**2 - 1) / (6 * w)
    assert ((own["mse"] - truth) / own["error"]).abs().max() < 4.5
    assert (truth < own["bound"]).all()


def noise_part(k: Constants, w: int) -> float:
    return k.variance * (1 + k.correlation * (w - 1)) / w


WRONG: dict[str, tuple[theorem.Bound, set[str]]] = {
    "half the drift": (lambda k, w: noise_part(k, w) + k.drift**2 * (w**2 - 1) / 24, {"largest"}),
    "no drift": (noise_part, {"largest", "random"}),
    "no correlation": (
        lambda k, w: k.variance / w + k.drift**2 * (w**2 - 1) / 12,
        {"none", "largest", "random"},
    ),
    "a fifth too low": (lambda k, w: 0.8 * float(k.bound(w)), {"none", "largest", "random"}),
}


@pytest.mark.parametrize(("wrong", "drifts"), WRONG.values(), ids=WRONG)
def test_a_wrong_bound_is_caught_and_the_cases_are_named(wrong: theorem.Bound, drifts: set[str]) -> None:
    result = theorem.check(1000, 0, wrong)
    assert not result.holds
    assert {case.split(",")[0].removeprefix("drift ") for case in result.failed} == drifts
    assert all("sigma = " in case and "W = " in case for case in result.failed)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_width_is_better_than_a_quarter_less_and_a_third_more(seed: int) -> None:
    result = theorem.check_best_width(2000, seed)
    assert result.holds
    assert (result.table["difference"] > 0).all()


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.6])
def test_a_wrong_best_width_is_caught(factor: float) -> None:
    result = theorem.check_best_width(4000, 0, lambda k: max(2.0, factor * k.best_width))
    assert not result.holds
    assert "best W" in result.failed[0]


def test_a_seed_is_a_seed() -> None:
    one, same = theorem.check(200, 7).table, theorem.check(200, 7).table
    assert one["mse"].tolist() == same["mse"].tolist()
    assert one["mse"].tolist() != theorem.check(200, 8).table["mse"].tolist()


def test_batches_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    case = theorem.Case("largest", 1.0, 0.1, 0.0, 4)
    whole = theorem.simulate(case, 3000, np.random.default_rng(0))
    monkeypatch.setattr(theorem, "BATCH", 700)
    parts = theorem.simulate(case, 3000, np.random.default_rng(0))
    for mse, error in (whole, parts):
        assert abs(mse - float(case.constants.bound(4))) < 4.5 * error
    assert parts[1] == pytest.approx(whole[1], rel=0.1)


@pytest.mark.parametrize(("draws", "seed"), [(99, 0), (10**8, 0), (200, -1)])
def test_what_cannot_be_simulated_is_refused(draws: int, seed: int) -> None:
    with pytest.raises(InputError, match="allowed"):
        theorem.check(draws, seed)
    with pytest.raises(InputError, match="allowed"):
        theorem.check_best_width(draws, seed)


# ------------------------------------------------------------------------------------------- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["theorem", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_the_command_prints_bound_and_simulation_and_says_that_it_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys, "--draws", "500", "--seed", "3")
    assert (code, err) == (0, "")
    assert "Bound" in out
    assert "Simulated" in out
    assert "the theorem holds in all (a true theorem fails one or more with a probability of 0.001" in out
    assert "128 comparisons of 500 draws" in out


def test_the_command_fails_and_names_the_case_when_the_bound_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Constants.bound
    monkeypatch.setattr(Constants, "bound", lambda self, width: 0.7 * true(self, width))
    code, out, err = run(capsys, "--draws", "500")
    assert code == 1
    assert "above the bound: drift largest, sigma = 0.25, epsilon = 0.08, c = 0, W = 12" in err
    assert " fail (" in out


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--draws", "3") == (2, "", "error: --draws: got 3 (allowed: 100 to 10000000)\n")
