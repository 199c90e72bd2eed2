"""What is tuned: hyperparameters of the inner optimiser, each piecewise constant over windows.

A hyperparameter shared over ``n`` windows of a horizon of ``T`` inner steps has the value of window
``floor(n * t / T)`` at step ``t`` (Micaelli & Storkey 2021, section 3: sharing over contiguous steps
averages the noise of the hypergradient).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from scipy.special import ndtr, ndtri

Vector = NDArray[np.float64]

STEP_SHARE, MOST_STEP_SHARE = 0.05, 0.1  # of a range: a first step if none is given, and the largest
PRIOR_WIDTH = 2.0  # standard deviation of the prior about the initial schedule, in first steps


def window_index(windows: int, step: int, horizon: int) -> int:
    """Window that inner step ``step`` of a horizon falls in: floor(windows * step / horizon)."""
    return windows * step // horizon


def window_start(windows: int, index: int, horizon: int) -> int:
    """First inner step of window ``index``: the least t with floor(windows * t / horizon) = index."""
    return -(-index * horizon // windows)


def _number_or_list(value: object) -> object:
    """A float or a tuple of floats; said here, since a union's own complaints name its branches."""
    several = isinstance(value, (list, tuple))
    items: Sequence[object] = value if isinstance(value, (list, tuple)) else [value]
    if not items or not all(isinstance(item, Real) and not isinstance(item, bool) for item in items):
        raise ValueError(f"got {value!r} (allowed: a number, or a list of one for each window)")
    numbers = tuple(float(item) for item in items)  # type: ignore[arg-type]
    return numbers if several else numbers[0]


