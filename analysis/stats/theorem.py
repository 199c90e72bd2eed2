"""Monte Carlo check of the theorem on sharing: is the simulated error ever above the bound?

The theorem (Micaelli & Storkey, 2021) bounds the mean over steps of E (shared g[t] - mu[t])^2, see
``window_sharing``. Each case draws noise of standard deviation sigma with correlation c between every two
steps, the theorem's worst case, around a mean that stands still, walks at random by at most epsilon a step,
or climbs by epsilon a step. Where it stands or climbs, the bound is attained.

A true bound fails a case when its simulated error comes out too high by chance. ``FALSE_ALARM`` is shared out
evenly among the two checks, and within each among its comparisons (Bonferroni): both together fail a true
theorem with at most that probability, up to the normal approximation of a mean of ``draws`` values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from hpobench_fds.errors import InputError

from .frames import Floats
from .window_sharing import Constants, shared

FALSE_ALARM = 1e-3
LEAST_DRAWS, MOST_DRAWS = 100, 10_000_000
STEPS = 120  # of each draw; every width divides it
BATCH = 2000  # draws simulated at a time
ROUNDING = 1e-9  # relative error that is not the theorem's

SIGMAS = (0.25, 1.0)
EPSILONS = (0.01, 0.08)
CORRELATIONS = (0.0, 0.3, 0.9)
WIDTHS = (1, 4, 12, 40)
DRIFTS = ("none", "random", "largest")

Bound = Callable[[Constants, int], float]


def theorem(constants: Constants, width: int) -> float:
    """The bound under test."""
    return float(constants.bound(width))


@dataclass(frozen=True)
class Case:
    """A kind of drift, the theorem's constants and the steps a window."""

    drift: str
    sigma: float
    epsilon: float
    correlation: float
    width: int

    @property
    def constants(self) -> Constants:
        """``epsilon`` is 0 without drift, whatever the case's."""
        epsilon = 0.0 if self.drift == "none" else self.epsilon
        return Constants(self.sigma**2, self.correlation, epsilon)

    def __str__(self) -> str:
        return (
            f"drift {self.drift}, sigma = {self.sigma:g}, epsilon = {self.constants.drift:g}, "
            f"c = {self.correlation:g}, W = {self.width}"
        )


def grid() -> list[Case]:
    """All combinations; without drift there is one epsilon, 0."""
    return [
        Case(drift, sigma, epsilon, correlation, width)
        for drift in DRIFTS
        for sigma, epsilon in product(SIGMAS, (0.0,) if drift == "none" else EPSILONS)
        for correlation, width in product(CORRELATIONS, WIDTHS)
    ]


# --------------------------------------------------------------------------------------------- simulation


def _means(drift: str, epsilon: float, draws: int, steps: int, rng: np.random.Generator) -> Floats:
    """True hypergradients, [draws, steps] or [1, steps]."""
    if drift == "none":
        return np.zeros((1, steps))
    if drift == "largest":
        return epsilon * np.arange(steps, dtype=np.float64)[None]
    moves = rng.uniform(-epsilon, epsilon, (draws, steps))
    walk: Floats = np.cumsum(moves, axis=1)
    return walk


