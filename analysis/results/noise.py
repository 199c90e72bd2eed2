"""Where along a training sharing takes noise out of hypergradients, and where it hurts; the theorem there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..stats.frames import Floats
from ..stats.noise_samples import Sample, Windows, samples, windows_of
from ..stats.window_sharing import Constants, correlations, error_of, jackknife, shared, sign_agreement
from .studies import Study, markdown

PARTS = 10  # of the training, of equal length
FEW, MANY = 19, 50  # steps a window: near the best of all, and the paper's best


def numbers(folder: Path) -> dict[str, Any]:
    """Errors of shared hypergradients over those of unshared ones, in the whole training and its parts."""
    study = Study.of(folder)
    (sample,) = samples(study.reports)
    g, steps = sample.g, sample.steps
    found = windows_of(sample)
    few, many = round(steps / FEW), round(steps / MANY)
    alone = (g - g.mean(0)).var(0)
    rows = [_part(g, start, start + steps // PARTS, (few, many)) for start in range(0, steps, steps // PARTS)]
    rows.append(_part(g, 0, steps, (few, many)))
    both = sample.both()
    return {
        "seeds": len(g), "steps": steps, "commit": study.commit, "few": FEW, "many": MANY,
        "best": steps / found.best, "ratio_best": _ratio(g, found.best),
        "error_best": _ratio_error(g, found.best),
        "ratio_few": _ratio(g, few), "ratio_many": _ratio(g, many), "ratio_all": _ratio(g, 1),
        "last_share": float(alone[-steps // 10 :].sum() / alone.sum()),
        "early_few": _ratio(g, few, 0, steps - steps // 10),
        "early_many": _ratio(g, many, 0, steps - steps // 10),
        "signs_alone": 100 * sign_agreement(g, g), "signs_few": 100 * sign_agreement(shared(g, few), g),
        "signs_greedy": 100 * sign_agreement(*both) if both else np.nan,
        "signs_constant": 100 * float(np.mean(g.mean() * g.mean(0) > 0)),
        "bound": _bounds(sample, found, few), "bound_all": _bounds(sample, found, 1), "table": markdown(
            ["steps", "share of the error (%)", f"W = {FEW}", f"W = {MANY}", "correlation of neighbours",
             "change of the mean a step, in deviations"], rows),
    }  # fmt: skip


def _ratio(g: Floats, windows: int, start: int = 0, stop: int | None = None) -> float:
    """Error shared over that many windows of the whole, over that of not sharing, in steps start to stop."""
    part = slice(start, stop)
    return error_of(shared(g, windows)[:, part], g[:, part]).mse / error_of(g[:, part], g[:, part]).mse


def _ratio_error(g: Floats, windows: int) -> float:
    return jackknife(error_of(shared(g, windows), g).without / error_of(g, g).without)


def _part(g: Floats, start: int, stop: int, windows: tuple[int, ...]) -> list[str]:
    """A row: how much of all error lies there, what sharing makes of it, and what the theorem speaks of."""
    variance = g.var(0, ddof=1)
    own = g[:, start:stop]
    beside = np.diag(correlations(own), 1)
    moves = np.abs(np.diff(own.mean(0))) / own.std(0, ddof=1)[1:]
    ratios = [f"{_ratio(g, n, start, stop):.2f}" for n in windows]
    return [
        f"{start} to {stop - 1}", f"{100 * variance[start:stop].sum() / variance.sum():.1f}", *ratios,
        f"{np.median(beside):.2f}", f"{np.median(moves):.2f}",
    ]  # fmt: skip


def _bounds(sample: Sample, found: Windows, windows: int) -> dict[str, float]:
    """The theorem's bound over the error: with one set of constants, and with each window's own."""
    g, error = sample.g, error_of(shared(sample.g, windows), sample.g).mse
    whole = found.constants.bound_over(sample.steps, windows)
    index = windows * np.arange(sample.steps) // sample.steps
    local = [_window_bound(g[:, index == window]) for window in range(windows)]
    weights = np.bincount(index)
    return {"whole": whole / error, "local": float(np.average(local, weights=weights)) / error}


def _window_bound(g: Floats) -> float:
    """The theorem of one window, with the largest correlation and drift within it."""
    width = g.shape[1]
    table = correlations(g)
    c = float(np.max(table[np.triu_indices(width, 1)], initial=0.0))
    epsilon = float(np.abs(np.diff(g.mean(0))).max(initial=0.0))
    variance = float(g.var(0, ddof=1).mean())
    return float(Constants(variance, c, epsilon).bound(width))
