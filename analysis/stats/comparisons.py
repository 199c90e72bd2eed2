"""Corrected p-values of paired differences: what every comparison of two methods over seeds is made of."""

from __future__ import annotations

import numpy as np

from .frames import Floats
from .intervals import LEAST, signed_rank_p


def holm(p: Floats) -> Floats:
    """Holm's step-down correction: adjusted p-values in the given order."""
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def paired_p(differences: Floats) -> float:
    """p-value of paired differences; 1 from fewer than six seeds, which decide nothing."""
    return signed_rank_p(differences) if len(differences) >= LEAST else 1.0
