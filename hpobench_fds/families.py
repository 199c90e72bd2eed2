"""Shapes of a hyperparameter over the horizon that a few numbers make: what people search by hand.

Values are exact at every inner step t = 0 ... T - 1, whatever the horizon T: a shape stretches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

Family = Literal["piecewise", "constant", "cosine", "one_cycle"]
CURVES = ("cosine", "one_cycle")  # families that are no values of windows
MOST_STEP_SHARE, STEP_SHARE = 0.1, 0.05  # of a range: the largest first step, and that if none is given

# Torch's OneCycleLR has these by default.
ONE_CYCLE_WARMUP, ONE_CYCLE_START, ONE_CYCLE_FINAL = 0.3, 1 / 25, 1 / 25e4


class Share(BaseModel):
    """A searched number of a curve, a share in [0, 1]: its range, initial value and first step."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    low: float = Field(default=0.0, ge=0, le=1)
    high: float = Field(default=1.0, ge=0, le=1)
    initial: float = Field(default=0.0, ge=0, le=1)
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Share:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        if not self.low <= self.initial <= self.high:
            raise ValueError(f"initial = {self.initial:g} is outside [{self.low:g}, {self.high:g}]")
        most = MOST_STEP_SHARE * (self.high - self.low)
        if self.step is not None and self.step > most * (1 + 1e-9):
            raise ValueError(f"step = {self.step:g} is more than a tenth of the range, {most:g}")
        return self

    @property
    def first_step(self) -> float:
        return STEP_SHARE * (self.high - self.low) if self.step is None else self.step


class Coordinate(NamedTuple):
    """One number that a method searches."""

    suffix: str  # of the hyperparameter's name: [0], .peak
    low: float
    high: float
    log: bool
    initial: float
    first_step: float  # on a log scale in natural logarithms


@dataclass(frozen=True)
class Curve:
    """A hyperparameter over the horizon.

    family : "cosine" rises in a straight line from ``start`` x peak to the peak, then falls along half a
        cosine to ``final`` x peak (Loshchilov & Hutter, ICLR 2017, eq. 5, with the customary warm-up);
        "one_cycle" rises and falls along half cosines, as torch's OneCycleLR does (Smith & Topin 2019).
    peak : its highest value. warmup : the share of the horizon that it takes to get there.
    searched : names of the numbers that a method searches, of peak, warmup and final.
    """

    family: Literal["cosine", "one_cycle"]
    peak: float
    warmup: float
    start: float
    final: float
    searched: tuple[str, ...] = ("peak",)

    def at(self, step: int, horizon: int) -> float:
        """The value at inner step ``step`` of ``horizon``."""
        if self.family == "one_cycle":
            top = max(0.0, self.warmup * horizon - 1)
            if step < top:
                return self.peak * _half_cosine(self.start, 1.0, step / top)
            return self.peak * _half_cosine(1.0, self.final, (step - top) / max(1.0, horizon - 1 - top))
        top = self.warmup * horizon
        if step < top:
            return self.peak * (self.start + (1.0 - self.start) * step / top)
        return self.peak * _half_cosine(1.0, self.final, (step - top) / max(1.0, horizon - top))

    @property
    def parameters(self) -> tuple[float, ...]:
        """The searched numbers, in their order."""
        return tuple(float(getattr(self, name)) for name in self.searched)


def _half_cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1.0 + math.cos(math.pi * share)) / 2.0


def curve_of(
    family: Literal["cosine", "one_cycle"],
    warmup: float | Share | None,
    start: float | None,
    final: float | Share | None,
    numbers: Sequence[float],
) -> Curve:
    """The curve of its searched numbers: the peak, and those of warm-up and final share that are searched."""
    warmup, start, final = defaults(family, warmup, start, final)
    searched = ("peak", *(name for name, one in (("warmup", warmup), ("final", final)) if _is_searched(one)))
    values = dict(zip(searched, map(float, numbers), strict=True))
    fixed = {name: one for name, one in (("warmup", warmup), ("final", final)) if not _is_searched(one)}
    return Curve(family, start=start, searched=searched, **values, **fixed)  # type: ignore[arg-type]


def _is_searched(one: float | Share) -> bool:
    return isinstance(one, Share)


def defaults(
    family: str, warmup: float | Share | None, start: float | None, final: float | Share | None
) -> tuple[float | Share, float, float | Share]:
    """Warm-up, start and final share with what is left out filled in."""
    usual = (ONE_CYCLE_WARMUP, ONE_CYCLE_START, ONE_CYCLE_FINAL) if family == "one_cycle" else (0.0, 0.0, 0.0)
    return (
        usual[0] if warmup is None else warmup,
        usual[1] if start is None else start,
        usual[2] if final is None else final,
    )