class HyperparameterSpace(BaseModel):
    """Range, scale, sharing, initial value and first step of one hyperparameter.

    ``initial`` is one number, or a list of ``windows`` numbers: the schedule that every method starts from.
    ``step`` is what a person would call a small change, at most a tenth of the range: methods that move
    move so far first, and others may take a normal about ``initial`` for a prior. On a log scale it is in
    natural logarithms. Left out, it is a twentieth of the range.
    ``learn = false`` keeps it at ``initial`` for every method.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: int = Field(default=1, ge=1)
    low: float = -1.0
    high: float = 1.0
    initial: Annotated[float | tuple[float, ...], BeforeValidator(_number_or_list)] = 0.0
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    scale: Literal["linear", "log"] = "linear"
    learn: bool = True

    @model_validator(mode="after")
    def _check(self) -> HyperparameterSpace:
        starts = self._named_starts()
        for name, value in {"low": self.low, "high": self.high, **starts}.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value} is not finite")
        if isinstance(self.initial, tuple) and len(self.initial) != self.windows:
            raise ValueError(f"initial has {len(self.initial)} values for {self.windows} windows")
        if not self.learn:
            return self
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        for name, value in starts.items():
            if not self.low <= value <= self.high:
                raise ValueError(f"{name} = {value:g} is outside [{self.low:g}, {self.high:g}]")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low = {self.low:g} must be above 0 on a log scale")
        ratio = self.high / self.low if self.scale == "log" else 0.0
        if not (math.isfinite(self.high - self.low) and math.isfinite(ratio)):
            raise ValueError(f"low = {self.low:g} and high = {self.high:g} are too far apart for a number")
        most = MOST_STEP_SHARE * self.width
        if self.step is not None and self.step > most * (1 + 1e-9):
            unit = " in natural logarithms" if self.scale == "log" else ""
            raise ValueError(f"step = {self.step:g} is more than a tenth of the range, {most:g}{unit}")
        return self

    @property
    def width(self) -> float:
        """Of the range; on a log scale in natural logarithms."""
        return math.log(self.high / self.low) if self.scale == "log" else self.high - self.low

    @property
    def first_step(self) -> float:
        """``step``, or a twentieth of the range."""
        return STEP_SHARE * self.width if self.step is None else self.step

    def _named_starts(self) -> dict[str, float]:
        if isinstance(self.initial, tuple):
            return {f"initial[{i}]": value for i, value in enumerate(self.initial)}
        return {"initial": self.initial}

    @property
    def starts(self) -> tuple[float, ...]:
        """The initial value of each window; a single one for a number that is not learned."""
        if isinstance(self.initial, tuple):
            return self.initial
        return (self.initial,) * (self.windows if self.learn else 1)


@dataclass(frozen=True)
class Schedule:
    """Values of every hyperparameter, window by window; immutable and hashable."""

    values: tuple[tuple[str, tuple[float, ...]], ...]

    @classmethod
    def of(cls, values: Mapping[str, float | Iterable[float]]) -> Schedule:
        """``Schedule.of({"lr": [0.1, 0.01], "momentum": 0.9})``"""

        def windows(value: float | Iterable[float]) -> tuple[float, ...]:
            return tuple(float(v) for v in np.ravel(np.asarray(value, float)))

        return cls(tuple((name, windows(value)) for name, value in values.items()))

    def __getitem__(self, name: str) -> tuple[float, ...]:
        for key, value in self.values:
            if key == name:
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.values)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.values)

    def at(self, name: str, step: int, horizon: int) -> float:
        """Value of ``name`` at inner step ``step`` of ``horizon``."""
        values = self[name]
        return values[window_index(len(values), step, horizon)]

    def as_dict(self) -> dict[str, list[float]]:
        return {name: list(values) for name, values in self.values}


class ScheduleSpace:
    """The space that every method of a problem searches, with a flat view of its learned part.

    The flat vector lists the learned hyperparameters in the order given, window by window:
    ``names`` are ``lr[0], lr[1], ..., momentum[0], ...``.
    """

    def __init__(self, spaces: Mapping[str, HyperparameterSpace]) -> None:
        self.spaces = dict(spaces)
        self.learned = {name: space for name, space in self.spaces.items() if space.learn}

    def _flat(self, attribute: str) -> Vector:
        return np.array(
            [getattr(s, attribute) for s in self.learned.values() for _ in range(s.windows)], float
        )

    @property
    def names(self) -> list[str]:
        return [f"{name}[{i}]" for name, space in self.learned.items() for i in range(space.windows)]

    @property
    def size(self) -> int:
        return sum(space.windows for space in self.learned.values())

    @property
    def low(self) -> Vector:
        return self._flat("low")

    @property
    def high(self) -> Vector:
        return self._flat("high")

    @property
    def log(self) -> NDArray[np.bool_]:
        return np.array([s.scale == "log" for s in self.learned.values() for _ in range(s.windows)], bool)

    @property
    def initial(self) -> Schedule:
        """The schedule every method starts from."""
        return self.from_vector([value for space in self.learned.values() for value in space.starts])

    def from_vector(self, vector: Sequence[float] | Vector) -> Schedule:
        """Schedule of a flat vector [size]; hyperparameters that are not learned keep their value."""
        if len(vector) != self.size:
            raise ValueError(f"{len(vector)} values for {self.size} hyperparameters")
        values: dict[str, list[float]] = {}
        start = 0
        for name, space in self.spaces.items():
            if space.learn:
                values[name] = [float(v) for v in vector[start : start + space.windows]]
                start += space.windows
            else:
                values[name] = list(space.starts)
        return Schedule.of(values)

    def to_vector(self, schedule: Schedule) -> Vector:
        """Flat vector [size] of a schedule's learned part."""
        return np.array([value for name in self.learned for value in schedule[name]], float)

    def clip(self, vector: Vector) -> Vector:
        """The nearest vector inside the bounds."""
        return np.clip(vector, self.low, self.high)

    def contains(self, schedule: Schedule) -> bool:
        vector = self.to_vector(schedule)
        return vector.shape == (self.size,) and bool(np.all((self.low <= vector) & (vector <= self.high)))

    def from_unit(self, unit: Vector) -> Schedule:
        """Map the unit cube [size] onto the space, linearly or logarithmically as each range says."""
        low, high, log = self.low, self.high, self.log
        vector = low + unit * (high - low)
        vector[log] = low[log] * (high[log] / low[log]) ** unit[log]
        return self.from_vector(self.clip(vector))

    def to_unit(self, schedule: Schedule) -> Vector:
        """The point [size] of the unit cube that ``from_unit`` maps onto the schedule."""
        vector, low, high, log = self.to_vector(schedule), self.low, self.high, self.log
        unit = (vector - low) / (high - low)
        unit[log] = np.log(vector[log] / low[log]) / np.log(high[log] / low[log])
        return np.clip(unit, 0.0, 1.0)

    def sample(self, rng: np.random.Generator) -> Schedule:
        """A schedule drawn uniformly (log-uniformly on log ranges)."""
        return self.from_unit(rng.random(self.size))

    @property
    def steps(self) -> Vector:
        """The first step [size] of each flat hyperparameter, in the coordinates of ``to_coordinates``."""
        return self._flat("first_step")

    def to_coordinates(self, vector: Vector) -> Vector:
        """A flat vector [size] where steps are equally long everywhere: log scales in natural logarithms."""
        out, log = np.array(vector, float), self.log
        out[log] = np.log(out[log])
        return out

    def from_coordinates(self, coordinates: Vector) -> Vector:
        """Back from ``to_coordinates``; within the bounds."""
        edges = self.to_coordinates(self.low), self.to_coordinates(self.high)
        out, log = np.clip(coordinates, *edges), self.log
        out[log] = np.exp(out[log])
        return self.clip(out)

    def sample_prior(self, rng: np.random.Generator) -> Schedule:
        """A schedule drawn from the prior: a normal about ``initial``, of two first steps, cut to the box."""
        centre, scale = self.to_coordinates(self.to_vector(self.initial)), PRIOR_WIDTH * self.steps
        low, high = (ndtr((self.to_coordinates(edge) - centre) / scale) for edge in (self.low, self.high))
        drawn = centre + scale * ndtri(low + rng.random(self.size) * (high - low))
        return self.from_vector(self.from_coordinates(drawn))

    def starts(self, horizon: int) -> list[int]:
        """First inner step at which each flat hyperparameter [size] acts."""
        return [window_start(s.windows, i, horizon) for s in self.learned.values() for i in range(s.windows)]

    def describe(self) -> dict[str, Any]:
        return {name: space.model_dump() for name, space in self.spaces.items()}