def _squared_errors(case: Case, draws: int, rng: np.random.Generator, steps: int) -> Iterator[Floats]:
    """Mean over steps of the squared error of sharing, for each draw, in batches."""
    for begin in range(0, draws, BATCH):
        n = min(BATCH, draws - begin)
        common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, steps))
        noise = case.sigma * (np.sqrt(case.correlation) * common + np.sqrt(1 - case.correlation) * own)
        mu = _means(case.drift, case.epsilon, n, steps, rng)
        yield ((shared(mu + noise, steps // case.width) - mu) ** 2).mean(1)


def simulate(case: Case, draws: int, rng: np.random.Generator, steps: int = STEPS) -> tuple[float, float]:
    """Mean squared error of sharing, and its Monte Carlo standard error.

    Parameters
    ----------
    steps : a multiple of the case's width.
    """
    errors = np.concatenate(list(_squared_errors(case, draws, rng, steps)))
    return float(errors.mean()), float(errors.std(ddof=1) / np.sqrt(draws))


@dataclass(frozen=True)
class Result:
    """A check's table, a row a case or comparison, and the names of those that fail."""

    table: pd.DataFrame
    failed: list[str]

    @property
    def holds(self) -> bool:
        return not self.failed


def check(draws: int, seed: int, bound: Bound = theorem) -> Result:
    """Simulate every case of the grid and compare it with the bound.

    Returns
    -------
    Columns case, drift, sigma, epsilon, c, width, bound, mse, error (standard, of mse), ratio (mse / bound),
    z (how many standard errors above the bound), exceeds.

    Raises
    ------
    InputError : too few draws for the normal approximation, or too many; a negative seed.
    """
    _allowed(draws, seed)
    cases = grid()
    most = _threshold(len(cases))
    rows = []
    for number, case in enumerate(cases):
        mse, error = simulate(case, draws, np.random.default_rng([seed, number]))
        limit = bound(case.constants, case.width)
        excess = mse - limit - ROUNDING * limit
        z = excess / error if error > 0 else np.copysign(np.inf, excess)
        rows.append({
            "case": str(case), "drift": case.drift, "sigma": case.sigma, "epsilon": case.constants.drift,
            "c": case.correlation, "width": case.width, "bound": limit, "mse": mse, "error": error,
            "ratio": mse / limit, "z": z, "exceeds": bool(z > most),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    return Result(table, table.loc[table["exceeds"], "case"].tolist())


def _threshold(comparisons: int) -> float:
    """How many standard errors chance may do in one comparison of a check."""
    return float(stats.norm.isf(FALSE_ALARM / 2 / comparisons))


def _allowed(draws: int, seed: int) -> None:
    if not LEAST_DRAWS <= draws <= MOST_DRAWS:
        raise InputError(f"got {draws}", key="--draws", allowed=f"{LEAST_DRAWS} to {MOST_DRAWS}")
    if seed < 0:
        raise InputError(f"got {seed}", key="--seed", allowed="0 or more")


# ------------------------------------------------------------------------------------------ the best width

BEST_CASES = ((0.25, 0.08, 0.0), (1.0, 0.05, 0.0), (1.0, 0.01, 0.0), (1.0, 0.05, 0.5))  # sigma, epsilon, c


def check_best_width(draws: int, seed: int, formula: Callable[[Constants], float] | None = None) -> Result:
    """Is the formula's W better than a quarter less and than a third more, under the largest drift?

    Two widths are simulated on the same noise, so that their difference has little of it.

    Returns
    -------
    Columns case, sigma, epsilon, c, formula (W), width (the nearest whole number), other, difference (MSE of
    the other minus that of the formula's), error (standard, of it), worse.
    """
    _allowed(draws, seed)
    formula = formula or (lambda constants: constants.best_width)
    most = _threshold(2 * len(BEST_CASES))
    rows = []
    for number, (sigma, epsilon, c) in enumerate(BEST_CASES):
        exact = formula(Constants(sigma**2, c, epsilon))
        width = round(exact)
        for other in (round(3 * width / 4), round(4 * width / 3)):
            difference, error = _difference(sigma, epsilon, c, width, other, draws, [seed, 1000 + number])
            what = f"best W, sigma = {sigma:g}, epsilon = {epsilon:g}, c = {c:g}"
            rows.append({
                "case": f"{what}: {width} against {other}",
                "sigma": sigma, "epsilon": epsilon, "c": c, "formula": exact, "width": width, "other": other,
                "difference": difference, "error": error, "worse": bool(difference < -most * error),
            })  # fmt: skip
    table = pd.DataFrame(rows)
    return Result(table, table.loc[table["worse"], "case"].tolist())


def _difference(
    sigma: float, epsilon: float, c: float, width: int, other: int, draws: int, seed: list[int]
) -> tuple[float, float]:
    """Mean difference of the squared errors of two widths on the same draws, and its standard error."""
    steps = int(np.lcm(width, other))
    one, two = (
        np.concatenate(
            list(
                _squared_errors(
                    Case("largest", sigma, epsilon, c, w), draws, np.random.default_rng(seed), steps
                )
            )
        )
        for w in (width, other)
    )
    gap = two - one
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(draws))
