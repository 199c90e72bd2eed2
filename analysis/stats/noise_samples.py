"""How noisy the hypergradient of each step is, and what sharing it over windows does to its error.

From suites whose methods take one hypergradient of a fixed schedule with a window for every step or so, over
many seeds (``noise.toml``): the first report of each run has it. The estimators, and the theorem's bound,
stand in ``window_sharing``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from .agreement import trusted_first
from .frames import Floats, NoAnswer, flag
from .schedules import groups
from .window_sharing import (
    Constants,
    Error,
    constants,
    error_of,
    jackknife,
    shared,
    sign_agreement,
    signal_to_noise,
    window_counts,
)

LEAST_SEEDS, LEAST_STEPS = 8, 16

PAPER = {1: 0.072, 5: 0.060, 10: 0.051, 25: 0.042, 50: 0.0375, 62.5: 0.0385, 250: 0.064}
"""Micaelli & Storkey (2021), figure 2, read off: MSE by steps a window; SVHN, LeNet, 250 steps, 100 seeds.

The published script stores hypergradients unscaled, and unscaled ones on Fashion-MNIST have an error of the
same size: so none are standardised here. Ratios to W = 1 do not depend on one common scale.
"""
PAPER_STEPS = 250


# -------------------------------------------------------------------------------------- from the records


@dataclass(frozen=True)
class Sample:
    """Hypergradients of one problem's schedule, [seeds, steps]; ``greedy`` has seeds of its own.

    ``methods`` are those that they come from, the exact one first. ``steps`` are windows of the schedule;
    ``horizon`` is in inner steps.
    """

    problem: str
    horizon: int
    hyperparameter: str
    exact: pd.DataFrame
    greedy: pd.DataFrame | None
    methods: tuple[str, ...]

    @property
    def g(self) -> Floats:
        return self.exact.to_numpy(np.float64)

    @property
    def steps(self) -> int:
        return self.exact.shape[1]

    @property
    def step_name(self) -> str:
        return (
            "inner step" if self.steps == self.horizon else f"window of {self.horizon / self.steps:g} steps"
        )

    def both(self) -> tuple[Floats, Floats] | None:
        """Greedy and exact hypergradients of the seeds that have both; None if there are too few."""
        if self.greedy is None:
            return None
        seeds = self.exact.index.intersection(self.greedy.index)
        if len(seeds) < LEAST_SEEDS:
            return None
        return self.greedy.loc[seeds].to_numpy(np.float64), self.exact.loc[seeds].to_numpy(np.float64)


def samples(reports: pd.DataFrame, hyperparameter: str = "lr") -> list[Sample]:
    """Of every problem that has them, hypergradients of one schedule over many seeds.

    Raises NoAnswer where no problem has ``LEAST_SEEDS`` seeds of one schedule with ``LEAST_STEPS`` windows.
    """
    first = reports[reports["report"] == 0]
    found = []
    for problem, own in first.groupby("problem", sort=True):
        exact, chosen = _first_sample(own[flag(own, "exact")], hyperparameter)
        if chosen is None or chosen.shape[1] < LEAST_STEPS:
            continue
        name, greedy = _first_sample(own[flag(own, "greedy")], hyperparameter, chosen.shape[1])
        methods = tuple(m for m in (exact, name) if m is not None)
        found.append(Sample(str(problem), _horizon(own), hyperparameter, chosen, greedy, methods))
    if not found:
        raise NoAnswer(
            f"no problem has hypergradients of {LEAST_SEEDS} seeds for one schedule of {hyperparameter} with "
            f"{LEAST_STEPS} windows or more"
        )
    return found


def _first_sample(
    reports: pd.DataFrame, hyperparameter: str, steps: int | None = None
) -> tuple[str | None, pd.DataFrame | None]:
    """The first method, in the order of trust, with enough seeds (and so many steps), and its matrix."""
    firsts = reports.drop_duplicates("method").to_dict("records")
    for method in (str(row["method"]) for row in sorted(firsts, key=trusted_first)):
        matrix = _matrix(reports[reports["method"] == method], hyperparameter)
        if matrix is not None and len(matrix) >= LEAST_SEEDS and steps in (None, matrix.shape[1]):
            return method, matrix
    return None, None


def _horizon(reports: pd.DataFrame) -> int:
    """Inner steps of one training: what a first report has done, over its share of the horizon."""
    row = reports.iloc[0]
    return round(int(row["inner_steps"]) / float(row["fidelity"]))


def _matrix(reports: pd.DataFrame, hyperparameter: str) -> pd.DataFrame | None:
    """Hypergradients of one method, a row a seed; None without any or if the seeds' schedules differ."""
    rows, schedules = {}, set()
    for row in reports.to_dict("records"):
        positions = groups(row["schedule_names"]).get(hyperparameter, [])
        values = row["hypergradient"]
        if np.ndim(values) != 1 or not positions:
            continue
        here = np.asarray(values, np.float64)[positions]
        if np.all(np.isfinite(here)) and row["seed"] not in rows:
            rows[row["seed"]] = here
            schedules.add(tuple(row["schedule"]))
    if len(schedules) != 1:
        return None
    return pd.DataFrame.from_dict(rows, orient="index").sort_index()


