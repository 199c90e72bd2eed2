"""The noise of hypergradients, and what sharing over contiguous steps does to it (Micaelli & Storkey 2021).

g[s, t] is the hypergradient of step t in seed s, mu[t] its mean over all seeds there could be: the truth.
Sharing puts the mean over a window of W contiguous steps in the place of each of them. Its error

    MSE_W = mean over t of E (shared g[t] - mu[t])^2 = variance of the window means + drift within windows

falls with W while averaging takes noise away, and rises once mu moves within a window. The paper's theorem:

    MSE_W <= sigma^2 (1 + c (W - 1)) / W + epsilon^2 (W^2 - 1) / 12

with sigma^2 the mean variance, c >= 0 the largest correlation of two steps and epsilon the largest change
of mu from one step to the next. Equal variances with all correlations c, and mu = epsilon t, attain it: the
squared distances of W numbers epsilon apart from their mean are epsilon^2 (W^2 - 1) / 12 on average.

All arrays are [seeds, steps]. Hypergradients have the unit of loss over hyperparameter, errors its square.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .frames import Floats, Integers

SPLITS = 50  # random halvings of the seeds that ``constants`` averages over


def shared(g: Floats, windows: int) -> Floats:
    """Each step's value replaced by its window's mean; step t of T is in window floor(windows * t / T)."""
    steps = g.shape[-1]
    if not 1 <= windows <= steps:
        raise ValueError(f"{windows} windows over {steps} steps")
    index = windows * np.arange(steps) // steps
    starts = np.searchsorted(index, np.arange(windows))
    means = np.add.reduceat(g, starts, axis=-1) / widths(steps, windows)
    result: Floats = means[..., index]
    return result


def widths(steps: int, windows: int) -> Floats:
    """Steps of each window, [windows]; they differ by one at most."""
    return np.bincount(windows * np.arange(steps) // steps).astype(np.float64)


def window_counts(steps: int, most: int = 16) -> list[int]:
    """Numbers of windows to compare: divisors of ``steps`` and others between, from ``steps`` down to 1."""
    spread = np.rint(np.geomspace(1, steps, most)).astype(int)
    divisors = [n for n in range(1, steps + 1) if steps % n == 0]
    # Beside an exact divisor a near one would only crowd the figure.
    others = [n for n in spread.tolist() if all(abs(np.log(n / d)) > 0.2 for d in divisors)]
    return sorted({*divisors, *others}, reverse=True)


# ------------------------------------------------------------------------------------------------- errors


@dataclass(frozen=True)
class Error:
    """Mean squared error of an estimate of the true hypergradient, and its two parts.

    variance : mean over steps of the estimate's variance over seeds.
    drift : mean over steps of (mean of the estimate - mu)^2, without bias; can come out below 0.
    without : [seeds] the whole error with one seed left out at a time, for standard errors.
    """

    variance: float
    drift: float
    without: Floats

    @property
    def mse(self) -> float:
        return self.variance + self.drift

    @property
    def standard_error(self) -> float:
        """Jackknife standard error of ``mse``."""
        return jackknife(self.without)


def jackknife(without: Floats) -> float:
    """Standard error from values with one seed left out at a time, [seeds] (Efron & Stein, 1981)."""
    n = len(without)
    return float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))


def error_of(estimate: Floats, truth: Floats) -> Error:
    """How far ``estimate`` lies from the seed mean of ``truth``; row s of both belongs to the same seed.

    With only n seeds the mean of ``truth`` is noisy itself. Its noise is not counted as error: drift is the
    mean of d[s, t] d[r, t] over pairs of different seeds, d = estimate - truth, which has no bias.

    Raises ValueError for fewer than 3 seeds.
    """
    n = len(truth)
    if n < 3 or estimate.shape != truth.shape:
        raise ValueError(f"estimates {estimate.shape} of {truth.shape} (allowed: at least 3 seeds, the same)")
    d = estimate - truth
    centred = estimate - estimate.mean(0)  # a variance does not mind, and loses no digits
    everything = np.zeros((1, estimate.shape[1]))
    variance, drift = _parts(centred, d, everything, everything, n)
    left_out = _parts(centred, d, centred, d, n - 1)
    return Error(float(variance[0]), float(drift[0]), left_out[0] + left_out[1])


def _parts(h: Floats, d: Floats, h_out: Floats, d_out: Floats, n: int) -> tuple[Floats, Floats]:
    """Variance and drift from n seeds, once for each row of what is taken out of the sums."""
    sums, squares = h.sum(0) - h_out, (h**2).sum(0) - h_out**2
    variance = ((squares - sums**2 / n) / (n - 1)).mean(1)
    sums, squares = d.sum(0) - d_out, (d**2).sum(0) - d_out**2
    return variance, ((sums**2 - squares) / (n * (n - 1))).mean(1)


def sign_agreement(estimate: Floats, truth: Floats) -> float:
    """Share of seeds and steps whose sign is that of the mean of ``truth`` over the other seeds.

    A step's truth of exactly 0 agrees with nothing. FDS's outer optimiser uses the sign alone.
    """
    others = (truth.sum(0) - truth) / (len(truth) - 1)
    return float(np.mean(estimate * others > 0))


def signal_to_noise(g: Floats) -> Floats:
    """|mean| / standard deviation over seeds, of each step; infinite where nothing varies."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.abs(g.mean(0)) / g.std(0, ddof=1)
    return ratio


