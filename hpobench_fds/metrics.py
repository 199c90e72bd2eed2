"""The numbers that verdicts are in, beside the loss: how they are called, shown, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric of a problem.

    name : as records and sentences have it. unit, shown : what stands behind it, and what it is multiplied by
    for that: " %" and 100 of a fraction. higher_is_better : its direction.
    """

    name: str
    unit: str
    shown: float
    higher_is_better: bool

    def text(self, value: float, digits: int = 1) -> str:
        """A value as it is printed, with its unit."""
        return f"{self.shown * value:.{digits}f}{self.unit}"


ACCURACY = Metric("accuracy", " %", 100.0, True)
R_SQUARED = Metric("R²", " %", 100.0, True)
BITS = Metric("bits a token", "", 1.0, False)
METRICS = {one.name: one for one in (ACCURACY, R_SQUARED, BITS)}
