"""The arithmetic of successive halving and Hyperband, apart from any training.

Resources are counted in units of which the horizon has ``R``; ``inner_steps`` turns them into steps.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """``n`` configurations trained up to ``r`` units each."""

    n: int
    r: float


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving: ``s`` halvings before the horizon is reached."""

    s: int
    rungs: tuple[Rung, ...]


def most_halvings(R: int, eta: int) -> int:
    """s_max = floor(log_eta(R)), in whole numbers: a rounded logarithm loses a bracket at R = 243."""
    s = 0
    while eta ** (s + 1) <= R:
        s += 1
    return s


def rung_resources(R: int, eta: int, s: int) -> list[float]:
    """r_i = R eta^(i - s) for i = 0 ... s."""
    return [R / eta ** (s - i) for i in range(s + 1)]


def brackets(R: int, eta: int) -> list[Bracket]:
    """Hyperband's brackets, the most exploring first (Li et al. 2018, algorithm 1).

    n = ceil((s_max + 1) eta^s / (s + 1)), n_i = floor(n eta^-i), r_i = R eta^(i - s).
    """
    s_max = most_halvings(R, eta)
    found = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        rungs = (Rung(n // eta**i, r) for i, r in enumerate(rung_resources(R, eta, s)))
        found.append(Bracket(s, tuple(rungs)))
    return found


def inner_steps(r: float, R: int, horizon: int) -> int:
    """Inner steps of ``r`` units: the nearest whole number, at least 1. For R <= horizon rungs stay apart."""
    return max(1, int(horizon * r / R + 0.5))
