"""When a hypergradient is noise: what the engine calls it, and whoever reads a record again."""

from __future__ import annotations

ILL = 30.0
"""Growth from which a hypergradient in float32 may be that of rounding."""
AGREES = 0.5
"""Cosine below which two hypergradients a rounding apart are noise."""
ALIKE = 2 / 3
"""Share of equal signs below which they are, whatever the cosine: one large entry of many can make that 1."""


def noise(signs: float, cosine: float) -> bool:
    """Whether two hypergradients a rounding apart agree no better than chance would have it."""
    return cosine < AGREES or signs < ALIKE - 1e-9