# --------------------------------------------------------------------------------------- windows and MSE


@dataclass(frozen=True)
class Windows:
    """Errors by number of windows, the theorem's constants, and the number of windows with least error."""

    errors: dict[int, Error]
    constants: Constants
    best: int

    def as_good(self) -> list[int]:
        """Numbers of windows whose error exceeds the least by a standard error of the difference at most."""
        least = self.errors[self.best]
        return [
            n
            for n, error in self.errors.items()
            if error.mse - least.mse <= jackknife(error.without - least.without)
        ]


def windows_of(sample: Sample) -> Windows:
    """Share a sample over each number of windows in turn."""
    g = sample.g
    errors = {n: error_of(shared(g, n), g) for n in window_counts(sample.steps)}
    return Windows(errors, constants(g), min(errors, key=lambda n: errors[n].mse))


WINDOW_COLUMNS = [
    "problem", "series", "windows", "width", "mse", "low", "high", "variance", "drift", "bound", "ratio",
    "ratio_error", "sign_agreement", "best", "as_good_as_best", "seeds",
]  # fmt: skip


def window_table(sample: Sample, windows: Windows) -> pd.DataFrame:
    """One row a number of windows (series "shared"), one of the greedy hypergradient, and the paper's values.

    ``low`` and ``high`` are a 95 % interval of the MSE, jackknife over seeds; ``ratio`` is MSE over that of
    not sharing, with its jackknife standard error; ``width`` is steps a window.
    """
    g, alone = sample.g, windows.errors[sample.steps]
    as_good = windows.as_good()
    rows = [
        _error_row(error, len(g), alone)
        | {
            "series": "shared", "windows": n, "width": sample.steps / n,
            "bound": windows.constants.bound_over(sample.steps, n),
            "sign_agreement": sign_agreement(shared(g, n), g),
            "best": n == windows.best, "as_good_as_best": n in as_good,
        }
        for n, error in windows.errors.items()
    ]  # fmt: skip
    if (both := sample.both()) is not None:
        greedy, exact = both
        same_seeds = error_of(exact, exact)
        rows.append(
            _error_row(error_of(greedy, exact), len(exact), same_seeds)
            | {"series": "greedy", "sign_agreement": sign_agreement(greedy, exact)}
        )
    if sample.steps == sample.horizon == PAPER_STEPS:
        rows += [
            {
                "series": "paper",
                "windows": round(PAPER_STEPS / w),
                "width": w,
                "mse": m,
                "ratio": m / PAPER[1],
            }
            for w, m in PAPER.items()
        ]
    return pd.DataFrame(rows).assign(problem=sample.problem).reindex(columns=WINDOW_COLUMNS)


def _error_row(error: Error, seeds: int, alone: Error) -> dict[str, Any]:
    half = float(stats.t.ppf(0.975, seeds - 1)) * error.standard_error
    ratio = ratio_error = np.nan
    if np.all(alone.without > 0):
        ratio, ratio_error = error.mse / alone.mse, jackknife(error.without / alone.without)
    return {
        "mse": error.mse, "low": error.mse - half, "high": error.mse + half, "variance": error.variance,
        "drift": error.drift, "ratio": ratio, "ratio_error": ratio_error, "seeds": seeds,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------ step by step

STEP_COLUMNS = [
    "problem", "series", "step", "mean", "deviation", "low", "median", "high", "signal_to_noise", "unit",
    "seeds",
]  # fmt: skip


def step_table(sample: Sample, windows: int) -> pd.DataFrame:
    """Mean, standard deviation, quartiles over seeds and signal-to-noise ratio of every step.

    Series are "not shared", "shared" over that number of windows, and "greedy". ``unit`` is the 95th
    percentile of the absolute value over seeds and steps, which a few large steps cannot move.
    """
    series = {"not shared": sample.g, "shared": shared(sample.g, windows)}
    if sample.greedy is not None:
        series["greedy"] = sample.greedy.to_numpy(np.float64)
    pieces = []
    for name, g in series.items():
        low, median, high = np.quantile(g, [0.25, 0.5, 0.75], axis=0)
        pieces.append(
            pd.DataFrame(
                {
                    "series": name, "step": np.arange(sample.steps), "mean": g.mean(0),
                    "deviation": g.std(0, ddof=1), "low": low, "median": median, "high": high,
                    "signal_to_noise": signal_to_noise(g),
                    "unit": float(np.quantile(np.abs(g), 0.95)), "seeds": len(g),
                }
            )
        )  # fmt: skip
    return pd.concat(pieces, ignore_index=True).assign(problem=sample.problem)[STEP_COLUMNS]