# ---------------------------------------------------------------------------------------------- the theorem


@dataclass(frozen=True)
class Constants:
    """What the theorem's bound is made of: sigma^2, c and epsilon."""

    variance: float
    correlation: float
    drift: float

    def bound(self, width: Floats | float) -> Floats:
        """The largest MSE_W that windows of ``width`` W steps can have.

        A negative correlation needs equal variances: with standard deviations 1 and 0, a window of both
        has variance 1/4 whatever c is, and the bound would be (1 + c) / 4.
        """
        w = np.asarray(width, np.float64)
        noise = self.variance * (1 + self.correlation * (w - 1)) / w
        result: Floats = noise + self.drift**2 * (w**2 - 1) / 12
        return result

    def bound_over(self, steps: int, windows: int) -> float:
        """The same for windows that need not divide the steps: the mean over steps of their window's."""
        w = widths(steps, windows)
        return float(np.average(self.bound(w), weights=w))

    @property
    def best_width(self) -> float:
        """W of the least bound: (6 sigma^2 (1 - c) / epsilon^2)^(1/3), at least 1; infinite without drift."""
        independent = 6 * self.variance * (1 - self.correlation)
        with np.errstate(divide="ignore"):
            width = np.cbrt(np.float64(independent) / self.drift**2) if independent > 0 else 0.0
        return float(max(1.0, width))


def constants(g: Floats, rng_seed: int = 0) -> Constants:
    """The theorem's constants of hypergradients [seeds, steps].

    sigma^2 is the mean over steps of the variance over seeds. c and epsilon are maxima over steps, and the
    largest of many noisy numbers is too large: one random half of the seeds says where the maximum is, the
    other how large it is there. The mean over both roles and ``SPLITS`` halvings counts no noise as drift
    or correlation; where the halves disagree on the place it lies below the maximum.

    Raises ValueError for fewer than 8 seeds or 2 steps.
    """
    n, steps = g.shape
    if n < 8 or steps < 2:
        raise ValueError(f"{n} seeds and {steps} steps (allowed: at least 8 and 2)")
    halves = list(_halves(n, rng_seed))
    correlation = float(np.mean([_largest_correlation(g[a], g[b]) for a, b in halves]))
    drift = float(np.mean([_largest_drift(g[a], g[b]) for a, b in halves]))
    return Constants(float(g.var(0, ddof=1).mean()), float(np.clip(correlation, 0.0, 1.0)), max(0.0, drift))


def _halves(n: int, rng_seed: int) -> Iterator[tuple[Integers, Integers]]:
    """Pairs of disjoint halves, each pair in both orders."""
    rng = np.random.default_rng(rng_seed)
    for _ in range(SPLITS):
        order = rng.permutation(n)
        a, b = order[: n // 2], order[n // 2 :]
        yield a, b
        yield b, a


def _largest_drift(chooses: Floats, measures: Floats) -> float:
    there, here = np.diff(chooses.mean(0)), np.diff(measures.mean(0))
    at = int(np.argmax(np.abs(there)))
    return float(np.sign(there[at]) * here[at])


def _largest_correlation(chooses: Floats, measures: Floats) -> float:
    table = correlations(chooses)
    np.fill_diagonal(table, -np.inf)
    i, j = np.unravel_index(int(np.argmax(table)), table.shape)
    return float(correlations(measures[:, [i, j]])[0, 1])


def correlations(g: Floats) -> Floats:
    """Correlation over seeds of every two steps, [steps, steps]; 0 with a step that does not vary."""
    centred = g - g.mean(0)
    norms = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    result: Floats = unit.T @ unit
    return result
